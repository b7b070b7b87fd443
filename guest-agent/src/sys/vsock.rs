//! The connection to the host.

use super::raw::syscall;
use linux_raw_sys::general::__NR_connect;
use rustix::fd::{AsFd, AsRawFd, OwnedFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// The host's context id.
const CID_HOST: u32 = 2;

/// `struct sockaddr_vm`.
#[repr(C)]
struct Address {
    family: u16,
    reserved: u16,
    port: u32,
    cid: u32,
    zero: [u8; 4],
}

/// Opens a non-blocking vsock stream and begins to connect it to a port of the host. It is connected, or failed,
/// once it is writable.
pub fn connect_host(port: u32) -> Result<OwnedFd, Errno> {
    let flags = SocketFlags::CLOEXEC | SocketFlags::NONBLOCK;
    let socket = socket_with(AddressFamily::VSOCK, SocketType::STREAM, flags, None)?;
    let family = AddressFamily::VSOCK.as_raw();
    let address = Address { family, reserved: 0, port, cid: CID_HOST, zero: [0; 4] };
    let fd = socket.as_fd().as_raw_fd() as usize;
    let args = [fd, &raw const address as usize, size_of::<Address>(), 0, 0, 0];
    // SAFETY: the kernel reads one address of the length given.
    match unsafe { syscall(__NR_connect, args) } {
        Ok(_) | Err(Errno::INPROGRESS) => Ok(socket),
        Err(error) => Err(error),
    }
}
