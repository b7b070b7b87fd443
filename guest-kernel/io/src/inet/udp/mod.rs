//! `udp(7)`: datagrams. One that is sent lies at its receiver at once, or is lost where there is no room.

mod endpoint;
mod socket;

use super::address::Family;
use super::ports::Ports;
use alloc::sync::Arc;
use ampoule_kbase::File;
use endpoint::Endpoint;
use socket::UdpSocket;

/// Who is bound to which port.
static PORTS: Ports<Endpoint> = Ports::new();

/// A new socket.
pub fn socket(family: Family) -> Arc<dyn File> {
    UdpSocket::new(Endpoint::new(family))
}
