//! Sockets: making, naming, connecting, accepting.

use super::fdops::{add_pair, check_room};
use super::handle::{only, usable};
use super::socket_transfer::wait;
use super::{Args, Call, add_file, call, timeouts};
use crate::mm::user;
use crate::task::sched;
use alloc::sync::Arc;
use alloc::vec;
use ampoule_kbase::{Errno, Events, File, OpenFile, Result, Socket, SocketAddress};
use linux_raw_sys::general as linux;
use linux_raw_sys::general::{O_CLOEXEC, O_NONBLOCK, O_RDWR};

/// The calls of this family.
pub const CALLS: &[Call] = &[
    call(linux::__NR_socket, "socket", "ixi", socket),
    call(linux::__NR_socketpair, "socketpair", "ixix", socketpair),
    call(linux::__NR_bind, "bind", "dxu", bind),
    call(linux::__NR_listen, "listen", "di", listen),
    call(linux::__NR_accept, "accept", "dxx", |args| accept(args, 0)),
    call(linux::__NR_accept4, "accept4", "dxxx", |args| accept(args, args[3])),
    call(linux::__NR_connect, "connect", "dxu", connect),
    call(linux::__NR_getsockname, "getsockname", "dxx", getsockname),
    call(linux::__NR_getpeername, "getpeername", "dxx", getpeername),
    call(linux::__NR_shutdown, "shutdown", "di", shutdown),
];

/// Bytes of the longest address (`struct sockaddr_storage`).
const ADDRESS_MAX: usize = 128;
/// `SOCK_NONBLOCK` and `SOCK_CLOEXEC` have these values.
const FLAGS: u32 = O_NONBLOCK | O_CLOEXEC;

/// The socket of an open file.
pub fn socket_of(open: &OpenFile) -> Result<&dyn Socket> {
    open.file.socket().ok_or(Errno::ENOTSOCK)
}

/// An address argument.
pub fn read_address(address: u64, length: u64) -> Result<SocketAddress> {
    let length =
        usize::try_from(length as i32).ok().filter(|length| *length <= ADDRESS_MAX).ok_or(Errno::EINVAL)?;
    let mut bytes = vec![0; length];
    user::read_bytes(address, &mut bytes)?;
    Ok(SocketAddress(bytes))
}

/// Gives an address to the program, which tells at `length` how much room it has and learns there how long it is.
pub fn write_address(address: u64, length: u64, value: &SocketAddress) -> Result<()> {
    let room = usize::try_from(user::read::<i32>(length)?).map_err(|_| Errno::EINVAL)?;
    user::write_bytes(address, &value.0[..value.0.len().min(room)])?;
    user::write(length, value.0.len() as u32)
}

/// The low bits of a socket's type, and its flags.
fn split_kind(kind: u64) -> Result<(u32, u32)> {
    const TYPE_MASK: u32 = 0xf;
    let kind = kind as u32;
    let flags = only(u64::from(kind & !TYPE_MASK), FLAGS)?;
    Ok((kind & TYPE_MASK, flags))
}

fn description(file: Arc<dyn File>, flags: u32) -> Arc<OpenFile> {
    let open = OpenFile::new(file, O_RDWR);
    if flags & O_NONBLOCK != 0 {
        open.set_flags(O_RDWR | O_NONBLOCK);
    }
    open
}

fn socket(args: &Args) -> Result<u64> {
    let (kind, flags) = split_kind(args[1])?;
    let socket = ampoule_kio::socket::socket(args[0] as u32, kind, args[2] as u32)?;
    add_file(description(socket, flags), flags & O_CLOEXEC != 0)
}

fn socketpair(args: &Args) -> Result<u64> {
    let (kind, flags) = split_kind(args[1])?;
    let (first, second) = ampoule_kio::socket::socketpair(args[0] as u32, kind, args[2] as u32)?;
    add_pair(description(first, flags), description(second, flags), flags & O_CLOEXEC != 0, args[3])
}

fn bind(args: &Args) -> Result<u64> {
    let open = usable(args[0])?;
    let socket = socket_of(&open)?;
    socket.bind(&read_address(args[1], args[2])?)?;
    Ok(0)
}

fn listen(args: &Args) -> Result<u64> {
    let open = usable(args[0])?;
    socket_of(&open)?.listen(args[1] as i32)?;
    Ok(0)
}

fn accept(args: &Args, flags: u64) -> Result<u64> {
    let flags = only(flags, FLAGS)?;
    let open = usable(args[0])?;
    let socket = socket_of(&open)?;
    check_room()?;
    let deadline = timeouts::receive_deadline(&open);
    let accepted = wait(&open, open.nonblocking(), deadline, || socket.accept())?;
    if args[1] != 0 {
        let peer = accepted.socket().ok_or(Errno::ENOTSOCK)?.peer_address();
        // A peer that is gone already leaves the connection without a name.
        write_address(args[1], args[2], &peer.map_err(|_| Errno::ECONNABORTED)?)?;
    }
    add_file(description(accepted, flags), flags & O_CLOEXEC != 0)
}

fn connect(args: &Args) -> Result<u64> {
    let open = usable(args[0])?;
    let socket = socket_of(&open)?;
    let address = read_address(args[1], args[2])?;
    let nowait = open.nonblocking();
    let deadline = timeouts::send_deadline(&open);
    match wait(&open, nowait, deadline, || socket.connect(&address)) {
        Err(Errno::EINPROGRESS | Errno::EALREADY) if !nowait => finish_connect(&open, socket, deadline)?,
        result => result?,
    }
    Ok(0)
}

/// Waits for the end of a connection's making.
fn finish_connect(open: &OpenFile, socket: &dyn Socket, deadline: Option<u64>) -> Result<()> {
    let decided = Events::OUT | Events::ERR | Events::HUP;
    let attempt = || if open.file.poll().intersects(decided) { Ok(()) } else { Err(Errno::EAGAIN) };
    sched::retry(open.file.wait_queue(), deadline, Errno::EINPROGRESS, attempt)?;
    socket.take_error().map_or(Ok(()), Err)
}

fn getsockname(args: &Args) -> Result<u64> {
    let open = usable(args[0])?;
    write_address(args[1], args[2], &socket_of(&open)?.local_address()?)?;
    Ok(0)
}

fn getpeername(args: &Args) -> Result<u64> {
    let open = usable(args[0])?;
    write_address(args[1], args[2], &socket_of(&open)?.peer_address()?)?;
    Ok(0)
}

fn shutdown(args: &Args) -> Result<u64> {
    let open = usable(args[0])?;
    let how = u32::try_from(args[1] as i32).map_err(|_| Errno::EINVAL)?;
    socket_of(&open)?.shutdown(how)?;
    Ok(0)
}
