//! The same calls on our sockets and on the host's give the same results.

use super::*;
use crate::event::EventFd;
use proptest::prelude::*;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::sync::atomic::{AtomicU32, Ordering};

const SLOTS: usize = 4;

#[derive(Clone, Debug)]
enum Op {
    Create(usize),
    Pair(usize, usize),
    Bind(usize, u8),
    Listen(usize, i32),
    Connect(usize, u8),
    Disconnect(usize),
    Accept(usize, usize),
    Send { from: usize, len: usize, to: Option<u8>, files: usize },
    Receive { slot: usize, len: usize, peek: bool },
    Shutdown(usize, u32),
    Close(usize),
    Error(usize),
    PassCredentials(usize, bool),
}

fn ops() -> impl Strategy<Value = Vec<Op>> {
    let slot = 0..SLOTS;
    let name = 0..3u8;
    let len = prop_oneof![Just(0usize), 1..30usize, Just(200)];
    let files = prop_oneof![6 => Just(0usize), 1 => 1..3usize];
    let send =
        (slot.clone(), len.clone(), prop_oneof![3 => Just(None), 1 => name.clone().prop_map(Some)], files);
    let op = prop_oneof![
        2 => slot.clone().prop_map(Op::Create),
        3 => (slot.clone(), slot.clone()).prop_map(|(i, j)| Op::Pair(i, j)),
        4 => (slot.clone(), name.clone()).prop_map(|(i, n)| Op::Bind(i, n)),
        3 => (slot.clone(), 0..3i32).prop_map(|(i, n)| Op::Listen(i, n)),
        6 => (slot.clone(), name).prop_map(|(i, n)| Op::Connect(i, n)),
        1 => slot.clone().prop_map(Op::Disconnect),
        4 => (slot.clone(), slot.clone()).prop_map(|(i, j)| Op::Accept(i, j)),
        14 => send.prop_map(|(from, len, to, files)| Op::Send { from, len, to, files }),
        14 => (slot.clone(), len, any::<bool>()).prop_map(|(slot, len, peek)| Op::Receive { slot, len, peek }),
        2 => (slot.clone(), 0..4u32).prop_map(|(i, how)| Op::Shutdown(i, how)),
        2 => slot.clone().prop_map(Op::Close),
        1 => slot.clone().prop_map(Op::Error),
        1 => (slot, any::<bool>()).prop_map(|(i, on)| Op::PassCredentials(i, on)),
    ];
    proptest::collection::vec(op, 1..50)
}

/// A socket of ours and one of the host's that have gone through the same.
struct Twin {
    ours: Arc<dyn File>,
    theirs: OwnedFd,
}

/// What a receiver sees: bytes, whole length, sender, number of descriptors, credentials.
type Seen = (Vec<u8>, usize, Option<Vec<u8>>, usize, Option<(u32, u32, u32)>);

struct World {
    kind: Kind,
    slots: Vec<Option<Twin>>,
    prefix: std::string::String,
    event: OwnedFd,
    sent: u8,
}

fn owned(result: i32) -> Result<OwnedFd> {
    // SAFETY: a descriptor that a call has just returned is nobody else's.
    host::check(result as isize).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

fn raw_address(address: &SocketAddress) -> (libc::sockaddr_storage, u32) {
    // SAFETY: all zeros are a valid value.
    let mut storage: libc::sockaddr_storage = unsafe { core::mem::zeroed() };
    // SAFETY: the address is shorter than the storage.
    unsafe { core::ptr::copy_nonoverlapping(address.0.as_ptr(), (&raw mut storage).cast(), address.0.len()) };
    (storage, address.0.len() as u32)
}

fn name_of(
    fd: &OwnedFd,
    call: unsafe extern "C" fn(i32, *mut libc::sockaddr, *mut u32) -> i32,
) -> Result<SocketAddress> {
    let mut bytes = [0u8; 128];
    let mut len = 128;
    // SAFETY: room as said.
    host::check(unsafe { call(fd.as_raw_fd(), bytes.as_mut_ptr().cast(), &mut len) } as isize)?;
    Ok(SocketAddress(bytes[..len as usize].to_vec()))
}

/// Names that sockets find themselves are chosen at will; all others are longer.
fn plain(address: SocketAddress) -> SocketAddress {
    if address.0.len() == 8 { SocketAddress(b"\x01\0\0auto".to_vec()) } else { address }
}

impl World {
    fn new(kind: Kind) -> Self {
        static CASE: AtomicU32 = AtomicU32::new(0);
        // SAFETY: no pointers in any of them.
        let (pid, uid, gid) = unsafe { (libc::getpid() as u32, libc::getuid(), libc::getgid()) };
        testing::call_as(Caller { pid, tid: pid, uid, gid, fsuid: uid, fsgid: gid, ..Caller::default() });
        let case = CASE.fetch_add(1, Ordering::Relaxed);
        // SAFETY: no pointers.
        let event = owned(unsafe { libc::eventfd(0, libc::EFD_CLOEXEC) }).unwrap();
        Self {
            kind,
            slots: (0..SLOTS).map(|_| None).collect(),
            prefix: std::format!("kio-{pid}-{case}-"),
            event,
            sent: 0,
        }
    }

    fn name(&self, index: u8) -> SocketAddress {
        hidden(&std::format!("{}{index}", self.prefix))
    }

    fn host_kind(&self) -> i32 {
        self.kind as i32 | libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC
    }

    fn step(&mut self, op: &Op) {
        match *op {
            Op::Create(i) => {
                // SAFETY: no pointers.
                let theirs = owned(unsafe { libc::socket(libc::AF_UNIX, self.host_kind(), 0) }).unwrap();
                self.slots[i] = Some(Twin { ours: make(self.kind), theirs });
            }
            Op::Pair(i, j) if i != j => {
                let mut fds = [0; 2];
                // SAFETY: room for two descriptors.
                let result =
                    unsafe { libc::socketpair(libc::AF_UNIX, self.host_kind(), 0, fds.as_mut_ptr()) };
                assert_eq!(result, 0);
                let (one, other) = pair(self.kind);
                self.slots[i] = Some(Twin { ours: one, theirs: owned(fds[0]).unwrap() });
                self.slots[j] = Some(Twin { ours: other, theirs: owned(fds[1]).unwrap() });
            }
            Op::Accept(i, j) => {
                let Some(twin) = &self.slots[i] else { return };
                let flags = libc::SOCK_NONBLOCK | libc::SOCK_CLOEXEC;
                let nowhere = core::ptr::null_mut();
                // SAFETY: no address is wanted.
                let fd = unsafe { libc::accept4(twin.theirs.as_raw_fd(), nowhere, nowhere.cast(), flags) };
                let (ours, theirs) = (sock(&twin.ours).accept(), owned(fd));
                let ended = twin.ours.poll().contains(Events::RDHUP);
                let expected = match theirs.as_ref().err() {
                    // As for datagrams: without waiting, Linux does not tell the end.
                    Some(&Errno::EAGAIN) if ended => Some(&Errno::EINVAL),
                    other => other,
                };
                assert_eq!(ours.as_ref().err(), expected, "{op:?}");
                if let (Ok(ours), Ok(theirs)) = (ours, theirs) {
                    self.slots[j] = Some(Twin { ours, theirs });
                }
            }
            Op::Close(i) => self.slots[i] = None,
            _ => self.step_on_one(op),
        }
        self.compare();
    }

    fn step_on_one(&mut self, op: &Op) {
        let slot = match *op {
            Op::Bind(i, _) | Op::Listen(i, _) | Op::Connect(i, _) | Op::Disconnect(i) => i,
            Op::Send { from, .. } => from,
            Op::Receive { slot, .. } => slot,
            Op::Shutdown(i, _) | Op::Error(i) | Op::PassCredentials(i, _) => i,
            _ => return,
        };
        self.sent = self.sent.wrapping_add(1);
        let Some(twin) = &self.slots[slot] else { return };
        let (ours, fd) = (sock(&twin.ours), twin.theirs.as_raw_fd());
        let unit = |result: i32| host::check(result as isize).map(|_| ());
        match *op {
            Op::Bind(_, name) => {
                let (raw, len) = raw_address(&self.name(name));
                // SAFETY: a valid address.
                let theirs = unit(unsafe { libc::bind(fd, (&raw const raw).cast(), len) });
                assert_eq!(ours.bind(&self.name(name)), theirs, "{op:?}");
            }
            Op::Listen(_, backlog) => {
                // SAFETY: no pointers.
                assert_eq!(ours.listen(backlog), unit(unsafe { libc::listen(fd, backlog) }), "{op:?}");
            }
            Op::Connect(_, name) => self.connect(twin, &self.name(name)),
            Op::Disconnect(_) => self.connect(twin, &SocketAddress(vec![0; 16])),
            Op::Send { len, to, files, .. } => self.send(twin, len, to, files),
            Op::Receive { len, peek, .. } => self.receive(twin, len, peek),
            Op::Shutdown(_, how) => {
                // SAFETY: no pointers.
                assert_eq!(ours.shutdown(how), unit(unsafe { libc::shutdown(fd, how as i32) }), "{op:?}");
            }
            Op::Error(_) => {
                let theirs = host_option(fd, libc::SO_ERROR);
                assert_eq!(ours.take_error().map_or(0, |error| error.0.into()), theirs, "{op:?}");
            }
            Op::PassCredentials(_, on) => {
                let on = u32::from(on);
                ours.set_option(1, 16, &on.to_ne_bytes()).unwrap();
                // SAFETY: a valid int.
                unsafe { libc::setsockopt(fd, 1, libc::SO_PASSCRED, (&raw const on).cast(), 4) };
            }
            _ => {}
        }
    }

    fn connect(&self, twin: &Twin, to: &SocketAddress) {
        let (raw, len) = raw_address(to);
        // SAFETY: a valid address.
        let theirs = unsafe { libc::connect(twin.theirs.as_raw_fd(), (&raw const raw).cast(), len) };
        assert_eq!(sock(&twin.ours).connect(to), host::check(theirs as isize).map(|_| ()));
    }

    fn send(&self, twin: &Twin, len: usize, to: Option<u8>, files: usize) {
        let data: Vec<u8> = (0..len).map(|i| i as u8 ^ self.sent).collect();
        let to = to.map(|name| self.name(name));
        let passed = (0..files).map(|_| OpenFile::new(EventFd::new(0, false), 2)).collect();
        let ours = send(&twin.ours, &data, to.as_ref(), passed);
        let theirs = self.host_send(&twin.theirs, &data, to.as_ref(), files);
        assert_eq!(ours, theirs, "send of {len} bytes to {to:?} with {files} descriptors");
    }

    fn host_send(
        &self,
        fd: &OwnedFd,
        data: &[u8],
        to: Option<&SocketAddress>,
        files: usize,
    ) -> Result<usize> {
        let mut part = libc::iovec { iov_base: data.as_ptr().cast_mut().cast(), iov_len: data.len() };
        let mut control = [0u64; 16];
        let mut raw = to.map(raw_address);
        // SAFETY: all zeros are a valid value; every pointer set below is to something that outlives the call.
        unsafe {
            let mut message: libc::msghdr = core::mem::zeroed();
            (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
            if let Some((storage, len)) = &mut raw {
                (message.msg_name, message.msg_namelen) = ((&raw mut *storage).cast(), *len);
            }
            if files > 0 {
                let bytes = (files * 4) as u32;
                message.msg_control = control.as_mut_ptr().cast();
                message.msg_controllen = libc::CMSG_SPACE(bytes) as usize;
                let header = libc::CMSG_FIRSTHDR(&message);
                (*header).cmsg_level = libc::SOL_SOCKET;
                (*header).cmsg_type = libc::SCM_RIGHTS;
                (*header).cmsg_len = libc::CMSG_LEN(bytes) as usize;
                for i in 0..files {
                    libc::CMSG_DATA(header).cast::<i32>().add(i).write_unaligned(self.event.as_raw_fd());
                }
            }
            host::check(libc::sendmsg(fd.as_raw_fd(), &message, libc::MSG_NOSIGNAL))
        }
    }

    fn receive(&self, twin: &Twin, len: usize, peek: bool) {
        if len == 0 && self.kind == Kind::Stream && testing::ioctl_int(&*twin.ours, 0x541b) != Ok(0) {
            // Linux hands out descriptors with no byte, of which we make no point.
            return;
        }
        let ours = receive(&twin.ours, len, if peek { 2 } else { 0 }).map(|(bytes, received)| {
            let Received { full_length, from, ancillary, .. } = received;
            let from = from.map(|address| plain(address).0);
            (bytes, full_length, from, ancillary.files.len(), ancillary.credentials)
        });
        let theirs = self.host_receive(&twin.theirs, len, peek);
        // Without waiting, Linux does not tell the end of a datagram socket; with waiting it does.
        let ended = self.kind == Kind::Datagram && twin.ours.poll().contains(Events::RDHUP);
        if ended && theirs == Err(Errno::EAGAIN) {
            assert_eq!(ours, Ok((Vec::new(), 0, None, 0, None)));
            return;
        }
        // A peek on Linux shows descriptors that come with the byte behind the last one.
        let theirs = theirs.map(|seen| match &ours {
            Ok((_, _, _, 0, _)) if peek && self.kind == Kind::Stream => (seen.0, seen.1, seen.2, 0, seen.4),
            _ => seen,
        });
        // At the end of a stream there is nobody to show credentials of.
        let theirs = theirs.map(|seen| match &ours {
            Ok((bytes, _, _, 0, None)) if bytes.is_empty() => (seen.0, seen.1, seen.2, seen.3, None),
            _ => seen,
        });
        assert_eq!(ours, theirs, "receive of {len} bytes, peek: {peek}");
    }

    fn host_receive(&self, fd: &OwnedFd, len: usize, peek: bool) -> Result<Seen> {
        let mut bytes = vec![0u8; len];
        let mut part = libc::iovec { iov_base: bytes.as_mut_ptr().cast(), iov_len: len };
        let mut name = [0u8; 128];
        let mut control = [0u64; 32];
        let (mut files, mut credentials) = (0, None);
        let flags = if peek { libc::MSG_PEEK } else { 0 } | libc::MSG_CMSG_CLOEXEC;
        // SAFETY: as in `host_send`; the control messages are read where the kernel has put them.
        let (got, name_len) = unsafe {
            let mut message: libc::msghdr = core::mem::zeroed();
            (message.msg_iov, message.msg_iovlen) = (&raw mut part, 1);
            (message.msg_name, message.msg_namelen) = (name.as_mut_ptr().cast(), 128);
            (message.msg_control, message.msg_controllen) = (control.as_mut_ptr().cast(), 256);
            let whole = if self.kind == Kind::Stream { 0 } else { libc::MSG_TRUNC };
            let got = host::check(libc::recvmsg(fd.as_raw_fd(), &mut message, flags | whole))?;
            let mut header = libc::CMSG_FIRSTHDR(&message);
            while !header.is_null() {
                let data = libc::CMSG_DATA(header).cast::<i32>();
                if (*header).cmsg_type == libc::SCM_RIGHTS {
                    files = ((*header).cmsg_len - libc::CMSG_LEN(0) as usize) / 4;
                    (0..files).for_each(|i| drop(OwnedFd::from_raw_fd(data.add(i).read_unaligned())));
                } else {
                    let word = |i| data.add(i).read_unaligned() as u32;
                    credentials = Some((word(0), word(1), word(2)));
                }
                header = libc::CMSG_NXTHDR(&message, header);
            }
            (got, message.msg_namelen)
        };
        bytes.truncate(got);
        let from = (name_len > 0).then(|| plain(SocketAddress(name[..name_len as usize].to_vec())).0);
        Ok((bytes, got, from, files, credentials))
    }

    fn compare(&self) {
        for (index, twin) in self.slots.iter().enumerate() {
            let Some(Twin { ours, theirs }) = twin else { continue };
            assert_eq!(ours.poll(), host::poll(theirs), "readiness of {index}");
            let socket = sock(ours);
            let (name, peer) = (name_of(theirs, libc::getsockname), name_of(theirs, libc::getpeername));
            assert_eq!(socket.local_address().map(plain), name.map(plain), "name of {index}");
            assert_eq!(socket.peer_address().map(plain), peer.map(plain), "peer of {index}");
            let command = linux_raw_sys::ioctl::FIONREAD;
            assert_eq!(testing::ioctl_int(&**ours, command), host::ioctl_int(theirs, command.into()));
            let listening = socket.get_option(1, 30).unwrap()[0];
            assert_eq!(i32::from(listening), host_option(theirs.as_raw_fd(), libc::SO_ACCEPTCONN));
        }
    }
}

fn host_option(fd: i32, name: i32) -> i32 {
    let (mut value, mut len) = (0i32, 4);
    // SAFETY: room for one int.
    assert_eq!(unsafe { libc::getsockopt(fd, libc::SOL_SOCKET, name, (&raw mut value).cast(), &mut len) }, 0);
    value
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn same_as_the_hosts(kind in prop_oneof![Just(Kind::Stream), Just(Kind::Datagram), Just(Kind::SeqPacket)], ops in ops()) {
        let _turn = alone();
        let mut world = World::new(kind);
        for op in &ops {
            world.step(op);
        }
    }
}
