//! Copying an address space for `fork(2)`: pages of private areas are shared until one side writes.

use super::paging::bits;
use super::{AddressSpace, Area, Protection};
use ampoule_kbase::{Frame, Result};

/// Pages at and above the stack pointer that the child gets as copies at once: it is sure to write them first.
const STACK_COPY: u64 = 2 * super::PAGE;

impl AddressSpace {
    /// A copy. `stack_pointer` is the forking thread's.
    pub fn fork(&mut self, stack_pointer: u64) -> Result<Self> {
        let mut child = Self::new()?;
        child.brk_start = self.brk_start;
        child.brk = self.brk;
        child.mmap_top = self.mmap_top;
        child.size = self.size;
        child.size_limit = self.size_limit;
        child.data_limit = self.data_limit;
        child.layout = self.layout;
        child.areas = self.areas.clone();
        let stack = super::page_down(stack_pointer);
        let hot = stack..stack + STACK_COPY;
        let mut shared_writable = false;
        for area in self.areas.values() {
            shared_writable |= copy_area(&self.tables, area, &mut child, &hot)?;
        }
        child.resident = self.resident;
        if shared_writable {
            self.flush();
        }
        Ok(child)
    }
}

/// Copies the entries of one area; says whether the parent lost the right to write to a page.
fn copy_area(
    tables: &super::paging::PageTables,
    area: &Area,
    child: &mut AddressSpace,
    hot: &core::ops::Range<u64>,
) -> Result<bool> {
    let cow = !area.shared && area.may_write;
    let mut narrowed = false;
    let mut result = Ok(());
    tables.for_each(area.start, area.end, |address, entry| {
        if result.is_err() {
            return;
        }
        let physical = *entry & bits::ADDRESS;
        // SAFETY: the parent's entry holds a reference, which the handle only borrows.
        let frame = core::mem::ManuallyDrop::new(unsafe { Frame::from_physical(physical) });
        let writable = *entry & bits::WRITE != 0;
        let copied = (|| {
            let target = child.tables.find_or_make(address)?;
            if cow && writable && hot.contains(&address) && area.protection.contains(Protection::WRITE) {
                *target = frame.duplicate()?.into_physical() | (*entry & !bits::ADDRESS);
                return Ok(());
            }
            if cow && writable {
                *entry &= !bits::WRITE;
                narrowed = true;
            }
            *target = (*frame).clone().into_physical() | (*entry & !bits::ADDRESS);
            Ok(())
        })();
        result = copied;
    });
    result.map(|()| narrowed)
}
