//! `mmap`, `munmap`, `mprotect`, `mremap`, `brk` and `madvise`, on page-aligned ranges.

use super::fault::flags;
use super::paging::bits;
use super::{AddressSpace, Area, Backing, PAGE, Protection, USER_END, USER_START, page_up};
use alloc::vec::Vec;
use ampoule_kbase::{Copies, Errno, Frame, Result};
use core::ops::Range;

/// File pages that `mmap` maps at once: programs and libraries are mapped whole.
const EAGER_FILE_BYTES: u64 = 2 << 20;
/// Areas a program may have (`vm.max_map_count`).
const MAX_AREAS: usize = 65_530;

/// Where a new mapping goes.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Placement {
    /// Anywhere; near the hint, if one is given.
    Any(u64),
    /// There, in place of what is there now (`MAP_FIXED`).
    Fixed(u64),
    /// There, if nothing is there now (`MAP_FIXED_NOREPLACE`).
    FixedIfFree(u64),
}

/// A checked request for a mapping.
pub struct MapRequest {
    /// Where.
    pub placement: Placement,
    /// Bytes; rounded up to pages.
    pub length: u64,
    /// What may be done.
    pub protection: Protection,
    /// `MAP_SHARED`.
    pub shared: bool,
    /// See [`Area::may_write`].
    pub may_write: bool,
    /// What is mapped.
    pub backing: Backing,
    /// See [`Area::label`].
    pub label: &'static str,
    /// `MAP_POPULATE`.
    pub populate: bool,
}

impl AddressSpace {
    /// Maps, and returns the address.
    pub fn map(&mut self, request: MapRequest) -> Result<u64> {
        let length = page_up(request.length).filter(|length| *length > 0).ok_or(Errno::ENOMEM)?;
        if self.areas.len() >= MAX_AREAS {
            return Err(Errno::ENOMEM);
        }
        self.check_size(length)?;
        let start = match request.placement {
            Placement::Any(hint) => self.find_free(hint, length)?,
            Placement::Fixed(at) => {
                Self::check_range(at, length)?;
                self.unmap(at, length)?;
                at
            }
            Placement::FixedIfFree(at) => {
                Self::check_range(at, length)?;
                if self.overlapping(at, at + length).next().is_some() {
                    return Err(Errno::EEXIST);
                }
                at
            }
        };
        let area = Area {
            start,
            end: start + length,
            protection: request.protection,
            shared: request.shared,
            may_write: request.may_write,
            backing: request.backing,
            label: request.label,
        };
        if area.is_data() {
            self.check_data(length)?;
        }
        self.insert(area.clone());
        self.fill_eagerly(&area, request.populate);
        Ok(start)
    }

    fn fill_eagerly(&mut self, area: &Area, populate: bool) {
        if area.protection.is_empty() {
            return;
        }
        match area.backing {
            Backing::File { .. } => {
                let end = if populate { area.end } else { area.end.min(area.start + EAGER_FILE_BYTES) };
                self.map_file_pages(area, area.start, end);
            }
            Backing::Anonymous if populate => {
                for page in (area.start..area.end).step_by(PAGE as usize) {
                    if self.map_anonymous(area, page).is_err() {
                        break;
                    }
                }
            }
            Backing::Anonymous => {}
        }
    }

    fn check_range(start: u64, length: u64) -> Result<()> {
        if !start.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        match start.checked_add(length) {
            Some(end) if end <= USER_END && start >= USER_START => Ok(()),
            Some(end) if end <= USER_END => Err(Errno::EPERM),
            _ => Err(Errno::ENOMEM),
        }
    }

    /// The start of a free range: at the hint, or the highest one below the top.
    fn find_free(&self, hint: u64, length: u64) -> Result<u64> {
        let hint = hint & !(PAGE - 1);
        if hint >= USER_START
            && let Some(end) = hint.checked_add(length)
            && end <= USER_END
            && self.overlapping(hint, end).next().is_none()
        {
            return Ok(hint);
        }
        let mut end = self.mmap_top;
        for area in self.areas.range(..self.mmap_top).rev().map(|(_, area)| area) {
            if area.end < end && end - area.end >= length {
                break;
            }
            end = end.min(area.start);
        }
        match end.checked_sub(length) {
            Some(start) if start >= USER_START && self.overlapping(start, end).next().is_none() => Ok(start),
            _ => Err(Errno::ENOMEM),
        }
    }

    /// Unmaps whatever is in the range.
    pub fn unmap(&mut self, start: u64, length: u64) -> Result<()> {
        let length = page_up(length).filter(|length| *length > 0).ok_or(Errno::EINVAL)?;
        let end = start.checked_add(length).filter(|end| *end <= USER_END).ok_or(Errno::EINVAL)?;
        if !start.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        let taken = self.take(start, end);
        let mut released = false;
        for area in &taken {
            released |= self.release_pages(area.start, area.end);
        }
        if released {
            self.flush();
        }
        Ok(())
    }

    /// Changes the protection of a range up to the first address that is not mapped or may not be written, which is the
    /// error then.
    pub fn protect(&mut self, start: u64, length: u64, protection: Protection) -> Result<()> {
        if !start.is_multiple_of(PAGE) {
            return Err(Errno::EINVAL);
        }
        let length = page_up(length).ok_or(Errno::ENOMEM)?;
        let end = start.checked_add(length).filter(|end| *end <= USER_END).ok_or(Errno::ENOMEM)?;
        if length == 0 {
            return Ok(());
        }
        let (end, result) = self.protectable(start, end, protection);
        let mut stale = false;
        for mut area in self.take(start, end) {
            let before = area.protection;
            area.protection = protection;
            stale |= self.reflag(&area, before);
            if before.is_empty() {
                self.fill_eagerly(&area, false);
            }
            self.insert(area);
        }
        if stale {
            self.flush();
        }
        result
    }

    /// How far the protection of a range can be changed, and why not further.
    fn protectable(&self, start: u64, end: u64, protection: Protection) -> (u64, Result<()>) {
        let mut at = start;
        for area in self.overlapping(start, end) {
            if area.start > at {
                break;
            }
            if protection.contains(Protection::WRITE) && !area.may_write {
                return (at, Err(Errno::EACCES));
            }
            at = area.end;
        }
        if at < end { (at, Err(Errno::ENOMEM)) } else { (end, Ok(())) }
    }

    /// Gives the present pages of an area the bits of its protection; says whether a right was taken away.
    fn reflag(&mut self, area: &Area, before: Protection) -> bool {
        let narrower = !area.protection.contains(before);
        let mut any = false;
        self.tables.for_each(area.start, area.end, |_, entry| {
            let physical = *entry & bits::ADDRESS;
            let writable = if area.shared {
                *entry & bits::WRITE != 0
            } else {
                // SAFETY: the entry holds a reference, which the handle only borrows.
                core::mem::ManuallyDrop::new(unsafe { Frame::from_physical(physical) }).count() == 1
            };
            *entry = physical | flags(area.protection, writable);
            any = true;
        });
        any && narrower
    }

    /// Whether all of a range is mapped; `ENOMEM` if not.
    pub fn check_mapped(&self, start: u64, end: u64) -> Result<()> {
        let mut at = start;
        for area in self.overlapping(start, end) {
            if area.start > at {
                return Err(Errno::ENOMEM);
            }
            at = area.end;
        }
        if at < end { Err(Errno::ENOMEM) } else { Ok(()) }
    }

    /// `brk(2)`: the new end of the heap, or the old one where that cannot be had.
    pub fn set_break(&mut self, wanted: u64) -> u64 {
        let (Some(old_end), Some(new_end)) = (page_up(self.brk), page_up(wanted)) else { return self.brk };
        if wanted < self.brk_start || wanted - self.brk_start > self.data_limit {
            return self.brk;
        }
        if new_end < old_end {
            if self.unmap(new_end, old_end - new_end).is_err() {
                return self.brk;
            }
        } else if new_end > old_end {
            let request = MapRequest {
                placement: Placement::FixedIfFree(old_end),
                length: new_end - old_end,
                protection: Protection::READ | Protection::WRITE,
                shared: false,
                may_write: true,
                backing: Backing::Anonymous,
                label: "[heap]",
                populate: false,
            };
            if self.map(request).is_err() {
                return self.brk;
            }
        }
        self.brk = wanted;
        wanted
    }

    /// `mremap(2)`. `target`: where to move it (`MREMAP_FIXED`); else it moves only if it `may_move`.
    pub fn remap(
        &mut self,
        start: u64,
        old: u64,
        new: u64,
        may_move: bool,
        target: Option<u64>,
    ) -> Result<u64> {
        let old = page_up(old).ok_or(Errno::EINVAL)?;
        let new = page_up(new).filter(|new| *new > 0).ok_or(Errno::EINVAL)?;
        if !start.is_multiple_of(PAGE) || old == 0 {
            return Err(Errno::EINVAL);
        }
        let end = start.checked_add(old).filter(|end| *end <= USER_END).ok_or(Errno::EFAULT)?;
        let area = self.area(start).filter(|area| area.end >= end).ok_or(Errno::EFAULT)?.cut(start, end);
        if target.is_none() {
            if new <= old {
                if new < old {
                    self.unmap(start + new, old - new)?;
                }
                return Ok(start);
            }
            self.check_size(new - old)?;
            if area.is_data() {
                self.check_data(new - old)?;
            }
            let grown_end = start.checked_add(new).ok_or(Errno::ENOMEM)?;
            let free = grown_end <= USER_END && self.overlapping(end, grown_end).next().is_none();
            if free {
                let mut addition = area.clone();
                addition.start = end;
                addition.end = grown_end;
                if let Backing::File { offset, .. } = &mut addition.backing {
                    *offset += old;
                }
                self.insert(addition);
                return Ok(start);
            }
            if !may_move {
                return Err(Errno::ENOMEM);
            }
        }
        self.move_area(area, new, target)
    }

    fn move_area(&mut self, area: Area, new: u64, target: Option<u64>) -> Result<u64> {
        let to = match target {
            Some(to) => {
                Self::check_range(to, new)?;
                if to < area.end && area.start < to + new {
                    return Err(Errno::EINVAL);
                }
                self.unmap(to, new)?;
                to
            }
            None => self.find_free(0, new)?,
        };
        self.check_size(new.saturating_sub(area.length()))?;
        let moved = Area { start: to, end: to + new, ..area.clone() };
        let keep = area.length().min(new);
        // First all that can fail: then no page is lost on the way.
        let mut count = 0;
        self.tables.for_each(area.start, area.start + keep, |_, _| count += 1);
        let mut pages: Vec<(u64, u64)> = Vec::new();
        pages.try_reserve_exact(count).map_err(|_| Errno::ENOMEM)?;
        self.tables.for_each(area.start, area.start + keep, |address, entry| {
            pages.push((address - area.start + to, *entry));
        });
        for (address, _) in &pages {
            self.tables.find_or_make(*address)?;
        }
        for (address, entry) in pages {
            *self.tables.find_or_make(address)? = entry;
            *self.tables.find_or_make(address - to + area.start)? = 0;
        }
        for rest in self.take(area.start, area.end) {
            self.release_pages(rest.start, rest.end);
        }
        self.insert(moved);
        self.flush();
        Ok(to)
    }

    /// Unmaps pages of a file that are no longer what they were.
    pub fn forget_file_pages(&mut self, device: u64, inode: u64, pages: &Range<u64>, copies: Copies) {
        let mut ranges: Vec<(u64, u64)> = Vec::new();
        for area in self.areas.values() {
            let Backing::File { file, offset } = &area.backing else { continue };
            let same = || file.stat().is_ok_and(|stat| (stat.dev, stat.ino) == (device, inode));
            if (area.shared || copies == Copies::Too) && same() {
                let place = |page: u64| {
                    let within = page.saturating_mul(PAGE).saturating_sub(*offset).min(area.length());
                    area.start + within
                };
                ranges.push((place(pages.start), place(pages.end)));
            }
        }
        let mut released = false;
        for (start, end) in ranges {
            released |= start < end && self.release_pages(start, end);
        }
        if released {
            self.flush();
        }
    }

    /// `MADV_DONTNEED`: private pages go back to what the backing holds.
    pub fn discard(&mut self, start: u64, end: u64) -> Result<()> {
        let ranges: Vec<(u64, u64)> =
            self.overlapping(start, end).map(|area| (area.start.max(start), area.end.min(end))).collect();
        let mut released = false;
        for (from, to) in ranges {
            released |= self.release_pages(from, to);
        }
        if released {
            self.flush();
        }
        self.check_mapped(start, end)
    }
}
