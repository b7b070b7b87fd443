//! Copying an address space for `fork(2)`.
//!
//! A trap costs more than copying a few pages, so the writable pages of a small program are copied at once, and neither
//! side will fault on them. Those of a large one are shared until one side writes.

use super::paging::{PageTables, bits};
use super::{AddressSpace, Area, Backing};
use ampoule_kbase::{Frame, Result, frames};
use core::mem::ManuallyDrop;

/// Used writable pages up to which a program is small.
const SMALL: usize = 128;

/// What happens to the private pages that the parent may write to.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Policy {
    Copy,
    Share,
}

impl AddressSpace {
    /// A copy.
    pub fn fork(&mut self) -> Result<Self> {
        const AREA_SIZE: usize = 2 * size_of::<(u64, Area)>();
        frames::check_room(self.areas.len() * AREA_SIZE)?;
        let mut child = Self::new()?;
        child.brk_start = self.brk_start;
        child.brk = self.brk;
        child.mmap_top = self.mmap_top;
        child.size = self.size;
        child.size_limit = self.size_limit;
        child.data_limit = self.data_limit;
        child.layout = self.layout;
        child.areas = self.areas.clone();
        let policy = if self.used_writable_pages() <= SMALL { Policy::Copy } else { Policy::Share };
        let mut narrowed = false;
        for area in self.areas.values() {
            narrowed |= copy_area(&self.tables, area, &mut child, policy)?;
        }
        if narrowed {
            self.flush();
        }
        Ok(child)
    }

    fn used_writable_pages(&self) -> usize {
        let mut count = 0;
        for area in self.areas.values().filter(|area| !area.shared && area.may_write) {
            self.tables.for_each(area.start, area.end, |_, entry| {
                count += usize::from(*entry & bits::WRITE != 0 && !is_untouched(area, *entry));
            });
        }
        count
    }
}

/// Whether an anonymous page was mapped ahead and never used: it is zero, and the child can have its own.
pub(super) fn is_untouched(area: &Area, entry: u64) -> bool {
    matches!(area.backing, Backing::Anonymous) && entry & (bits::ACCESSED | bits::DIRTY) == 0
}

/// Copies the entries of one area; says whether the parent lost the right to write to a page.
fn copy_area(tables: &PageTables, area: &Area, child: &mut AddressSpace, policy: Policy) -> Result<bool> {
    let mut narrowed = false;
    let mut result = Ok(());
    tables.for_each(area.start, area.end, |address, entry| {
        if result.is_ok() {
            result = copy_page(area, address, entry, child, policy, &mut narrowed);
        }
    });
    result.map(|()| narrowed)
}

fn copy_page(
    area: &Area,
    address: u64,
    entry: &mut u64,
    child: &mut AddressSpace,
    policy: Policy,
    narrowed: &mut bool,
) -> Result<()> {
    let private_writable = !area.shared && area.may_write && *entry & bits::WRITE != 0;
    if private_writable && is_untouched(area, *entry) {
        return Ok(());
    }
    // SAFETY: the parent's entry holds a reference, which the handle only borrows.
    let frame = ManuallyDrop::new(unsafe { Frame::from_physical(*entry & bits::ADDRESS) });
    let target = child.tables.find_or_make(address)?;
    if private_writable && policy == Policy::Copy {
        *target = frame.duplicate()?.into_physical() | (*entry & !bits::ADDRESS);
    } else {
        if private_writable {
            *entry &= !bits::WRITE;
            *narrowed = true;
        }
        *target = (*frame).clone().into_physical() | (*entry & !bits::ADDRESS);
    }
    child.resident += 1;
    Ok(())
}
