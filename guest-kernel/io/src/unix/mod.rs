//! `unix(7)`: sockets between processes of this machine.
//!
//! ```text
//!   socket      what programs see: File and Socket
//!   endpoint    one socket's state, and what its end means for others
//!   connect, transfer    the operations
//!   inbox       bytes and messages that wait to be received
//!   passed      descriptors on their way (SCM_RIGHTS)
//!   names, address       where names lead; sockaddr_un
//! ```
//!
//! Not there: out-of-band data.

mod address;
mod connect;
mod endpoint;
mod inbox;
mod names;
mod passed;
mod socket;
#[cfg(test)]
mod tests;
mod transfer;

pub use names::{Binding, Names, install_names};
pub use socket::UnixSocket;

use crate::socket::{AF_UNIX, Kind};
use alloc::sync::Arc;
use ampoule_kbase::{Errno, File, Result};
use endpoint::Endpoint;

/// `SOCK_RAW`, which is another word for `SOCK_DGRAM` here.
const RAW: u32 = 3;

fn kind(kind: u32, protocol: u32) -> Result<Kind> {
    if protocol != 0 && protocol != AF_UNIX {
        return Err(Errno::EPROTONOSUPPORT);
    }
    Kind::from_raw(if kind == RAW { Kind::Datagram as u32 } else { kind })
}

/// `socket(AF_UNIX, kind, protocol)`.
pub fn socket(raw_kind: u32, protocol: u32) -> Result<Arc<dyn File>> {
    Ok(UnixSocket::new(Endpoint::new(kind(raw_kind, protocol)?)))
}

/// `socketpair(AF_UNIX, kind, protocol)`.
pub fn socketpair(raw_kind: u32, protocol: u32) -> Result<(Arc<dyn File>, Arc<dyn File>)> {
    let (one, other) = connect::pair(kind(raw_kind, protocol)?);
    Ok((UnixSocket::new(one), UnixSocket::new(other)))
}
