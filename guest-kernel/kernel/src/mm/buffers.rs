//! Lists of buffers in the program: where a read puts its bytes, and where a write takes them from.

use super::USER_END;
use super::user::{read, read_bytes, write_bytes};
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Result, Sink, Source};

/// The most that one call transfers: as Linux, `MAX_RW_COUNT`.
pub const MAX_TRANSFER: usize = 0x7fff_f000;
/// The longest `iovec` array.
pub const IOV_MAX: u64 = 1024;
/// Buffers that are kept without an allocation. C libraries flush their streams with two.
const NEAR: usize = 2;

/// An address in the program and a length that ends in the program's half of the address space.
type Range = (u64, usize);

/// A list of buffers in the program, filled or drained in order: one buffer, or an `iovec` array.
pub struct UserBuffers {
    near: [Range; NEAR],
    far: Vec<Range>,
    mark: Mark,
}

/// How far a transfer has come.
#[derive(Clone, Copy, Default)]
pub struct Mark {
    index: usize,
    /// Bytes done of the buffer at `index`.
    at: usize,
    remaining: usize,
}

/// A source that can be taken from again, after an attempt that took something and then found no room for it.
pub trait Replay: Source {
    /// Where the next byte comes from.
    fn mark(&self) -> Mark;
    /// Goes back to a place that [`mark`](Self::mark) gave.
    fn rewind(&mut self, mark: Mark);
    /// Ends after `count` further bytes, if there are more.
    fn limit(&mut self, count: usize);
}

fn checked(address: u64, length: usize) -> Result<Range> {
    let valid = address.checked_add(length as u64).is_some_and(|end| end <= USER_END);
    if valid { Ok((address, length)) } else { Err(Errno::EFAULT) }
}

impl UserBuffers {
    /// One buffer.
    #[inline]
    pub fn one(address: u64, length: u64) -> Result<Self> {
        let length = length.min(MAX_TRANSFER as u64) as usize;
        let range = checked(address, length)?;
        Ok(Self { near: [range, (0, 0)], far: Vec::new(), mark: Mark { index: 0, at: 0, remaining: length } })
    }

    /// An array of `struct iovec`.
    pub fn vector(address: u64, count: u64) -> Result<Self> {
        if count > IOV_MAX {
            return Err(Errno::EINVAL);
        }
        let far = Vec::with_capacity((count as usize).saturating_sub(NEAR));
        let mut list = Self { near: [(0, 0); NEAR], far, mark: Mark { index: 0, at: 0, remaining: 0 } };
        let mut at = address;
        let mut index = 0;
        // In pairs, which saves every second check of the page tables.
        while index + 1 < count as usize {
            let [base, length, next_base, next_length] = read::<[u64; 4]>(at)?;
            list.push(index, base, length)?;
            list.push(index + 1, next_base, next_length)?;
            index += 2;
            at = at.wrapping_add(32);
        }
        if index < count as usize {
            let [base, length] = read::<[u64; 2]>(at)?;
            list.push(index, base, length)?;
        }
        Ok(list)
    }

    fn push(&mut self, index: usize, base: u64, length: u64) -> Result<()> {
        let length = isize::try_from(length).map_err(|_| Errno::EINVAL)? as usize;
        let range = checked(base, length.min(MAX_TRANSFER - self.mark.remaining))?;
        self.mark.remaining += range.1;
        match self.near.get_mut(index) {
            Some(slot) => *slot = range,
            None => self.far.push(range),
        }
        Ok(())
    }

    /// The next contiguous piece of at most `wanted` bytes.
    #[inline]
    fn next(&mut self, wanted: usize) -> Result<Range> {
        loop {
            let index = self.mark.index;
            let range = self.near.get(index).or_else(|| self.far.get(index - NEAR));
            let (base, length) = *range.ok_or(Errno::EFAULT)?;
            if self.mark.at < length {
                return Ok((base + self.mark.at as u64, wanted.min(length - self.mark.at)));
            }
            self.mark.index += 1;
            self.mark.at = 0;
        }
    }

    fn advance(&mut self, count: usize) {
        self.mark.at += count;
        self.mark.remaining -= count;
    }
}

impl Sink for UserBuffers {
    fn remaining(&self) -> usize {
        self.mark.remaining
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (address, step) = self.next(bytes.len())?;
            let (head, rest) = bytes.split_at(step);
            write_bytes(address, head)?;
            self.advance(step);
            bytes = rest;
        }
        Ok(())
    }
}

impl Source for UserBuffers {
    fn remaining(&self) -> usize {
        self.mark.remaining
    }

    fn take(&mut self, mut buffer: &mut [u8]) -> Result<()> {
        while !buffer.is_empty() {
            let (address, step) = self.next(buffer.len())?;
            let (head, rest) = buffer.split_at_mut(step);
            read_bytes(address, head)?;
            self.advance(step);
            buffer = rest;
        }
        Ok(())
    }
}

impl Replay for UserBuffers {
    fn mark(&self) -> Mark {
        self.mark
    }

    fn rewind(&mut self, mark: Mark) {
        self.mark = mark;
    }

    fn limit(&mut self, count: usize) {
        self.mark.remaining = self.mark.remaining.min(count);
    }
}

/// Bytes of the kernel as a source, for transfers from file to file.
pub struct KernelBytes<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> KernelBytes<'a> {
    /// Takes from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }
}

impl Source for KernelBytes<'_> {
    fn remaining(&self) -> usize {
        self.bytes.len() - self.at
    }

    fn take(&mut self, buffer: &mut [u8]) -> Result<()> {
        let end = self.at.checked_add(buffer.len()).ok_or(Errno::EFAULT)?;
        buffer.copy_from_slice(self.bytes.get(self.at..end).ok_or(Errno::EFAULT)?);
        self.at = end;
        Ok(())
    }
}

impl Replay for KernelBytes<'_> {
    fn mark(&self) -> Mark {
        Mark { index: 0, at: self.at, remaining: self.bytes.len() - self.at }
    }

    fn rewind(&mut self, mark: Mark) {
        self.at = mark.at;
    }

    fn limit(&mut self, count: usize) {
        let end = self.at.saturating_add(count).min(self.bytes.len());
        self.bytes = &self.bytes[..end];
    }
}
