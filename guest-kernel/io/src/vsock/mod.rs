//! `vsock(7)`: stream sockets to the host, over a virtio-vsock device on virtio-mmio.
//!
//! ```text
//!   socket      what programs see: File and Socket
//!   endpoint    one side of a connection: state, received bytes, credit
//!   driver      ports and connections; receive, send, close: what happens to them
//!   transport   packets in and out of the device's queues
//!   queue, mmio, header    virtqueue, registers, wire format
//!   block, pool    memory for packets
//! ```

mod address;
mod block;
mod close;
mod driver;
mod endpoint;
mod header;
mod mmio;
mod pool;
mod queue;
mod receive;
mod send;
mod socket;
#[cfg(test)]
mod tests;
mod transport;

use crate::socket::Kind;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, File, Once, Result};
use driver::Driver;
use endpoint::Endpoint;
pub use mmio::Batches;
use mmio::Registers;
use socket::VsockSocket;

static DRIVER: Once<Arc<Driver>> = Once::new();

/// Names the device; later calls are ignored. It is neither touched nor set up before it is needed.
/// `local_cid`: this machine's context id where it is known, which saves a register read. `batches`: how the VMM takes
/// many register writes as one, if it does.
///
/// # Safety
/// `registers` is the virtio-mmio register block of a virtio-vsock device in its reset state, mapped uncached, for ever,
/// and nobody else uses it.
pub unsafe fn install(registers: *mut u8, local_cid: Option<u32>, batches: Option<Batches>) {
    // SAFETY: the caller's promise.
    let registers = unsafe { Registers::new(registers, batches) };
    DRIVER.set(Driver::new(registers, local_cid));
}

/// To be called when the device's vector has fired. Harmless at any other time in thread context.
pub fn interrupt() {
    if let Some(driver) = DRIVER.get() {
        driver.process();
    }
}

/// This machine's context id (`IOCTL_VM_SOCKETS_GET_LOCAL_CID` on `/dev/vsock`); `ENODEV` without a device.
pub fn local_cid() -> Result<u32> {
    DRIVER.get().ok_or(Errno::ENODEV)?.with(|inner| inner.cid())
}

/// `socket(AF_VSOCK, kind, protocol)`.
pub fn socket(kind: u32, protocol: u32) -> Result<Arc<dyn File>> {
    let driver = DRIVER.get().ok_or(Errno::EAFNOSUPPORT)?;
    if protocol != 0 && protocol != crate::socket::AF_VSOCK {
        return Err(Errno::EPROTONOSUPPORT);
    }
    match Kind::from_raw(kind)? {
        Kind::Stream => Ok(VsockSocket::new(driver.clone(), Endpoint::new())),
        Kind::Datagram | Kind::SeqPacket => Err(Errno::ESOCKTNOSUPPORT),
    }
}
