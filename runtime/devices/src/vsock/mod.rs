//! The virtio socket device (Virtio 1.2 section 5.10): stream sockets between guest and host.
//!
//! Host ports are Unix sockets. A connection of the guest to a host port gets the socket that was configured for that
//! port; a client of the listening socket that says `CONNECT <port>` gets a connection to that port of the guest.
//!
//! ```text
//!                 tx queue                                     Unix socket
//!   guest ----------------------> Connection ------------------------------> host
//!          credit: BUFFER_SIZE     buffer, when the socket is full
//!
//!                 rx queue                                     Unix socket
//!   guest <---------------------- Connection <------------------------------ host
//!          credit: the guest's     nothing is buffered: read when the guest has room
//! ```
//!
//! Neither side can make the other's memory, or ours, grow: a reader that stops takes away the writer's credit.
//! Nothing that was written gets lost when a side closes: the end goes after the data.

mod backlog;
mod connection;
mod device;
mod handshake;
mod hosts;
mod key;
mod packet;
mod rate;
mod receive;
mod socket;
#[cfg(test)]
mod tests;
mod transmit;

pub use connection::BUFFER_SIZE;
pub use device::{Vsock, VsockArgs, Work};
pub use key::{Key, Token};
pub use packet::{HEADER_LEN, Header, Op, SHUTDOWN_RECEIVE, SHUTDOWN_SEND};
pub use socket::Socket;

/// Size of each queue.
pub const QUEUE_SIZES: [u16; 3] = [256, 256, 16];
/// The queue with buffers for packets to the guest.
pub const RX_QUEUE: u16 = 0;
/// The queue with packets from the guest.
pub const TX_QUEUE: u16 = 1;
/// Most connections at a time, half-open ones included. The host's own sockets are the real limit: the guest can open
/// no more connections than there are configured ports.
pub const MAX_CONNECTIONS: usize = 1024;
/// Context identifier of the host.
pub const HOST_CID: u64 = 2;
/// Longest payload of a packet (`VIRTIO_VSOCK_MAX_PKT_BUF_SIZE` of Linux).
pub const MAX_PAYLOAD: usize = 64 * 1024;

/// The device's configuration space: the guest's context identifier.
pub fn config(guest_cid: u64) -> [u8; 8] {
    guest_cid.to_le_bytes()
}
