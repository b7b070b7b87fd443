//! Contents of regular files: pages of their own over those of the lower layer.
//!
//! ```text
//!   0 ........ lower_end ........ size
//!   | lower layer | zeros            |      where there is no page of the file's own
//! ```
//!
//! What lies in an own page behind the end of the file is arbitrary (a shared mapping may write there); it is cleared
//! when the file grows over it.

use alloc::collections::BTreeMap;
use ampoule_kbase::{Errno, Frame, PAGE_SIZE, Result};
use linux_raw_sys::general::{F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE};

pub(super) const PAGE: u64 = PAGE_SIZE as u64;
/// Offsets are signed in the system calls.
pub(super) const SIZE_MAX: u64 = i64::MAX as u64;
pub(super) static ZEROS: [u8; PAGE_SIZE] = [0; PAGE_SIZE];

/// A page in memory.
pub(super) struct Page {
    pub frame: Frame,
    /// A mere copy of the lower layer, which nobody has paid for.
    pub clean: bool,
}

/// The contents of a regular file.
pub(super) struct Contents {
    pub pages: BTreeMap<u64, Page>,
    /// Pages that are not clean.
    pub own: u64,
    /// Bytes that are those of the lower layer, where there is no page.
    pub lower_end: u64,
    /// The file was opened for writing at some time: from then on pages that are handed out are its own, so that what is
    /// written later shows in mappings.
    pub private: bool,
    /// A page was handed out at some time, so that programs may have mapped it.
    pub mapped: bool,
    /// Seals, of a memfd.
    pub seals: Option<u32>,
}

/// What is found at some position.
pub(super) enum Run {
    Page(Frame),
    Lower(u64),
    Zeros(u64),
    End,
}

impl Contents {
    pub fn empty() -> Self {
        Self { pages: BTreeMap::new(), own: 0, lower_end: 0, private: true, mapped: false, seals: None }
    }

    pub fn of_lower(size: u64) -> Self {
        Self { pages: BTreeMap::new(), own: 0, lower_end: size, private: false, mapped: false, seals: None }
    }

    /// Pages that count against the limit.
    pub fn page_count(&self) -> u64 {
        self.own
    }

    pub fn add_seals(&mut self, seals: u32) -> Result<()> {
        let old = self.seals.ok_or(Errno::EINVAL)?;
        const ALL: u32 = F_SEAL_SEAL | F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_WRITE | F_SEAL_FUTURE_WRITE;
        if seals & !ALL != 0 {
            return Err(Errno::EINVAL);
        }
        if old & F_SEAL_SEAL != 0 {
            return Err(Errno::EPERM);
        }
        self.seals = Some(old | seals);
        Ok(())
    }

    pub fn check_seal(&self, seals: u32) -> Result<()> {
        if self.seals.unwrap_or(0) & seals == 0 { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// The longest run of one kind at `at`.
    pub fn run(&self, at: u64, size: u64) -> Run {
        if at >= size {
            return Run::End;
        }
        let index = at / PAGE;
        if let Some(page) = self.pages.get(&index) {
            return Run::Page(page.frame.clone());
        }
        let next_page = self.pages.range(index..).next().map_or(size, |(next, _)| next.saturating_mul(PAGE));
        let end = next_page.min(size);
        if at < self.lower_end { Run::Lower(end.min(self.lower_end) - at) } else { Run::Zeros(end - at) }
    }

    /// Clears an own page from `from` to its end, or to `to`.
    pub fn clear(&self, from: u64, to: u64) {
        let within = (from % PAGE) as usize;
        let length = (to.saturating_sub(from)).min(PAGE - from % PAGE) as usize;
        if let (Some(page), Some(zeros)) = (self.pages.get(&(from / PAGE)), ZEROS.get(..length)) {
            page.frame.write(within, zeros);
        }
    }
}
