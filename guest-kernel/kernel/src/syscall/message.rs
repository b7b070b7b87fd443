//! Sending and receiving messages.

use super::handle::usable;
use super::socket::{read_address, socket_of, write_address};
use super::socket_transfer::{self, Message};
use super::waiting::Patience;
use super::{Args, Call, ancillary, call, timeouts};
use crate::mm::buffers::IOV_MAX;
use crate::mm::user::{self, UserBuffers};
use ampoule_kbase::{Errno, OpenFile, Received, Result, SocketAddress};
use linux_raw_sys::general as linux;
use linux_raw_sys::net::{MSG_CMSG_CLOEXEC, MSG_DONTWAIT, MSG_TRUNC};

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_sendto, "sendto", "dxuxxu", sendto),
    call(linux::__NR_recvfrom, "recvfrom", "dxuxxx", recvfrom),
    call(linux::__NR_sendmsg, "sendmsg", "dxx", sendmsg),
    call(linux::__NR_recvmsg, "recvmsg", "dxx", recvmsg),
    call(linux::__NR_sendmmsg, "sendmmsg", "dxux", sendmmsg),
    call(linux::__NR_recvmmsg, "recvmmsg", "dxuxx", recvmmsg),
];

/// `recvmmsg`: wait for the first message only.
const MSG_WAITFORONE: u32 = 0x10000;
/// Bytes of a `struct mmsghdr`: a `struct msghdr`, then the count of bytes.
const MMSGHDR: u64 = 64;
const MSGHDR: u64 = 56;

/// `struct msghdr`.
struct Header {
    name: u64,
    name_length: u64,
    vector: u64,
    vector_length: u64,
    control: u64,
    control_length: u64,
}

impl Header {
    fn read(address: u64) -> Result<Self> {
        let [name, name_length, vector, vector_length, control, control_length, _] =
            user::read::<[u64; 7]>(address)?;
        let name_length = if name == 0 { 0 } else { name_length & 0xffff_ffff };
        if name_length as i32 <= -1 {
            return Err(Errno::EINVAL);
        }
        if vector_length > IOV_MAX {
            return Err(Errno::EMSGSIZE);
        }
        Ok(Self { name, name_length: name_length.min(128), vector, vector_length, control, control_length })
    }

    fn buffers(&self) -> Result<UserBuffers> {
        UserBuffers::vector(self.vector, self.vector_length)
    }
}

fn nowait(open: &OpenFile, flags: u32) -> bool {
    flags & MSG_DONTWAIT != 0 || open.nonblocking()
}

fn send(open: &OpenFile, mut buffers: UserBuffers, message: Message<'_>) -> Result<u64> {
    let socket = socket_of(open)?;
    let nowait = nowait(open, message.flags);
    let deadline = if nowait { None } else { timeouts::send_deadline(open) };
    Ok(socket_transfer::send(open, socket, &mut buffers, message, nowait, deadline)? as u64)
}

/// An address to send to; none: the peer.
fn destination(address: u64, length: u64) -> Result<Option<SocketAddress>> {
    if address == 0 || length as u32 == 0 { Ok(None) } else { read_address(address, length).map(Some) }
}

fn sendto(args: &Args) -> Result<u64> {
    let open = usable(args[0])?;
    socket_of(&open)?;
    let to = destination(args[4], args[5])?;
    let buffers = UserBuffers::one(args[1], args[2])?;
    send(&open, buffers, Message { to: to.as_ref(), flags: args[3] as u32, ..Message::default() })
}

fn send_header(open: &OpenFile, address: u64, flags: u32) -> Result<u64> {
    let header = Header::read(address)?;
    let to = destination(header.name, header.name_length)?;
    let ancillary = ancillary::read(header.control, header.control_length)?;
    send(open, header.buffers()?, Message { to: to.as_ref(), ancillary, flags })
}

fn sendmsg(args: &Args) -> Result<u64> {
    let open = usable(args[0])?;
    socket_of(&open)?;
    send_header(&open, args[1], args[2] as u32)
}

fn sendmmsg(args: &Args) -> Result<u64> {
    let open = usable(args[0])?;
    socket_of(&open)?;
    each_message(args, |address, _| {
        let sent = send_header(&open, address, args[3] as u32)?;
        user::write(address + MSGHDR, sent as u32)?;
        Ok(true)
    })
}

/// Carries out `each` on an array of messages. Stops where it fails or says so; the count says how far it came, and an error
/// is reported only for the first message.
fn each_message(args: &Args, mut each: impl FnMut(u64, usize) -> Result<bool>) -> Result<u64> {
    let count = (args[2] as u32).min(IOV_MAX as u32);
    let mut at = args[1];
    for done in 0..count {
        match each(at, done as usize) {
            Ok(true) => at = at.wrapping_add(MMSGHDR),
            Ok(false) => return Ok(u64::from(done + 1)),
            Err(error) if done == 0 => return Err(error),
            Err(_) => return Ok(u64::from(done)),
        }
    }
    Ok(count.into())
}

fn receive(open: &OpenFile, buffers: &mut UserBuffers, flags: u32) -> Result<Received> {
    let socket = socket_of(open)?;
    socket_transfer::receive(open, socket, buffers, flags, nowait(open, flags))
}

/// What the call returns: with `MSG_TRUNC` the length that the message really had.
fn count(received: &Received, flags: u32) -> u64 {
    if flags & MSG_TRUNC != 0 { received.full_length as u64 } else { received.bytes as u64 }
}

fn recvfrom(args: &Args) -> Result<u64> {
    let open = usable(args[0])?;
    let mut buffers = UserBuffers::one(args[1], args[2])?;
    let flags = args[3] as u32;
    let received = receive(&open, &mut buffers, flags)?;
    if args[4] != 0 {
        let none = SocketAddress::default();
        write_address(args[4], args[5], received.from.as_ref().unwrap_or(&none))?;
    }
    Ok(count(&received, flags))
}

fn receive_header(open: &OpenFile, address: u64, flags: u32) -> Result<u64> {
    let header = Header::read(address)?;
    let received = receive(open, &mut header.buffers()?, flags)?;
    let returned = count(&received, flags);
    let cut = received.full_length > received.bytes;
    if header.name != 0 {
        let name = received.from.unwrap_or_default().0;
        user::write_bytes(header.name, &name[..name.len().min(header.name_length as usize)])?;
        user::write(address + 8, name.len() as u32)?;
    }
    let (used, control_flags) =
        ancillary::write(header.control, header.control_length, received.ancillary, flags)?;
    let message_flags = flags & MSG_CMSG_CLOEXEC | control_flags | if cut { MSG_TRUNC } else { 0 };
    user::write(address + 40, used)?;
    user::write(address + 48, message_flags)?;
    Ok(returned)
}

fn recvmsg(args: &Args) -> Result<u64> {
    let open = usable(args[0])?;
    socket_of(&open)?;
    receive_header(&open, args[1], args[2] as u32)
}

fn recvmmsg(args: &Args) -> Result<u64> {
    let open = usable(args[0])?;
    socket_of(&open)?;
    let patience = Patience::from_timespec(args[4])?;
    let mut flags = args[3] as u32;
    let result = each_message(args, |address, _| {
        let received = receive_header(&open, address, flags & !MSG_WAITFORONE)?;
        user::write(address + MSGHDR, received as u32)?;
        if flags & MSG_WAITFORONE != 0 {
            flags |= MSG_DONTWAIT;
        }
        Ok(patience.left() != Some(0) && patience != Patience::None)
    });
    patience.write_timespec(args[4]);
    result
}
