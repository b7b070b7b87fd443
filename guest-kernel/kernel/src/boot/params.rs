//! What the VMM tells a kernel: `struct boot_params` of the Linux boot protocol, and the command line.
//!
//! Offsets are those of Documentation/arch/x86/zero-page.rst.

use crate::mm::DIRECT_MAP;
use alloc::vec::Vec;

const E820_ENTRIES: u64 = 0x1e8;
const E820_TABLE: u64 = 0x2d0;
const E820_SIZE: u64 = 20;
const E820_MAX: usize = 128;
const COMMAND_LINE: u64 = 0x228;
const COMMAND_LINE_SIZE: u64 = 0x238;
const SETUP_DATA: u64 = 0x250;
const SETUP_RNG_SEED: u32 = 9;
const RAM: u32 = 1;
const PERSISTENT: u32 = 7;
/// RAM that the direct map covers from the start.
const MAPPED: u64 = 1 << 30;

/// A physical range.
#[derive(Clone, Copy, Debug, Default)]
pub struct Region {
    /// First address.
    pub start: u64,
    /// First address behind it.
    pub end: u64,
}

/// The memory map, without an allocator.
#[derive(Default)]
pub struct MemoryMap {
    /// The RAM that holds address 1 MiB.
    pub low: Region,
    /// RAM from 4 GiB on, if there is any.
    pub high: Region,
    /// Images: root, agent.
    pub images: [Region; 8],
    /// How many there are.
    pub image_count: usize,
}

fn read<T: Copy>(physical: u64) -> T {
    assert!(physical + (size_of::<T>() as u64) <= MAPPED, "boot data beyond the first GiB");
    // SAFETY: the first GiB is in the direct map, and boot data are plain integers.
    unsafe { core::ptr::read_unaligned((DIRECT_MAP + physical) as *const T) }
}

/// Reads the memory map.
pub fn memory_map(params: u64) -> MemoryMap {
    let mut map = MemoryMap::default();
    let count = usize::from(read::<u8>(params + E820_ENTRIES)).min(E820_MAX);
    for i in 0..count as u64 {
        let at = params + E820_TABLE + i * E820_SIZE;
        let (start, size, kind) = (read::<u64>(at), read::<u64>(at + 8), read::<u32>(at + 16));
        let region = Region { start, end: start.saturating_add(size) };
        match kind {
            RAM if region.start >= 1 << 32 => map.high = region,
            RAM if (region.start..region.end).contains(&(1 << 20)) => map.low = region,
            PERSISTENT if map.image_count < map.images.len() => {
                map.images[map.image_count] = region;
                map.image_count += 1;
            }
            _ => {}
        }
    }
    map
}

/// The command line.
pub fn command_line(params: u64) -> Vec<u8> {
    let at = u64::from(read::<u32>(params + COMMAND_LINE));
    let size = read::<u32>(params + COMMAND_LINE_SIZE).min(4096);
    (0..u64::from(size)).map(|i| read::<u8>(at + i)).take_while(|byte| *byte != 0).collect()
}

/// Calls `each` with the bytes of every seed for the random generator, and erases them.
pub fn take_seeds(params: u64, mut each: impl FnMut(&[u8])) {
    let mut at = read::<u64>(params + SETUP_DATA);
    for _ in 0..16 {
        if at == 0 {
            break;
        }
        let (next, kind, length) = (read::<u64>(at), read::<u32>(at + 8), read::<u32>(at + 12));
        if kind == SETUP_RNG_SEED && length <= 4096 {
            let mut bytes: Vec<u8> = (0..u64::from(length)).map(|i| read::<u8>(at + 16 + i)).collect();
            each(&bytes);
            bytes.fill(0);
            // SAFETY: the seed lies in boot memory, which nobody else uses.
            unsafe { core::ptr::write_bytes((DIRECT_MAP + at + 16) as *mut u8, 0, length as usize) };
        }
        at = next;
    }
}

/// The command line's words.
pub struct CommandLine(pub Vec<u8>);

impl CommandLine {
    fn words(&self) -> impl Iterator<Item = &[u8]> {
        self.0.split(|byte| *byte == b' ').filter(|word| !word.is_empty())
    }

    /// The value of `name=value`; the last one counts.
    pub fn value(&self, name: &str) -> Option<&[u8]> {
        self.words().filter_map(|word| word.strip_prefix(name.as_bytes())?.strip_prefix(b"=")).last()
    }

    /// A number, decimal or with 0x in hexadecimal.
    pub fn number(&self, name: &str) -> Option<u64> {
        let text = core::str::from_utf8(self.value(name)?).ok()?;
        match text.strip_prefix("0x") {
            Some(digits) => u64::from_str_radix(digits, 16).ok(),
            None => text.parse().ok(),
        }
    }

    /// Whether a word is there.
    pub fn has(&self, name: &str) -> bool {
        self.words().any(|word| word == name.as_bytes())
    }

    /// The address and interrupt of the first `virtio_mmio.device=<size>@<address>:<irq>`: vsock.
    pub fn first_virtio_device(&self) -> Option<(u64, u32)> {
        let device = self.words().find_map(|word| word.strip_prefix(b"virtio_mmio.device="))?;
        let text = core::str::from_utf8(device).ok()?;
        let (address, irq) = text.split_once('@')?.1.split_once(':')?;
        Some((u64::from_str_radix(address.strip_prefix("0x")?, 16).ok()?, irq.parse().ok()?))
    }
}
