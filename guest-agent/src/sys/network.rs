//! The loopback device.

use super::raw::syscall;
use linux_raw_sys::general::__NR_ioctl;
use rustix::fd::{AsFd, AsRawFd};
use rustix::io::Errno;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socket_with};

/// `SIOCSIFFLAGS`, with `IFF_UP` (`netdevice(7)`).
const SET_FLAGS: usize = 0x8914;
const UP: u16 = 1;

/// `struct ifreq`.
#[repr(C)]
struct Request {
    name: [u8; 16],
    flags: u16,
    rest: [u8; 22],
}

/// Turns the device on; Linux gives it its addresses then.
pub fn loopback_up() -> Result<(), Errno> {
    let socket = socket_with(AddressFamily::INET, SocketType::DGRAM, SocketFlags::CLOEXEC, None)?;
    let mut request = Request { name: [0; 16], flags: UP, rest: [0; 22] };
    request.name[..2].copy_from_slice(b"lo");
    let args = [socket.as_fd().as_raw_fd() as usize, SET_FLAGS, &raw const request as usize, 0, 0, 0];
    // SAFETY: the kernel reads one request, which is as long as it wants it.
    unsafe { syscall(__NR_ioctl, args) }.map(drop)
}
