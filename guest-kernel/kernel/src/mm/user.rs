//! The one door to the memory of programs.
//!
//! Every access checks the page tables first and brings absent pages in, without a trap; then it copies at the program's
//! own address. The kernel is never preempted, so nothing changes in between. An address that is not the
//! program's to use gives `EFAULT`.

use super::{Access, Fault, PAGE, USER_END};
use crate::task;
use ampoule_kbase::{Errno, Result, Sink, Source, UserMemory};
use alloc::vec::Vec;
use core::mem::MaybeUninit;

/// Plain data that system calls pass in memory: any bit pattern is a value, and there is no padding to leak.
///
/// # Safety
/// The type is `repr(C)` or primitive, without padding, pointers that the kernel follows, or invalid bit patterns.
pub unsafe trait Plain: Copy {}

macro_rules! plain {
    ($($type:ty),* $(,)?) => { $(
        // SAFETY: integers, or `repr(C)` structures of integers as the kernel's ABI defines them, without padding.
        unsafe impl Plain for $type {}
    )* };
}

plain!(u8, u16, u32, u64, i32, i64, [u32; 2], [i32; 2], [u64; 2], [u64; 3], [u64; 4], [u64; 16], [i64; 2], [i64; 4], [u8; 65]);

/// Makes `length` bytes at `address` accessible in the current program.
pub fn check(address: u64, length: usize, access: Access) -> Result<()> {
    if length == 0 {
        return Ok(());
    }
    let end = address.checked_add(length as u64).filter(|end| *end <= USER_END).ok_or(Errno::EFAULT)?;
    let memory = task::current().memory();
    let mut space = memory.lock();
    let mut page = address & !(PAGE - 1);
    while page < end {
        if !space.is_accessible(page, access) {
            let stale = access == Access::Write && space.is_accessible(page, Access::Read);
            space.fault(page, access, 0).map_err(|fault| match fault {
                Fault::OutOfMemory => Errno::ENOMEM,
                _ => Errno::EFAULT,
            })?;
            if !space.is_accessible(page, access) {
                return Err(Errno::EFAULT);
            }
            if stale {
                crate::arch::cpu::invalidate_page(page);
            }
        }
        page += PAGE;
    }
    Ok(())
}

/// Copies `to.len()` bytes from the program.
pub fn read_bytes(address: u64, to: &mut [u8]) -> Result<()> {
    check(address, to.len(), Access::Read)?;
    // SAFETY: the range is mapped user memory, by the check; it cannot overlap kernel memory.
    unsafe { core::ptr::copy_nonoverlapping(address as *const u8, to.as_mut_ptr(), to.len()) };
    Ok(())
}

/// Copies to the program.
pub fn write_bytes(address: u64, from: &[u8]) -> Result<()> {
    check(address, from.len(), Access::Write)?;
    // SAFETY: the range is mapped, writable user memory, by the check; it cannot overlap kernel memory.
    unsafe { core::ptr::copy_nonoverlapping(from.as_ptr(), address as *mut u8, from.len()) };
    Ok(())
}

/// Reads one value.
pub fn read<T: Plain>(address: u64) -> Result<T> {
    check(address, size_of::<T>(), Access::Read)?;
    let mut value = MaybeUninit::<T>::uninit();
    // SAFETY: mapped by the check, and any bytes are a valid `T`.
    unsafe {
        core::ptr::copy_nonoverlapping(address as *const u8, value.as_mut_ptr().cast(), size_of::<T>());
        Ok(value.assume_init())
    }
}

/// Writes one value.
pub fn write<T: Plain>(address: u64, value: T) -> Result<()> {
    check(address, size_of::<T>(), Access::Write)?;
    // SAFETY: mapped and writable by the check.
    unsafe { core::ptr::copy_nonoverlapping((&raw const value).cast::<u8>(), address as *mut u8, size_of::<T>()) };
    Ok(())
}

/// Writes one value, unless the address is null.
pub fn write_if<T: Plain>(address: u64, value: T) -> Result<()> {
    if address == 0 { Ok(()) } else { write(address, value) }
}

/// Reads a string that ends with a zero byte, of at most `limit` bytes (`ENAMETOOLONG` beyond).
pub fn read_string(address: u64, limit: usize) -> Result<Vec<u8>> {
    let mut text = Vec::new();
    let mut at = address;
    loop {
        let room = (PAGE - at % PAGE) as usize;
        check(at, 1, Access::Read)?;
        // SAFETY: the rest of the page is mapped user memory, by the check.
        let bytes = unsafe { core::slice::from_raw_parts(at as *const u8, room) };
        match bytes.iter().position(|byte| *byte == 0) {
            Some(end) => text.extend_from_slice(&bytes[..end]),
            None => text.extend_from_slice(bytes),
        }
        if text.len() >= limit {
            return Err(Errno::ENAMETOOLONG);
        }
        if bytes.contains(&0) {
            return Ok(text);
        }
        at += room as u64;
    }
}

/// Reads a path (`PATH_MAX`).
pub fn read_path(address: u64) -> Result<Vec<u8>> {
    read_string(address, 4096)
}

/// A list of buffers in the program, filled or drained in order: one buffer, or an `iovec` array.
pub struct UserBuffers {
    ranges: Vec<(u64, usize)>,
    index: usize,
    at: usize,
    remaining: usize,
}

/// The most that one call transfers: as Linux, `MAX_RW_COUNT`.
const MAX_TRANSFER: usize = 0x7fff_f000;

impl UserBuffers {
    /// One buffer.
    pub fn one(address: u64, length: u64) -> Result<Self> {
        let length = usize::try_from(length).unwrap_or(usize::MAX).min(MAX_TRANSFER);
        if address.checked_add(length as u64).is_none_or(|end| end > USER_END) && length > 0 {
            return Err(Errno::EFAULT);
        }
        Ok(Self { ranges: alloc::vec![(address, length)], index: 0, at: 0, remaining: length })
    }

    /// An array of `struct iovec`.
    pub fn vector(address: u64, count: u64) -> Result<Self> {
        const IOV_MAX: u64 = 1024;
        if count > IOV_MAX {
            return Err(Errno::EINVAL);
        }
        let mut ranges = Vec::with_capacity(count as usize);
        let mut total = 0usize;
        for i in 0..count {
            let [base, length] = read::<[u64; 2]>(address.checked_add(i * 16).ok_or(Errno::EFAULT)?)?;
            let length = isize::try_from(length).map_err(|_| Errno::EINVAL)? as usize;
            let length = length.min(MAX_TRANSFER - total);
            if length > 0 && base.checked_add(length as u64).is_none_or(|end| end > USER_END) {
                return Err(Errno::EFAULT);
            }
            total += length;
            ranges.push((base, length));
        }
        Ok(Self { ranges, index: 0, at: 0, remaining: total })
    }

    /// Bytes not yet transferred.
    pub fn left(&self) -> usize {
        self.remaining
    }

    /// The next contiguous piece of at most `wanted` bytes.
    fn next(&mut self, wanted: usize) -> Result<(u64, usize)> {
        loop {
            let (base, length) = *self.ranges.get(self.index).ok_or(Errno::EFAULT)?;
            if self.at < length {
                let step = wanted.min(length - self.at);
                return Ok((base + self.at as u64, step));
            }
            self.index += 1;
            self.at = 0;
        }
    }

    fn advance(&mut self, count: usize) {
        self.at += count;
        self.remaining -= count;
    }
}

impl Sink for UserBuffers {
    fn remaining(&self) -> usize {
        self.remaining
    }

    fn put(&mut self, mut bytes: &[u8]) -> Result<()> {
        while !bytes.is_empty() {
            let (address, step) = self.next(bytes.len())?;
            write_bytes(address, &bytes[..step])?;
            self.advance(step);
            bytes = &bytes[step..];
        }
        Ok(())
    }
}

impl Source for UserBuffers {
    fn remaining(&self) -> usize {
        self.remaining
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

/// The current program's memory, for `ioctl` arguments.
pub struct CurrentMemory;

impl UserMemory for CurrentMemory {
    fn read_bytes(&self, from: u64, to: &mut [u8]) -> Result<()> {
        read_bytes(from, to)
    }

    fn write_bytes(&self, to: u64, from: &[u8]) -> Result<()> {
        write_bytes(to, from)
    }
}
