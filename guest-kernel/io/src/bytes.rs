//! A queue of bytes in pages, for the receiving side of stream sockets.
//!
//! Pages come and go with what is in it; one empty page is kept, so a reader that keeps up costs no allocations.

use alloc::collections::VecDeque;
use ampoule_kbase::{Errno, Frame, PAGE_SIZE, Result, Sink, Source};

/// Bytes in pages, first in, first out. Bounding it is its owner's matter.
#[derive(Default)]
pub struct ByteQueue {
    pages: VecDeque<Frame>,
    /// Where the first byte lies in the first page.
    start: usize,
    len: usize,
    spare: Option<Frame>,
}

impl ByteQueue {
    /// Bytes in it.
    pub fn len(&self) -> usize {
        self.len
    }

    /// Appends all of `bytes`; on failure (no memory) some may have been appended.
    pub fn push(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let end = self.start + self.len;
            self.extend_to(end)?;
            let offset = end % PAGE_SIZE;
            let (now, later) = bytes.split_at(bytes.len().min(PAGE_SIZE - offset));
            if let Some(page) = self.pages.get(end / PAGE_SIZE) {
                page.write(offset, now);
            }
            self.len += now.len();
            bytes = later;
        }
        Ok(())
    }

    /// Appends `count` bytes of `source` and returns how many came. An error is reported only if there was none before
    /// it.
    pub fn fill(&mut self, source: &mut dyn Source, count: usize) -> Result<usize> {
        let count = count.min(source.remaining());
        let mut done = 0;
        while done < count {
            match self.fill_page(source, count - done) {
                Ok(step) => done += step,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Appends all of `source`, or nothing.
    pub fn fill_whole(&mut self, source: &mut dyn Source) -> Result<usize> {
        let (before, len) = (self.len, source.remaining());
        match self.fill(source, len) {
            Ok(count) if count == len => Ok(len),
            other => {
                self.truncate(before);
                Err(other.err().unwrap_or(Errno::EFAULT))
            }
        }
    }

    fn fill_page(&mut self, source: &mut dyn Source, count: usize) -> Result<usize> {
        let end = self.start + self.len;
        self.extend_to(end)?;
        let offset = end % PAGE_SIZE;
        let count = count.min(PAGE_SIZE - offset);
        let page = self.pages.get(end / PAGE_SIZE).ok_or(Errno::ENOMEM)?;
        assert!(offset + count <= PAGE_SIZE, "a piece lies in its page");
        // SAFETY: in bounds by the check; the page is this queue's own, no user maps it, and `&mut self` excludes others.
        source.take(unsafe { core::slice::from_raw_parts_mut(page.as_ptr().add(offset), count) })?;
        self.len += count;
        Ok(count)
    }

    /// Makes sure that the page of position `end`, just behind the last byte, is there.
    fn extend_to(&mut self, end: usize) -> Result<()> {
        if end == self.pages.len() * PAGE_SIZE {
            let page = match self.spare.take() {
                Some(page) => page,
                None => Frame::uninitialized()?,
            };
            self.pages.push_back(page);
        }
        Ok(())
    }

    /// Drops the last bytes, so that `len` are left.
    pub fn truncate(&mut self, len: usize) {
        if len < self.len {
            self.len = len;
            self.pages.truncate((self.start + len).div_ceil(PAGE_SIZE));
        }
        if self.len == 0 {
            self.start = 0;
        }
    }

    /// Copies up to `limit` bytes of what fits into `sink`, without taking it. An error is reported only if nothing was
    /// copied before it.
    pub fn peek(&self, sink: &mut dyn Sink, limit: usize) -> Result<usize> {
        let limit = limit.min(self.len);
        let mut done = 0;
        while done < limit && sink.remaining() > 0 {
            let at = self.start + done;
            let offset = at % PAGE_SIZE;
            let count = (PAGE_SIZE - offset).min(limit - done).min(sink.remaining());
            let Some(page) = self.pages.get(at / PAGE_SIZE) else { break };
            // SAFETY: the pages are this queue's own and no user maps them; `push` needs `&mut self`.
            let bytes = unsafe { page.bytes() };
            match sink.put(&bytes[offset..offset + count]) {
                Ok(()) => done += count,
                Err(error) if done == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(done)
    }

    /// Moves what fits into `sink`. An error is reported only if nothing was moved before it.
    pub fn pop(&mut self, sink: &mut dyn Sink) -> Result<usize> {
        let count = self.peek(sink, self.len)?;
        self.discard(count);
        Ok(count)
    }

    /// Drops the first `count` bytes, at most all.
    pub fn discard(&mut self, count: usize) {
        let count = count.min(self.len);
        self.start += count;
        self.len -= count;
        while self.start >= PAGE_SIZE || (self.len == 0 && !self.pages.is_empty()) {
            self.spare = self.pages.pop_front().or(self.spare.take());
            self.start = self.start.saturating_sub(PAGE_SIZE);
        }
        if self.len == 0 {
            self.start = 0;
        }
    }

    /// Drops everything, memory too.
    pub fn clear(&mut self) {
        *self = Self::default();
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ampoule_kbase::{SliceSink, SliceSource};
    use proptest::prelude::*;
    use std::vec;
    use std::vec::Vec;

    proptest! {
        #[test]
        fn like_a_deque(ops in proptest::collection::vec((any::<bool>(), 0..10_000usize), 0..50)) {
            crate::testing::setup();
            let mut queue = ByteQueue::default();
            let mut model = VecDeque::new();
            for (index, (push, count)) in ops.into_iter().enumerate() {
                if push {
                    let data: Vec<u8> = (0..count).map(|i| (i * 7 + index) as u8).collect();
                    match index % 3 {
                        0 => queue.push(&data).unwrap(),
                        1 => assert_eq!(queue.fill(&mut SliceSource::new(&data), count), Ok(count)),
                        _ => {
                            let before = queue.len();
                            queue.push(&data).unwrap();
                            queue.push(&data).unwrap();
                            queue.truncate(before + count);
                        }
                    }
                    model.extend(data);
                } else {
                    let mut buffer = vec![0; count];
                    let got = queue.pop(&mut SliceSink::new(&mut buffer)).unwrap();
                    let expected: Vec<u8> = model.drain(..count.min(model.len())).collect();
                    prop_assert!(buffer[..got] == expected);
                }
                prop_assert_eq!(queue.len(), model.len());
                prop_assert!(queue.pages.len() <= queue.len() / PAGE_SIZE + 2);
            }
        }
    }
}
