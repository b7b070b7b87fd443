//! The PV page: what a guest kernel tells the VMM without a device.

use crate::ending::Ending;
use ampoule_vmm_api::Reason;

/// Offset: a store of 1, 2, 4 or 8 bytes appends their characters to the kernel log, zeroes excepted.
pub const LOG: u64 = 0x000;
/// Length of the widest store to it.
pub const LOG_LEN: u32 = 8;
/// Offset: a store of 4 bytes ends the VM.
pub const END: u64 = 0x800;

/// What a store to [`END`] means. `None` if it is nothing.
pub fn ending(data: &[u8]) -> Option<Ending> {
    let code = u32::from_le_bytes(data.try_into().ok()?);
    Some(Ending::of(match code {
        0 => Reason::PowerOff,
        1 => Reason::Reset,
        2 => Reason::KernelPanic,
        3 => Reason::GuestOutOfMemory,
        _ => return None,
    }))
}
