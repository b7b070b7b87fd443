//! `ip(7)`, `ipv6(7)`, `tcp(7)`, `udp(7)` within this machine: sockets that reach each other over loopback addresses, and nothing
//! else. There is no network device, so there are no packets either: what is sent is put where it is received.
//!
//! ```text
//!   address    sockaddr_in and sockaddr_in6; which addresses there are
//!   ports      who is bound to which port, and who may be
//!   options    socket options, kept as they are set
//!   tcp, udp   the two protocols: endpoint (state), operations, socket (File and Socket)
//! ```
//!
//! Not there: raw and ICMP sockets, urgent data, multicast, ancillary data, `TCP_INFO`.

mod address;
mod options;
mod ports;
mod tcp;
#[cfg(test)]
mod tests;
mod udp;

pub use address::{AF_INET, AF_INET6};

use address::Family;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, File, Result, Source};

/// Kinds of sockets and the protocols that they go with.
const STREAM: u32 = 1;
const DATAGRAM: u32 = 2;
const RAW: u32 = 3;
const IPPROTO_TCP: u32 = 6;
const IPPROTO_UDP: u32 = 17;

/// `socket(AF_INET or AF_INET6, kind, protocol)`.
pub fn socket(domain: u32, kind: u32, protocol: u32) -> Result<Arc<dyn File>> {
    let family = Family::from_domain(domain)?;
    match (kind, protocol) {
        (STREAM, 0 | IPPROTO_TCP) => Ok(tcp::socket(family)),
        (DATAGRAM, 0 | IPPROTO_UDP) => Ok(udp::socket(family)),
        (STREAM | DATAGRAM, _) => Err(Errno::EPROTONOSUPPORT),
        (RAW, _) => Err(Errno::EPERM),
        _ => Err(Errno::ESOCKTNOSUPPORT),
    }
}

/// Takes what is sent to nobody: it left, as far as the sender can tell. Returns how much that was.
fn lose(source: &mut dyn Source) -> Result<usize> {
    let count = source.remaining();
    let mut scratch = [0; 512];
    while source.remaining() > 0 {
        let step = source.remaining().min(scratch.len());
        source.take(&mut scratch[..step])?;
    }
    Ok(count)
}

/// `socketpair(2)`: there is none.
pub fn socketpair(domain: u32, kind: u32, protocol: u32) -> Result<(Arc<dyn File>, Arc<dyn File>)> {
    socket(domain, kind, protocol).and(Err(Errno::EOPNOTSUPP))
}
