//! Page faults: from the processor, and from the kernel's own checks of user memory.

use super::paging::bits;
use super::{AddressSpace, Area, Backing, PAGE, Protection, page_down};
use crate::signal::{self, SignalInfo};
use ampoule_kbase::{Errno, Frame, frames};
use linux_raw_sys::general::{SIGBUS, SIGSEGV};

/// What was tried.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Access {
    Read,
    Write,
    Execute,
}

/// Why an access cannot be allowed.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Fault {
    /// Nothing is mapped there.
    Unmapped,
    /// The mapping does not allow it.
    Denied,
    /// The file ends before that page.
    BeyondFile,
    /// No memory is left.
    OutOfMemory,
}

impl Fault {
    /// Raises the signal of `signal(7)` in the current thread.
    pub fn raise(self, address: u64) {
        const SEGV_MAPERR: i32 = 1;
        const SEGV_ACCERR: i32 = 2;
        const BUS_ADRERR: i32 = 2;
        const PAGE_FAULT: i32 = 14;
        let (signo, code) = match self {
            Fault::Unmapped => (SIGSEGV, SEGV_MAPERR),
            Fault::Denied => (SIGSEGV, SEGV_ACCERR),
            Fault::BeyondFile => (SIGBUS, BUS_ADRERR),
            Fault::OutOfMemory => return crate::oom::kill_for_memory(),
        };
        signal::force(SignalInfo::fault(signo, code, address, PAGE_FAULT));
    }
}

impl From<Errno> for Fault {
    fn from(errno: Errno) -> Self {
        if errno == Errno::ENOMEM { Fault::OutOfMemory } else { Fault::BeyondFile }
    }
}

/// Anonymous pages that one fault maps, at most: an aligned neighbourhood of 64 KiB.
const ANONYMOUS_CLUSTER: u64 = 16 * PAGE;
/// File pages that one fault maps, at most.
const FILE_CLUSTER: u64 = 64 * PAGE;

impl AddressSpace {
    /// Makes `address` accessible, or says why it cannot be.
    pub fn fault(&mut self, address: u64, access: Access) -> Result<(), Fault> {
        let page = page_down(address);
        let area = self.area(address).ok_or(Fault::Unmapped)?.clone();
        let wanted = match access {
            Access::Read => Protection::READ | Protection::WRITE | Protection::EXECUTE,
            Access::Write => Protection::WRITE,
            Access::Execute => Protection::EXECUTE,
        };
        if !area.protection.intersects(wanted) {
            return Err(Fault::Denied);
        }
        match self.tables.find(page).filter(|entry| entry & bits::PRESENT != 0) {
            Some(entry) if access == Access::Write && entry & bits::WRITE == 0 => {
                self.write_to_present(&area, page, entry)
            }
            Some(_) => Ok(()),
            None => self.fill(&area, page, access),
        }
    }

    /// Whether `address` can be accessed as it is, without a fault.
    #[inline]
    pub fn is_accessible(&self, address: u64, access: Access) -> bool {
        let need = bits::PRESENT | bits::USER | if access == Access::Write { bits::WRITE } else { 0 };
        self.tables.find(address).is_some_and(|entry| entry & need == need)
    }

    /// A write to a page that is mapped read-only: copy on write, or the first write to a shared page.
    fn write_to_present(&mut self, area: &Area, page: u64, entry: u64) -> Result<(), Fault> {
        let old = entry & bits::ADDRESS;
        let fresh = if area.shared {
            match area.file_page(page) {
                Some((file, index)) => file.page(index, true)?.into_physical(),
                None => return Err(Fault::Denied),
            }
        } else {
            // SAFETY: the entry holds a reference, which the handle borrows for the moment.
            let frame = core::mem::ManuallyDrop::new(unsafe { Frame::from_physical(old) });
            if frame.count() == 1 {
                // Nobody else has it: its contents are already this program's own.
                return self.replace(page, old, area);
            }
            frame.duplicate()?.into_physical()
        };
        self.replace(page, fresh, area)?;
        // SAFETY: the entry's reference is no longer in the tables.
        drop(unsafe { Frame::from_physical(old) });
        Ok(())
    }

    fn replace(&mut self, page: u64, physical: u64, area: &Area) -> Result<(), Fault> {
        let entry = self.tables.find_or_make(page)?;
        *entry = physical | flags(area.protection, true);
        Ok(())
    }

    /// Maps an absent page and, where that is cheap, its neighbours.
    fn fill(&mut self, area: &Area, page: u64, access: Access) -> Result<(), Fault> {
        match &area.backing {
            Backing::Anonymous => self.fill_anonymous(area, page),
            Backing::File { .. } => self.fill_file(area, page, access),
        }
    }

    fn fill_anonymous(&mut self, area: &Area, page: u64) -> Result<(), Fault> {
        self.map_anonymous(area, page)?;
        let (total, free) = frames::usage();
        if free < total / 4 {
            return Ok(());
        }
        let start = (page & !(ANONYMOUS_CLUSTER - 1)).max(area.start);
        let end = (start + ANONYMOUS_CLUSTER).min(area.end) & !(PAGE - 1);
        for neighbour in (page + PAGE..end).step_by(PAGE as usize) {
            if self.map_anonymous(area, neighbour).is_err() {
                break;
            }
        }
        Ok(())
    }

    pub(super) fn map_anonymous(&mut self, area: &Area, page: u64) -> Result<(), Fault> {
        let entry = self.tables.find_or_make(page)?;
        if *entry & bits::PRESENT == 0 {
            // The processor (or the host) notes the first use: a page without that mark is still zero.
            let marks = bits::ACCESSED | bits::DIRTY;
            *entry = Frame::zeroed()?.into_physical() | flags(area.protection, true) & !marks;
            self.resident += 1;
        }
        Ok(())
    }

    fn fill_file(&mut self, area: &Area, page: u64, access: Access) -> Result<(), Fault> {
        let (file, index) = area.file_page(page).ok_or(Fault::Unmapped)?;
        let frame = file.page(index, area.shared && access == Access::Write)?;
        let (frame, writable) = match (area.shared, access) {
            (true, Access::Write) => (frame, true),
            (false, Access::Write) => (frame.duplicate()?, true),
            _ => (frame, false),
        };
        let entry = self.tables.find_or_make(page)?;
        *entry = frame.into_physical() | flags(area.protection, writable);
        self.resident += 1;
        let start = (page & !(FILE_CLUSTER - 1)).max(area.start);
        self.map_file_pages(area, start, (start + FILE_CLUSTER).min(area.end));
        Ok(())
    }

    /// Maps the pages of a file area that are not mapped yet, read-only, as far as the file goes.
    pub(super) fn map_file_pages(&mut self, area: &Area, start: u64, end: u64) {
        let mut page = start;
        while page < end {
            let Some((file, index)) = area.file_page(page) else { return };
            let Ok((frame, count)) = file.page_run(index, (end - page) / PAGE) else { return };
            let first = frame.physical();
            let mut frame = Some(frame);
            for i in 0..count.max(1) {
                // SAFETY: only device frames come in runs, and those are not counted.
                let next = frame.take().unwrap_or_else(|| unsafe { Frame::from_physical(first + i * PAGE) });
                if self.map_if_absent(area, page, next).is_err() {
                    return;
                }
                page += PAGE;
            }
        }
    }

    /// Maps one page read-only, unless there is one.
    fn map_if_absent(&mut self, area: &Area, page: u64, frame: Frame) -> Result<(), Fault> {
        let entry = self.tables.find_or_make(page)?;
        if *entry & bits::PRESENT == 0 {
            *entry = frame.into_physical() | flags(area.protection, false);
            self.resident += 1;
        }
        Ok(())
    }
}

/// The bits of an entry for a page of an area.
pub(super) fn flags(protection: Protection, writable: bool) -> u64 {
    // Pages of an area without any permission stay in the tables, out of the program's reach.
    let reachable = if protection.is_empty() { 0 } else { bits::USER };
    let mut flags = bits::PRESENT | bits::ACCESSED | reachable;
    if writable && protection.contains(Protection::WRITE) {
        flags |= bits::WRITE | bits::DIRTY;
    }
    if !protection.contains(Protection::EXECUTE) {
        flags |= bits::NO_EXECUTE;
    }
    flags
}

impl AddressSpace {
    /// The frame that holds `length` bytes at `address`, ready to be written; none if they are not the program's to
    /// write or cross a page.
    pub fn writable_frame(&mut self, address: u64, length: usize) -> Option<Frame> {
        if address >= super::USER_END || address % PAGE + length as u64 > PAGE {
            return None;
        }
        if !self.is_accessible(address, Access::Write) {
            self.fault(address, Access::Write).ok()?;
        }
        self.frame_at(address)
    }

    /// The frame that is mapped at an address.
    pub fn frame_at(&self, address: u64) -> Option<Frame> {
        let entry = self.tables.find(address)?;
        if entry & bits::PRESENT == 0 {
            return None;
        }
        // SAFETY: the entry holds a reference, which is borrowed to make another one.
        let held = core::mem::ManuallyDrop::new(unsafe { Frame::from_physical(entry & bits::ADDRESS) });
        Some((*held).clone())
    }

    /// Copies out of the program's memory without being in it; stops at what is not mapped. Returns the count.
    pub fn peek(&mut self, address: u64, to: &mut [u8]) -> usize {
        let mut done = 0;
        while done < to.len() {
            let at = address + done as u64;
            let step = ((PAGE - at % PAGE) as usize).min(to.len() - done);
            if at >= super::USER_END
                || (!self.is_accessible(at, Access::Read) && self.fault(at, Access::Read).is_err())
            {
                break;
            }
            let Some(frame) = self.frame_at(at) else { break };
            frame.read((at % PAGE) as usize, &mut to[done..done + step]);
            done += step;
        }
        done
    }
}

impl AddressSpace {
    /// Puts a private page in place. The space must not be in use, or the page absent.
    pub fn install_in(&mut self, area: &Area, page: u64, frame: Frame) -> ampoule_kbase::Result<()> {
        let entry = self.tables.find_or_make(page)?;
        let old = core::mem::replace(entry, frame.into_physical() | flags(area.protection, true));
        if old & bits::PRESENT == 0 {
            self.resident += 1;
        } else {
            // SAFETY: the entry held a reference, which is no longer in the tables.
            drop(unsafe { Frame::from_physical(old & bits::ADDRESS) });
        }
        Ok(())
    }
}
