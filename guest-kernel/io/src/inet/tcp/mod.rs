//! `tcp(7)`: streams.
//!
//! What one side sends is put into the other's queue of bytes, its end (FIN) and its breaking off (RST) are marks in the other's
//! state. The states of the protocol that only time or lost packets can show (`SYN_RECV`, `TIME_WAIT` ...) do not exist.

mod connect;
mod endpoint;
mod socket;
mod transfer;

use super::address::Family;
use super::ports::Ports;
use alloc::sync::Arc;
use ampoule_kbase::File;
use endpoint::Endpoint;
use socket::TcpSocket;

/// Who is bound to which port.
static PORTS: Ports<Endpoint> = Ports::new();

/// A new socket.
pub fn socket(family: Family) -> Arc<dyn File> {
    TcpSocket::new(Endpoint::new(family))
}
