//! Space of regular files: `fallocate(2)`, holes, `SEEK_DATA`.

use super::contents::{PAGE, SIZE_MAX};
use super::node::Node;
use ampoule_kbase::{Copies, Errno, Result};
use linux_raw_sys::general::{
    F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_WRITE, FALLOC_FL_KEEP_SIZE, FALLOC_FL_PUNCH_HOLE,
};

impl Node {
    /// `fallocate(2)`.
    pub(super) fn allocate_contents(&self, flags: u32, offset: u64, length: u64) -> Result<()> {
        let end = offset.checked_add(length).filter(|end| *end <= SIZE_MAX).ok_or(Errno::EFBIG)?;
        let keep_size = flags & FALLOC_FL_KEEP_SIZE != 0;
        let punches = flags == FALLOC_FL_KEEP_SIZE | FALLOC_FL_PUNCH_HOLE;
        if flags & !FALLOC_FL_KEEP_SIZE != 0 && !punches {
            return Err(Errno::EOPNOTSUPP);
        }
        self.contents(|contents, size| {
            let grows = !keep_size && end > *size;
            contents.check_seal(if grows { F_SEAL_GROW } else { 0 })?;
            contents.check_seal(if punches { F_SEAL_WRITE | F_SEAL_FUTURE_WRITE } else { 0 })
        })?;
        self.contents_change();
        if punches {
            self.clear_range(offset, end)?;
            self.unmap_pages(offset / PAGE..end.div_ceil(PAGE), Copies::Stay)?;
        } else {
            self.fill_range(offset / PAGE, end.div_ceil(PAGE))?;
        }
        self.contents(|contents, size| {
            if !keep_size && end > *size {
                contents.clear(*size, end);
                *size = end;
            }
            Ok(())
        })?;
        self.state.lock().touch();
        Ok(())
    }

    /// Gives the file all pages from `first` to before `end`; none if there is no room for all.
    fn fill_range(&self, first: u64, end: u64) -> Result<()> {
        self.contents(|contents, _| {
            let there = contents.pages.range(first..end).filter(|(_, page)| !page.clean).count() as u64;
            self.shared.check_pages(end - first - there)?;
            for index in first..end {
                self.own_page(contents, index)?;
            }
            Ok(())
        })
    }

    /// Makes a range read as zeros, and frees the pages in it.
    fn clear_range(&self, start: u64, end: u64) -> Result<()> {
        self.contents(|contents, size| {
            let end = end.min(*size);
            let mut at = start;
            while at < end {
                let index = at / PAGE;
                let stop = ((index + 1) * PAGE).min(end);
                let whole = at.is_multiple_of(PAGE) && stop - at == PAGE && at >= contents.lower_end;
                if whole {
                    if contents.pages.remove(&index).is_some_and(|page| !page.clean) {
                        contents.own -= 1;
                        self.shared.uncharge_pages(1);
                    }
                } else if at < contents.lower_end || contents.pages.contains_key(&index) {
                    self.own_page(contents, index)?;
                    contents.clear(at, stop);
                }
                at = stop;
                // Where nothing is, there is nothing to clear: go on at the next page that there is.
                if at >= contents.lower_end {
                    let next = contents.pages.range(at / PAGE..).next().map_or(end, |(next, _)| next * PAGE);
                    at = at.max(next);
                }
            }
            Ok(())
        })
    }

    pub(super) fn seek_contents(&self, offset: u64, hole: bool) -> Result<u64> {
        self.contents(|contents, size| {
            let mut at = offset;
            let lower_end = contents.lower_end.next_multiple_of(PAGE);
            if hole {
                at = at.max(lower_end);
                while contents.pages.contains_key(&(at / PAGE)) && at < *size {
                    at = (at / PAGE + 1) * PAGE;
                }
                return Ok(at.min(*size));
            }
            if at >= lower_end {
                let next = contents.pages.range(at / PAGE..).next().map(|(next, _)| next * PAGE);
                at = at.max(next.ok_or(Errno::ENXIO)?);
            }
            if at < *size { Ok(at) } else { Err(Errno::ENXIO) }
        })
    }
}
