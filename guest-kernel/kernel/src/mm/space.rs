//! The address space of a program: its areas and page tables.

use super::paging::{PageTables, bits};
use super::{Area, USER_END};
use alloc::collections::BTreeMap;
use ampoule_kbase::{Errno, Frame, Result};

/// The memory of a program.
pub struct AddressSpace {
    pub(super) tables: PageTables,
    pub(super) areas: BTreeMap<u64, Area>,
    /// The heap: from `brk_start` to `brk`.
    pub(super) brk_start: u64,
    pub(super) brk: u64,
    /// Where the search for a free range starts, downwards.
    pub(super) mmap_top: u64,
    /// Pages in the tables.
    pub(super) resident: u64,
    pub(super) peak_resident: u64,
    /// Bytes in all areas, and their limit (`RLIMIT_AS`).
    pub(super) size: u64,
    /// `RLIMIT_AS` in bytes.
    pub size_limit: u64,
    /// `RLIMIT_DATA` in bytes.
    pub data_limit: u64,
    /// Addresses that `/proc/PID/stat`, `cmdline` and `environ` need.
    pub layout: Layout,
}

/// Where `execve` put things.
#[derive(Clone, Copy, Default)]
pub struct Layout {
    pub code: (u64, u64),
    pub stack: u64,
    pub arguments: (u64, u64),
    pub environment: (u64, u64),
}

impl AddressSpace {
    /// An empty space.
    pub fn new() -> Result<Self> {
        Ok(Self {
            tables: PageTables::new()?,
            areas: BTreeMap::new(),
            brk_start: 0,
            brk: 0,
            mmap_top: USER_END,
            resident: 0,
            peak_resident: 0,
            size: 0,
            size_limit: u64::MAX,
            data_limit: u64::MAX,
            layout: Layout::default(),
        })
    }

    /// What CR3 takes.
    pub fn root(&self) -> u64 {
        self.tables.root()
    }

    /// The area that holds `address`.
    pub fn area(&self, address: u64) -> Option<&Area> {
        self.areas.range(..=address).next_back().map(|(_, area)| area).filter(|area| address < area.end)
    }

    /// All areas in order.
    pub fn areas(&self) -> impl Iterator<Item = &Area> {
        self.areas.values()
    }

    /// Resident pages: now and at most so far.
    pub fn resident(&self) -> (u64, u64) {
        (self.resident, self.peak_resident.max(self.resident))
    }

    /// Pages that the program has used: what was only mapped ahead does not count.
    pub fn used_pages(&self) -> u64 {
        self.count_pages(|_| true)
    }

    /// Pages of RAM that its end would free, page tables included; those it shares with others too.
    pub fn freeable_pages(&self) -> u64 {
        let ram = self.count_pages(|entry| ampoule_kbase::frames::is_ram(entry & bits::ADDRESS));
        ram + self.tables.pages()
    }

    fn count_pages(&self, counts: impl Fn(u64) -> bool) -> u64 {
        let mut count = 0;
        for area in self.areas.values() {
            self.tables.for_each(area.start, area.end, |_, entry| {
                count += u64::from(!super::fork::is_untouched(area, *entry) && counts(*entry));
            });
        }
        count
    }

    /// Bytes mapped.
    pub fn size(&self) -> u64 {
        self.size
    }

    /// Sets where the heap starts, empty.
    pub fn set_heap(&mut self, start: u64) {
        self.brk_start = start;
        self.brk = start;
    }

    /// Sets where mappings go, downwards.
    pub fn set_mmap_top(&mut self, top: u64) {
        self.mmap_top = top;
    }

    /// Areas that overlap a range, by their starts.
    pub(super) fn overlapping(&self, start: u64, end: u64) -> impl Iterator<Item = &Area> {
        let first = self.area(start).map_or(start, |area| area.start);
        self.areas.range(first..end).map(|(_, area)| area).filter(move |area| area.end > start)
    }

    /// Enters a new area, joined with its neighbours where they continue each other. The range must be free.
    pub(super) fn insert(&mut self, mut area: Area) {
        self.size += area.length();
        if let Some((_, before)) = self.areas.range(..area.start).next_back()
            && before.continues_into(&area)
        {
            area = Area { start: before.start, backing: before.backing.clone(), ..area };
            self.areas.remove(&area.start);
        }
        if let Some(after) = self.areas.get(&area.end)
            && area.continues_into(after)
        {
            let (start, end) = (after.start, after.end);
            self.areas.remove(&start);
            area.end = end;
        }
        self.areas.insert(area.start, area);
    }

    /// Takes the areas of a range out, cutting those that reach beyond it. Their pages stay in the tables.
    pub(super) fn take(&mut self, start: u64, end: u64) -> alloc::vec::Vec<Area> {
        let starts: alloc::vec::Vec<u64> = self.overlapping(start, end).map(|area| area.start).collect();
        let mut taken = alloc::vec::Vec::with_capacity(starts.len());
        for key in starts {
            let Some(area) = self.areas.remove(&key) else { continue };
            if area.start < start {
                self.areas.insert(area.start, area.cut(area.start, start));
            }
            if area.end > end {
                self.areas.insert(end, area.cut(end, area.end));
            }
            let part = area.cut(area.start.max(start), area.end.min(end));
            self.size -= part.length();
            taken.push(part);
        }
        taken
    }

    /// Drops the pages of a range from the tables.
    pub(super) fn release_pages(&mut self, start: u64, end: u64) -> bool {
        let mut released = 0;
        self.tables.for_each(start, end, |_, entry| {
            let physical = *entry & bits::ADDRESS;
            *entry = 0;
            released += 1;
            // SAFETY: a present entry holds the reference of `Frame::into_physical`.
            drop(unsafe { Frame::from_physical(physical) });
        });
        self.peak_resident = self.peak_resident.max(self.resident);
        self.resident -= released;
        released > 0
    }

    /// Forgets cached translations, if this is the space in use.
    pub(super) fn flush(&self) {
        if crate::task::active_root() == self.root() {
            // SAFETY: it is in use already.
            unsafe { crate::arch::cpu::load_page_table(self.root()) };
        }
    }

    /// Whether `bytes` more of private memory that can be written may be mapped (`RLIMIT_DATA`); the stack does not count.
    pub(super) fn check_data(&self, bytes: u64) -> Result<()> {
        if self.data_limit == u64::MAX {
            return Ok(());
        }
        let used: u64 = self.areas.values().filter(|area| area.is_data()).map(Area::length).sum();
        match used.checked_add(bytes) {
            Some(sum) if sum <= self.data_limit => Ok(()),
            _ => Err(Errno::ENOMEM),
        }
    }

    /// Whether `bytes` more may be mapped.
    pub(super) fn check_size(&self, bytes: u64) -> Result<()> {
        match self.size.checked_add(bytes) {
            Some(sum) if sum <= self.size_limit => Ok(()),
            _ => Err(Errno::ENOMEM),
        }
    }
}

impl Drop for AddressSpace {
    fn drop(&mut self) {
        let ranges: alloc::vec::Vec<(u64, u64)> =
            self.areas.values().map(|area| (area.start, area.end)).collect();
        for (start, end) in ranges {
            self.release_pages(start, end);
        }
    }
}
