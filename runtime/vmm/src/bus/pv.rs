//! The PV page: what a guest kernel tells the VMM without a device. All stores are little-endian.
//!
//! | offset | store | meaning |
//! |---|---|---|
//! | 0x000 | 1, 2, 4 or 8 bytes | appends their characters to the kernel log, zeroes excepted |
//! | 0x800 | 4 bytes | ends the VM: 0 power off, 1 reset, 2 kernel panic, 3 out of memory |
//! | 0x810 | 8 bytes | writes many device registers: the physical address of a batch |
//! | 0x818 | 8 bytes | appends text to the kernel log: its physical address in bits 0 to 47, its length in bits 48 to 63 |
//!
//! A batch is a `u32`, the number of writes (at most 256), and then for each write two `u32`s: the register's offset from
//! 0xd0000000, and the value. It has the effect of as many stores, for the price of one. Where an exit costs 30 us,
//! that is how a device is set up.

use crate::ending::Ending;
use ampoule_vmm_api::Reason;
use vm_memory::{Bytes, GuestAddress, GuestMemoryMmap};

/// Appends to the log.
pub const LOG: u64 = 0x000;
/// Ends the VM.
pub const END: u64 = 0x800;
/// Writes many registers.
pub const BATCH: u64 = 0x810;
/// Appends text to the log.
pub const LOG_TEXT: u64 = 0x818;

/// Most writes in a batch.
const MAX_BATCH: u32 = 256;
/// Bytes of a write.
const WRITE_LEN: u64 = 8;
/// Bits of an address in a store to [`LOG_TEXT`].
const ADDRESS_BITS: u32 = 48;
/// How much text is copied at a time.
const TEXT_CHUNK: usize = 256;

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

/// The writes that a store to [`BATCH`] stands for: offsets and values. None if there is no batch at that address.
pub fn read_batch(data: &[u8], memory: &GuestMemoryMmap) -> Vec<(u32, u32)> {
    let Some(address) = address(data) else { return Vec::new() };
    let count: u32 = memory.read_obj(GuestAddress(address)).unwrap_or(0);
    let write = |index: u32| {
        let at = address.checked_add(4 + WRITE_LEN * u64::from(index))?;
        let bytes: [u8; 8] = memory.read_obj(GuestAddress(at)).ok()?;
        let value = u64::from_le_bytes(bytes);
        Some(((value & u64::from(u32::MAX)) as u32, (value >> 32) as u32))
    };
    if count > MAX_BATCH {
        return Vec::new();
    }
    (0..count).map(write).collect::<Option<_>>().unwrap_or_default()
}

/// Hands out the text that a store to [`LOG_TEXT`] stands for, as far as it is in memory.
pub fn read_text(data: &[u8], memory: &GuestMemoryMmap, mut each: impl FnMut(&[u8])) {
    let Some(value) = address(data) else { return };
    let mut address = value & ((1 << ADDRESS_BITS) - 1);
    let mut left = usize::try_from(value >> ADDRESS_BITS).unwrap_or(0);
    let mut buffer = [0; TEXT_CHUNK];
    while left > 0 {
        let Some(chunk) = buffer.get_mut(..left.min(TEXT_CHUNK)) else { return };
        if memory.read_slice(chunk, GuestAddress(address)).is_err() {
            return;
        }
        each(chunk);
        address += chunk.len() as u64;
        left -= chunk.len();
    }
}

fn address(data: &[u8]) -> Option<u64> {
    data.try_into().ok().map(u64::from_le_bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn memory() -> GuestMemoryMmap {
        GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap()
    }

    #[test]
    fn a_batch_is_read_in_order() {
        let memory = memory();
        let words = [3u32, 0x70, 1, 0x70, 3, 0x1024, 7];
        for (at, word) in (0x100..).step_by(4).zip(words) {
            memory.write_obj(word, GuestAddress(at)).unwrap();
        }
        assert_eq!(read_batch(&0x100u64.to_le_bytes(), &memory), [(0x70, 1), (0x70, 3), (0x1024, 7)]);
    }

    #[test]
    fn what_is_no_batch_is_ignored() {
        let memory = memory();
        memory.write_obj(257u32, GuestAddress(0x100)).unwrap();
        memory.write_obj(2u32, GuestAddress(0xfff0)).unwrap();
        for address in [0x100, 0xfff0, 0xfffe, u64::MAX, u64::MAX - 3] {
            assert_eq!(read_batch(&address.to_le_bytes(), &memory), [], "{address:#x}");
        }
        assert_eq!(read_batch(&[0; 4], &memory), []);
    }

    #[test]
    fn text_is_read_as_far_as_it_is_there() {
        let memory = memory();
        memory.write_slice(b"hello", GuestAddress(0xfffb)).unwrap();
        let read = |value: u64| {
            let mut text = Vec::new();
            read_text(&value.to_le_bytes(), &memory, |chunk| text.extend_from_slice(chunk));
            text
        };
        assert_eq!(read(5 << 48 | 0xfffb), b"hello");
        assert_eq!(read(6 << 48 | 0xfffb), b"");
        assert_eq!(read(0xffff << 48).len(), 0xffff);
        assert_eq!(read(u64::MAX), b"");
    }
}
