//! Where the data of a read goes and where the data of a write comes from.
//!
//! User memory is reached only through these traits: the kernel implements them over checked user ranges (one buffer
//! or an iovec), tests over slices. An operation moves data in pieces and may stop early; it reports how much it moved.

use crate::{Errno, Result};

/// The destination of a read.
pub trait Sink {
    /// Bytes that still fit.
    fn remaining(&self) -> usize;
    /// Appends all of `bytes`, which must not be more than [`remaining`](Self::remaining).
    /// Fails with `EFAULT` where the user's memory is not writable; what was put before counts.
    fn put(&mut self, bytes: &[u8]) -> Result<()>;
    /// Appends `count` zero bytes.
    fn put_zeros(&mut self, mut count: usize) -> Result<()> {
        const ZEROS: [u8; 512] = [0; 512];
        while count > 0 {
            let step = count.min(ZEROS.len());
            self.put(&ZEROS[..step])?;
            count -= step;
        }
        Ok(())
    }
}

/// The origin of a write.
pub trait Source {
    /// Bytes that are still to be taken.
    fn remaining(&self) -> usize;
    /// Fills all of `buffer`, which must not be longer than [`remaining`](Self::remaining).
    fn take(&mut self, buffer: &mut [u8]) -> Result<()>;
}

/// Raw access to the calling process's memory, for the arguments of `ioctl` and socket options.
pub trait UserMemory {
    /// Copies from user address `from`; `EFAULT` where it cannot be read.
    fn read_bytes(&self, from: u64, to: &mut [u8]) -> Result<()>;
    /// Copies to user address `to`; `EFAULT` where it cannot be written.
    fn write_bytes(&self, to: u64, from: &[u8]) -> Result<()>;
}

impl dyn UserMemory + '_ {
    /// Reads a native-endian `u32` (also an `int`, bit for bit).
    pub fn read_u32(&self, from: u64) -> Result<u32> {
        let mut bytes = [0; 4];
        self.read_bytes(from, &mut bytes)?;
        Ok(u32::from_ne_bytes(bytes))
    }

    /// Writes a native-endian `u32`.
    pub fn write_u32(&self, to: u64, value: u32) -> Result<()> {
        self.write_bytes(to, &value.to_ne_bytes())
    }
}

/// A [`Sink`] into kernel memory.
pub struct SliceSink<'a> {
    buffer: &'a mut [u8],
    filled: usize,
}

impl<'a> SliceSink<'a> {
    /// Fills `buffer` from its start.
    pub fn new(buffer: &'a mut [u8]) -> Self {
        Self { buffer, filled: 0 }
    }

    /// Bytes put so far.
    pub fn filled(&self) -> usize {
        self.filled
    }
}

impl Sink for SliceSink<'_> {
    fn remaining(&self) -> usize {
        self.buffer.len() - self.filled
    }

    fn put(&mut self, bytes: &[u8]) -> Result<()> {
        let end = self.filled.checked_add(bytes.len()).ok_or(Errno::EFAULT)?;
        self.buffer.get_mut(self.filled..end).ok_or(Errno::EFAULT)?.copy_from_slice(bytes);
        self.filled = end;
        Ok(())
    }
}

/// A [`Source`] from kernel memory.
pub struct SliceSource<'a> {
    rest: &'a [u8],
}

impl<'a> SliceSource<'a> {
    /// Takes from the start of `bytes`.
    pub fn new(bytes: &'a [u8]) -> Self {
        Self { rest: bytes }
    }
}

impl Source for SliceSource<'_> {
    fn remaining(&self) -> usize {
        self.rest.len()
    }

    fn take(&mut self, buffer: &mut [u8]) -> Result<()> {
        let (head, rest) = self.rest.split_at_checked(buffer.len()).ok_or(Errno::EFAULT)?;
        buffer.copy_from_slice(head);
        self.rest = rest;
        Ok(())
    }
}
