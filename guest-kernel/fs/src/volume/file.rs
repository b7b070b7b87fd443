//! Reading, writing, mapping and cutting regular files; see `contents` for what there is to work on.

use super::contents::{Contents, PAGE, Page, Run, SIZE_MAX, ZEROS};
use super::node::{Body, Node, State};
use crate::erofs::Extent;
use crate::vfs::{Attributes, Credentials, without_set_ids};
use alloc::collections::BTreeMap;
use ampoule_kbase::{Copies, Errno, FileType, Frame, PAGE_SIZE, Result, Sink, Source, platform};
use core::ops::Range;
use core::slice;
use linux_raw_sys::general::{
    F_SEAL_FUTURE_WRITE, F_SEAL_GROW, F_SEAL_SHRINK, F_SEAL_WRITE, S_ISGID, S_ISUID,
};

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
    pub(super) fn contents<T>(&self, act: impl FnOnce(&mut Contents, &mut u64) -> Result<T>) -> Result<T> {
        match &mut *self.state.lock() {
            State { body: Body::File(contents), size, .. } => act(contents, size),
            _ => Err(Errno::EINVAL),
        }
    }

    /// To be called before the contents change.
    pub(super) fn contents_change(&self) {
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
    pub(super) fn own_page(&self, contents: &mut Contents, index: u64) -> Result<Frame> {
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

    /// Whole pages from `index` on that lie together in the image and were not changed: the first frame, and how many.
    pub(super) fn lower_run(&self, index: u64, most: u64) -> Option<(Frame, u64)> {
        let file = self.lower?;
        let end = self
            .contents(|contents, size| {
                let changed = contents.pages.range(index..).next().map_or(u64::MAX, |(page, _)| *page);
                let whole = contents.lower_end.min(*size) / PAGE;
                contents.mapped = true;
                Ok(if contents.private { 0 } else { changed.min(whole) })
            })
            .ok()?;
        let most = most.min(end.checked_sub(index)?);
        let run = self.shared.lower().ok()?.frame_run(file, index * PAGE, most).ok()??;
        (run.1 > 0).then_some(run)
    }

    pub(super) fn contents_page(&self, index: u64, keep: bool) -> Result<Frame> {
        if self.file_type != FileType::Regular {
            return Err(Errno::ENODEV);
        }
        self.contents(|contents, size| {
            if index >= size.div_ceil(PAGE) {
                return Err(Errno::EFAULT);
            }
            contents.mapped = true;
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
        self.unmap_pages(length.div_ceil(PAGE)..u64::MAX, Copies::Too)?;
        self.state.lock().touch();
        Ok(())
    }

    /// Takes pages that are no longer the file's out of the programs that have mapped them.
    pub(super) fn unmap_pages(&self, pages: Range<u64>, copies: Copies) -> Result<()> {
        if self.contents(|contents, _| Ok(contents.mapped))? {
            platform().pages_gone(self.shared.device, self.number, pages, copies);
        }
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
}
