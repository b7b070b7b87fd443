//! `vsock(7)`: stream sockets to the host, over a virtio-vsock device on virtio-mmio.

use alloc::sync::Arc;
use ampoule_kbase::{Errno, File, Result};

/// Names the device. It is neither touched nor set up before the first socket is made.
/// `local_cid`: this machine's context id where it is known, which saves a register read.
///
/// # Safety
/// `registers` is the virtio-mmio register block of a virtio-vsock device in its reset state, mapped uncached, for ever,
/// and nobody else uses it.
pub unsafe fn install(_registers: *mut u8, _local_cid: Option<u32>) {}

/// To be called when the device's vector has fired. Harmless at any other time in thread context.
pub fn interrupt() {}

/// `socket(AF_VSOCK, kind, protocol)`; `ENODEV` without a device.
pub fn socket(_kind: u32, _protocol: u32) -> Result<Arc<dyn File>> {
    Err(Errno::ENOSYS)
}
