//! Contents of regular files: pages of their own over those of the lower layer.
//!
//! ```text
//!   0 ........ lower_end ........ size
//!   | lower layer | zeros            |      where there is no page of the file's own
//! ```
//!
//! What lies in an own page behind the end of the file is arbitrary (a shared mapping may write there); it is cleared
//! when the file grows over it.

use super::node::{Body, Node, State};
use crate::erofs::Extent;
use crate::vfs::{Attributes, Credentials, without_set_ids};
use alloc::collections::BTreeMap;
use ampoule_kbase::{Errno, FileType, Frame, PAGE_SIZE, Result, Sink, Source};
use core::slice;
use linux_raw_sys::general::{
    F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SEAL, F_SEAL_SHRINK, F_SEAL_WRITE, FALLOC_FL_KEEP_SIZE,
    FALLOC_FL_PUNCH_HOLE, S_ISGID, S_ISUID,
};

const PAGE: u64 = PAGE_SIZE as u64;
/// Offsets are signed in the system calls.
const SIZE_MAX: u64 = i64::MAX as u64;
static ZEROS: [u8; PAGE_SIZE] = [0; PAGE_SIZE];

struct Page {
    frame: Frame,
    /// A mere copy of the lower layer, which nobody has paid for.
    clean: bool,
}

/// The contents of a regular file.
pub(super) struct Contents {
    pages: BTreeMap<u64, Page>,
    /// Pages that are not clean.
    own: u64,
    /// Bytes that are those of the lower layer, where there is no page.
    lower_end: u64,
    /// The file was opened for writing at some time: from then on pages that are handed out are its own, so that what is
    /// written later shows in mappings.
    pub private: bool,
    /// Seals, of a memfd.
    pub seals: Option<u32>,
}

/// What is found at some position.
enum Run {
    Page(Frame),
    Lower(u64),
    Zeros(u64),
    End,
}

impl Contents {
    pub fn empty() -> Self {
        Self { pages: BTreeMap::new(), own: 0, lower_end: 0, private: true, seals: None }
    }

    pub fn of_lower(size: u64) -> Self {
        Self { pages: BTreeMap::new(), own: 0, lower_end: size, private: false, seals: None }
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

    fn check_seal(&self, seals: u32) -> Result<()> {
        if self.seals.unwrap_or(0) & seals == 0 { Ok(()) } else { Err(Errno::EPERM) }
    }

    /// The longest run of one kind at `at`.
    fn run(&self, at: u64, size: u64) -> Run {
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
    fn clear(&self, from: u64, to: u64) {
        let within = (from % PAGE) as usize;
        let length = (to.saturating_sub(from)).min(PAGE - from % PAGE) as usize;
        if let (Some(page), Some(zeros)) = (self.pages.get(&(from / PAGE)), ZEROS.get(..length)) {
            page.frame.write(within, zeros);
        }
    }
}

/// Part of a frame, to be filled.
///
/// # Safety
/// Nobody else may use the bytes while the slice lives. That is so between two points where the kernel could switch
/// threads, except for user memory that aliases the frame, which the kernel reaches by raw pointers alone.
#[expect(clippy::mut_from_ref, reason = "the frame is a handle, not the memory")]
unsafe fn part_mut(frame: &Frame, within: usize, length: usize) -> &mut [u8] {
    let length = length.min(PAGE_SIZE.saturating_sub(within));
    // SAFETY: the range is inside the page by the line above; the frame is live; exclusive by the caller's promise.
    unsafe { slice::from_raw_parts_mut(frame.as_ptr().add(within.min(PAGE_SIZE)), length) }
}

/// What to return after `done` bytes and then an error.
fn partial(done: usize, error: Errno) -> Result<usize> {
    if done > 0 { Ok(done) } else { Err(error) }
}

impl Node {
    fn contents<T>(&self, act: impl FnOnce(&mut Contents, &mut u64) -> Result<T>) -> Result<T> {
        match &mut *self.state.lock() {
            State { body: Body::File(contents), size, .. } => act(contents, size),
            _ => Err(Errno::EINVAL),
        }
    }

    /// To be called before the contents change.
    fn contents_change(&self) {
        self.set_changed();
        let credentials = Credentials::current();
        let mut state = self.state.lock();
        if state.mode & (S_ISUID | S_ISGID) != 0 && !credentials.is_root() {
            let attributes = Attributes { mode: state.mode, uid: state.uid, gid: state.gid };
            state.mode = FileType::Regular as u32 | without_set_ids(&attributes, credentials);
        }
    }

    pub(super) fn read_contents(&self, offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        let mut done = 0;
        while sink.remaining() > 0 {
            let Some(at) = offset.checked_add(done as u64) else { break };
            match self.read_run(at, sink) {
                Ok(0) => break,
                Ok(count) => done += count,
                Err(error) => return partial(done, error),
            }
        }
        Ok(done)
    }

    /// Reads one run, and returns its length; 0 at the end. The lock is not held while user memory is touched: that
    /// may need a page of this very file.
    fn read_run(&self, at: u64, sink: &mut dyn Sink) -> Result<usize> {
        let room = sink.remaining();
        match self.contents(|contents, size| Ok((contents.run(at, *size), *size)))? {
            (Run::End, _) => Ok(0),
            (Run::Page(frame), size) => {
                let within = (at % PAGE) as usize;
                let count = (size - at).min(PAGE - at % PAGE).min(room as u64) as usize;
                // SAFETY: the sink writes to user memory by raw pointers; nothing else runs meanwhile.
                let bytes = unsafe { frame.bytes() };
                sink.put(bytes.get(within..within + count).ok_or(Errno::EIO)?)?;
                Ok(count)
            }
            (Run::Zeros(length), _) => {
                let count = length.min(room as u64) as usize;
                sink.put_zeros(count)?;
                Ok(count)
            }
            (Run::Lower(length), _) => {
                match self.shared.lower()?.extent(self.lower.ok_or(Errno::EIO)?, at)? {
                    Extent::Data(bytes, _) => {
                        let count = (bytes.len() as u64).min(length).min(room as u64) as usize;
                        sink.put(bytes.get(..count).ok_or(Errno::EIO)?)?;
                        Ok(count)
                    }
                    Extent::Hole(hole) => {
                        let count = hole.min(length).min(room as u64) as usize;
                        sink.put_zeros(count)?;
                        Ok(count)
                    }
                }
            }
        }
    }

    /// Copies the lower layer's part of page `index` into a frame, and clears the rest.
    fn copy_below(&self, frame: &Frame, index: u64, lower_end: u64) -> Result<()> {
        let start = index * PAGE;
        let mut filled = 0usize;
        while filled < PAGE_SIZE {
            let at = start + filled as u64;
            let room = (PAGE_SIZE - filled) as u64;
            let left = lower_end.saturating_sub(at).min(room);
            let extent = match left {
                0 => Extent::Hole(room),
                _ => self.shared.lower()?.extent(self.lower.ok_or(Errno::EIO)?, at)?,
            };
            let part = match extent {
                Extent::Data(bytes, _) => bytes.get(..left as usize).unwrap_or(bytes),
                Extent::Hole(0) => return Err(Errno::EIO),
                Extent::Hole(length) => {
                    let limit = if left == 0 { room } else { left };
                    ZEROS.get(..length.min(limit) as usize).ok_or(Errno::EIO)?
                }
            };
            frame.write(filled, part);
            filled += part.len();
        }
        Ok(())
    }

    /// A new frame with what the file has at page `index` now.
    fn copy_of(&self, index: u64, lower_end: u64) -> Result<Frame> {
        if index.saturating_mul(PAGE) >= lower_end {
            return Frame::zeroed();
        }
        let frame = Frame::uninitialized()?;
        self.copy_below(&frame, index, lower_end)?;
        Ok(frame)
    }

    /// Adds a page of the file's own, paid for.
    fn add_own(
        &self,
        contents: &mut Contents,
        index: u64,
        make: impl FnOnce() -> Result<Frame>,
    ) -> Result<Frame> {
        self.shared.charge_pages(1)?;
        let frame = make().inspect_err(|_| self.shared.uncharge_pages(1))?;
        contents.own += 1;
        contents.pages.insert(index, Page { frame: frame.clone(), clean: false });
        Ok(frame)
    }

    /// The file's own page `index`, which is made if need be.
    fn own_page(&self, contents: &mut Contents, index: u64) -> Result<Frame> {
        match contents.pages.get_mut(&index) {
            Some(page) if !page.clean => Ok(page.frame.clone()),
            Some(page) => {
                self.shared.charge_pages(1)?;
                page.clean = false;
                let frame = page.frame.clone();
                contents.own += 1;
                Ok(frame)
            }
            None => {
                let lower_end = contents.lower_end;
                self.add_own(contents, index, || self.copy_of(index, lower_end))
            }
        }
    }

    pub(super) fn contents_page(&self, index: u64, keep: bool) -> Result<Frame> {
        self.contents(|contents, size| {
            if index >= size.div_ceil(PAGE) {
                return Err(Errno::EFAULT);
            }
            if keep || contents.private {
                return self.own_page(contents, index);
            }
            if let Some(page) = contents.pages.get(&index) {
                return Ok(page.frame.clone());
            }
            let (Some(file), start) = (self.lower, index * PAGE) else { return Err(Errno::EIO) };
            let whole = contents.lower_end == *size || contents.lower_end >= start + PAGE;
            if let (true, Some(frame)) = (whole, self.shared.lower()?.frame(file, start)?) {
                return Ok(frame);
            }
            let frame = self.copy_of(index, contents.lower_end)?;
            contents.pages.insert(index, Page { frame: frame.clone(), clean: true });
            Ok(frame)
        })
    }

    pub(super) fn write_contents(&self, offset: u64, source: &mut dyn Source) -> Result<usize> {
        let wanted = source.remaining();
        if wanted == 0 {
            return Ok(0);
        }
        let end = offset.checked_add(wanted as u64).filter(|end| *end <= SIZE_MAX).ok_or(Errno::EFBIG)?;
        self.contents(|contents, size| {
            contents.check_seal(F_SEAL_WRITE | F_SEAL_FUTURE_WRITE)?;
            if end > *size { contents.check_seal(F_SEAL_GROW) } else { Ok(()) }
        })?;
        self.contents_change();
        let mut done = 0;
        let mut failure = None;
        while done < wanted && failure.is_none() {
            let at = offset + done as u64;
            let count = (PAGE - at % PAGE).min((wanted - done) as u64) as usize;
            match self.write_page(at, count, source) {
                Ok(()) => done += count,
                Err(error) => failure = Some(error),
            }
        }
        if done > 0 {
            self.state.lock().touch();
        }
        failure.map_or(Ok(done), |error| partial(done, error))
    }

    /// Writes inside of one page.
    fn write_page(&self, at: u64, count: usize, source: &mut dyn Source) -> Result<()> {
        let index = at / PAGE;
        let fresh =
            count == PAGE_SIZE && self.contents(|contents, _| Ok(!contents.pages.contains_key(&index)))?;
        let frame = if fresh {
            Frame::uninitialized()?
        } else {
            self.contents(|contents, _| self.own_page(contents, index))?
        };
        // SAFETY: nothing else runs until the source has filled the bytes.
        source.take(unsafe { part_mut(&frame, (at % PAGE) as usize, count) })?;
        self.contents(|contents, size| {
            if fresh && !contents.pages.contains_key(&index) {
                self.add_own(contents, index, || Ok(frame))?;
            } else if fresh {
                // Reading the source has put a page here: a mapping of this file is written to itself.
                let own = self.own_page(contents, index)?;
                // SAFETY: as above; `frame` is nobody else's.
                unsafe { part_mut(&own, 0, PAGE_SIZE) }.copy_from_slice(unsafe { frame.bytes() });
            }
            if at > *size {
                contents.clear(*size, at);
            }
            *size = (*size).max(at + count as u64);
            Ok(())
        })
    }

    /// `truncate(2)`.
    pub(super) fn set_length(&self, length: u64) -> Result<()> {
        if length > SIZE_MAX {
            return Err(Errno::EFBIG);
        }
        self.contents(|contents, size| match length.cmp(size) {
            core::cmp::Ordering::Less => contents.check_seal(F_SEAL_SHRINK),
            core::cmp::Ordering::Greater => contents.check_seal(F_SEAL_GROW),
            core::cmp::Ordering::Equal => Ok(()),
        })?;
        self.contents_change();
        let removed = self.contents(|contents, size| {
            let removed = if length < *size { self.cut(contents, length) } else { BTreeMap::new() };
            if length > *size {
                contents.clear(*size, length);
            }
            *size = length;
            Ok(removed)
        })?;
        drop(removed);
        self.state.lock().touch();
        Ok(())
    }

    /// Takes out everything from `length` on.
    fn cut(&self, contents: &mut Contents, length: u64) -> BTreeMap<u64, Page> {
        let removed = contents.pages.split_off(&length.div_ceil(PAGE));
        let own = removed.values().filter(|page| !page.clean).count() as u64;
        contents.own -= own;
        self.shared.uncharge_pages(own);
        contents.lower_end = contents.lower_end.min(length);
        // A clean copy of the last page goes too: it is no copy any more.
        if contents.pages.get(&(length / PAGE)).is_some_and(|page| page.clean) {
            contents.pages.remove(&(length / PAGE));
        }
        contents.clear(length, length.next_multiple_of(PAGE));
        removed
    }

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
        } else {
            for index in offset / PAGE..end.div_ceil(PAGE) {
                self.contents(|contents, _| self.own_page(contents, index))?;
            }
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
