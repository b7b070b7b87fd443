//! `socket(2)` and `socketpair(2)`.

use crate::inet::{AF_INET, AF_INET6};
use crate::{inet, unix, vsock};
use alloc::sync::Arc;
use ampoule_kbase::{Errno, File, Result};

/// Address families, as `socket(2)` numbers them.
pub const AF_UNIX: u32 = 1;
/// Sockets between a virtual machine and its host (`vsock(7)`).
pub const AF_VSOCK: u32 = 40;

/// What a socket carries.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Kind {
    /// `SOCK_STREAM`.
    Stream = 1,
    /// `SOCK_DGRAM`.
    Datagram = 2,
    /// `SOCK_SEQPACKET`.
    SeqPacket = 5,
}

impl Kind {
    /// From the second argument of `socket(2)`, without `SOCK_NONBLOCK` and `SOCK_CLOEXEC`.
    pub fn from_raw(kind: u32) -> Result<Self> {
        Ok(match kind {
            1 => Self::Stream,
            2 => Self::Datagram,
            5 => Self::SeqPacket,
            _ => return Err(Errno::ESOCKTNOSUPPORT),
        })
    }
}

/// Kinds of sockets are less than this (`SOCK_MAX`).
const KINDS: u32 = 11;

/// `socket(2)`; `kind` without `SOCK_NONBLOCK` and `SOCK_CLOEXEC`.
pub fn socket(domain: u32, kind: u32, protocol: u32) -> Result<Arc<dyn File>> {
    match domain {
        AF_UNIX | AF_VSOCK | AF_INET | AF_INET6 if kind >= KINDS => Err(Errno::EINVAL),
        AF_UNIX => unix::socket(kind, protocol),
        AF_INET | AF_INET6 => inet::socket(domain, kind, protocol),
        AF_VSOCK => vsock::socket(kind, protocol),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

/// `socketpair(2)`; `kind` without `SOCK_NONBLOCK` and `SOCK_CLOEXEC`.
pub fn socketpair(domain: u32, kind: u32, protocol: u32) -> Result<(Arc<dyn File>, Arc<dyn File>)> {
    match domain {
        AF_UNIX | AF_VSOCK | AF_INET | AF_INET6 if kind >= KINDS => Err(Errno::EINVAL),
        AF_UNIX => unix::socketpair(kind, protocol),
        AF_INET | AF_INET6 => inet::socketpair(domain, kind, protocol),
        AF_VSOCK => Err(Errno::EOPNOTSUPP),
        _ => Err(Errno::EAFNOSUPPORT),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{host, setup};

    #[test]
    fn refuses_what_the_host_refuses() {
        setup();
        for kind in (0..16).chain([u32::MAX]) {
            for protocol in [0, 1, 2] {
                // SAFETY: no pointers.
                let fd = unsafe { libc::socket(libc::AF_UNIX, kind as i32, protocol as i32) };
                let theirs = host::check(fd as isize).map(|fd| {
                    // SAFETY: the descriptor is ours.
                    unsafe { libc::close(fd as i32) };
                });
                assert_eq!(socket(AF_UNIX, kind, protocol).map(|_| ()), theirs, "{kind} {protocol}");
            }
        }
        assert_eq!(socket(77, 1, 0).err(), Some(Errno::EAFNOSUPPORT));
    }
}
