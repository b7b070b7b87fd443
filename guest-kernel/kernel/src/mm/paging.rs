//! Four-level page tables (Intel SDM vol. 3, 4.5), reached through the direct map.

use super::{DIRECT_MAP, PAGE};
use alloc::vec::Vec;
use ampoule_kbase::{Frame, Mutex, Result};

/// Bits of a page-table entry.
pub mod bits {
    pub const PRESENT: u64 = 1;
    pub const WRITE: u64 = 1 << 1;
    pub const USER: u64 = 1 << 2;
    pub const WRITE_THROUGH: u64 = 1 << 3;
    pub const CACHE_DISABLE: u64 = 1 << 4;
    pub const ACCESSED: u64 = 1 << 5;
    pub const DIRTY: u64 = 1 << 6;
    pub const LARGE: u64 = 1 << 7;
    pub const NO_EXECUTE: u64 = 1 << 63;
    pub const ADDRESS: u64 = 0x000f_ffff_ffff_f000;
}

/// Bytes that one last-level table maps.
pub const TABLE_SPAN: u64 = 512 * PAGE;
const TABLE_BITS: u64 = bits::PRESENT | bits::WRITE | bits::USER | bits::ACCESSED;
const KERNEL_SLOTS: core::ops::Range<usize> = 257..512;

/// A pointer to the entry of `address` at `level` (3 is the root) in the table at `table`.
fn entry(table: u64, address: u64, level: u32) -> *mut u64 {
    let index = address >> (12 + 9 * level) & 511;
    (DIRECT_MAP + table + index * 8) as *mut u64
}

/// The root of one address space's tables. The upper half is the kernel's, the same in all.
pub struct PageTables {
    root: Frame,
    /// Tables below the root.
    tables: usize,
}

/// Trees of tables whose last-level entries are all empty, from spaces that are gone. A host that shadows page tables
/// keeps its shadows of them, so the next program, which is laid out much the same, costs few traps.
static POOL: Mutex<Vec<(Frame, usize)>> = Mutex::new(Vec::new());
const POOL_LIMIT: usize = 8;
/// Trees with more tables than this are not worth keeping.
const POOLED_TABLES: usize = 24;

impl PageTables {
    /// Tables with an empty lower half.
    pub fn new() -> Result<Self> {
        let pooled = POOL.lock().pop();
        if let Some((root, tables)) = pooled {
            return Ok(Self { root, tables });
        }
        let root = Frame::zeroed()?;
        for slot in KERNEL_SLOTS {
            let address = (slot as u64) << 39;
            // SAFETY: both are whole tables in the direct map; the boot tables are never changed at this level.
            unsafe { *entry(root.physical(), address, 3) = *entry(boot_root(), address, 3) };
        }
        Ok(Self { root, tables: 0 })
    }

    /// What CR3 takes.
    pub fn root(&self) -> u64 {
        self.root.physical()
    }

    /// Where the last-level entry of a user address is, if its table exists.
    fn slot(&self, address: u64) -> Option<*mut u64> {
        let mut table = self.root.physical();
        for level in (1..4).rev() {
            // SAFETY: `table` is a live table of this space.
            let value = unsafe { *entry(table, address, level) };
            if value & bits::PRESENT == 0 {
                return None;
            }
            table = value & bits::ADDRESS;
        }
        Some(entry(table, address, 0))
    }

    /// The last-level entry of a user address, if its table exists.
    pub fn find(&self, address: u64) -> Option<u64> {
        // SAFETY: the slot is in a live table of this space.
        self.slot(address).map(|slot| unsafe { *slot })
    }

    /// The last-level entry of a user address, with tables made as needed.
    pub fn find_or_make(&mut self, address: u64) -> Result<&mut u64> {
        let mut table = self.root.physical();
        for level in (1..4).rev() {
            let at = entry(table, address, level);
            // SAFETY: `table` is a live table of this space, which `&mut self` makes ours.
            unsafe {
                if *at & bits::PRESENT == 0 {
                    *at = Frame::zeroed()?.into_physical() | TABLE_BITS;
                    self.tables += 1;
                }
                table = *at & bits::ADDRESS;
            }
        }
        // SAFETY: as above.
        Ok(unsafe { &mut *entry(table, address, 0) })
    }

    /// Pages that the tables take.
    pub fn pages(&self) -> u64 {
        self.tables as u64 + 1
    }

    /// Calls `each` with every present entry of a range and its address; absent tables are skipped.
    pub fn for_each(&self, start: u64, end: u64, mut each: impl FnMut(u64, &mut u64)) {
        let mut address = start;
        while address < end {
            let table_end = ((address | (TABLE_SPAN - 1)) + 1).min(end);
            if let Some(first) = self.slot(address) {
                for i in 0..(table_end - address) / PAGE {
                    // SAFETY: `i` stays within the table that holds `first`, and entries are visited one by one.
                    let value = unsafe { &mut *first.add(i as usize) };
                    if *value & bits::PRESENT != 0 {
                        each(address + i * PAGE, value);
                    }
                }
            }
            address = table_end;
        }
    }

    /// Frees the tables of the lower half. The last-level entries must be empty.
    fn free_tables(table: u64, level: u32) {
        let slots = if level == 3 { 256 } else { 512 };
        for slot in 0..slots {
            // SAFETY: `table` is a live table of a space that is being dropped.
            let value = unsafe { *entry(table, slot << (12 + 9 * level), level) };
            if value & bits::PRESENT != 0 {
                let next = value & bits::ADDRESS;
                if level > 1 {
                    Self::free_tables(next, level - 1);
                }
                // SAFETY: the entry held the reference of `Frame::into_physical`.
                drop(unsafe { Frame::from_physical(next) });
            }
        }
    }
}

impl Drop for PageTables {
    fn drop(&mut self) {
        let mut pool = POOL.lock();
        if pool.len() < POOL_LIMIT && self.tables <= POOLED_TABLES {
            pool.push((self.root.clone(), self.tables));
        } else {
            drop(pool);
            Self::free_tables(self.root.physical(), 3);
        }
    }
}

unsafe extern "C" {
    static boot_pml4: u8;
    static boot_pdpt_low: u8;
}

fn physical_of(symbol: *const u8) -> u64 {
    symbol as u64 - super::KERNEL_BASE
}

/// The tables that the kernel started on.
pub fn boot_root() -> u64 {
    physical_of(&raw const boot_pml4)
}

/// Extends the direct map, which starts with the first GiB, by a physical range in pages of 2 MiB.
pub fn extend_direct_map(start: u64, end: u64, cache: Cache) -> Result<()> {
    const LARGE: u64 = 2 << 20;
    let mut at = start & !(LARGE - 1);
    while at < end {
        let slot = (DIRECT_MAP + physical_of(&raw const boot_pdpt_low) + (at >> 30 & 511) * 8) as *mut u64;
        // SAFETY: the boot tables belong to start-up alone until the first program runs; after that only new slots of
        // the direct map's own tables are written here.
        unsafe {
            if *slot & bits::PRESENT == 0 {
                *slot = Frame::for_kernel()?.into_physical() | TABLE_BITS;
            }
            let large = entry(*slot & bits::ADDRESS, at, 1);
            if *large & bits::PRESENT == 0 {
                let caching =
                    if cache == Cache::Device { bits::CACHE_DISABLE | bits::WRITE_THROUGH } else { 0 };
                *large = at | bits::LARGE | bits::PRESENT | bits::WRITE | bits::USER | caching;
            }
        }
        at += LARGE;
    }
    Ok(())
}

/// How a physical range may be cached.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Cache {
    /// Ordinary memory.
    Memory,
    /// Registers.
    Device,
}

/// In ring 0 mode, takes the kernel's mappings away from programs.
pub fn protect_kernel() {
    for slot in [257u64, 511] {
        let at = entry(boot_root(), slot << 39, 3);
        // SAFETY: the boot root is live; the bit only concerns ring 3, where nothing of the kernel runs in this mode.
        unsafe { *at &= !bits::USER };
    }
    // SAFETY: the same table again, to flush stale translations.
    unsafe { crate::arch::cpu::load_page_table(boot_root()) };
}
