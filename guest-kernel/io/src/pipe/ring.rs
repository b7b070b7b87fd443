//! The bytes in a pipe: a queue of page slots, as Linux keeps them, since capacity is counted in slots.
//!
//! A page that has been read empty is kept for the next write, so a pipe whose reader keeps up touches one or two pages
//! however much flows through it.

use alloc::collections::VecDeque;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Frame, PAGE_SIZE, Result, Sink, Source};

/// Slots of a new pipe: 64 KiB.
pub const DEFAULT_SLOTS: usize = 16;
/// The most slots `F_SETPIPE_SZ` gives: 1 MiB, as `/proc/sys/fs/pipe-max-size` has it.
pub const MAX_SLOTS: usize = 256;
/// Empty pages that are kept for the next write.
const SPARE_PAGES: usize = 2;

/// Part of a page that holds data.
struct Slot {
    page: Frame,
    start: usize,
    len: usize,
    /// Written in packet mode (`O_DIRECT`): read by one read, joined by no write.
    packet: bool,
}

/// The contents of a pipe.
pub struct Ring {
    slots: VecDeque<Slot>,
    spare: Vec<Frame>,
    capacity: usize,
    bytes: usize,
}

impl Ring {
    /// An empty ring of the default capacity.
    pub fn new() -> Self {
        Self { slots: VecDeque::new(), spare: Vec::new(), capacity: DEFAULT_SLOTS, bytes: 0 }
    }

    /// No byte in it.
    pub fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// No free slot (a small write may still join the last page).
    pub fn is_full(&self) -> bool {
        self.slots.len() >= self.capacity
    }

    /// Bytes that wait.
    pub fn bytes(&self) -> usize {
        self.bytes
    }

    /// Capacity in slots of one page.
    pub fn capacity(&self) -> usize {
        self.capacity
    }

    /// Changes the capacity; `EBUSY` if more is in use.
    pub fn set_capacity(&mut self, slots: usize) -> Result<()> {
        if self.slots.len() > slots {
            return Err(Errno::EBUSY);
        }
        self.capacity = slots;
        Ok(())
    }

    /// Takes from `source` what fits; 0 when nothing does. An error is reported only if nothing was taken before it.
    pub fn fill(&mut self, source: &mut dyn Source, packet: bool) -> Result<usize> {
        let mut total = self.join(source)?;
        while source.remaining() > 0 && !self.is_full() {
            match self.add_slot(source, packet) {
                Ok(count) => total += count,
                Err(error) if total == 0 => return Err(error),
                Err(_) => break,
            }
        }
        Ok(total)
    }

    /// The odd part of a write (what exceeds whole pages) goes behind the last slot's data if it fits there entirely.
    fn join(&mut self, source: &mut dyn Source) -> Result<usize> {
        let odd = source.remaining() % PAGE_SIZE;
        let Some(last) = self.slots.back_mut() else { return Ok(0) };
        let end = last.start + last.len;
        if odd == 0 || last.packet || end + odd > PAGE_SIZE {
            return Ok(0);
        }
        copy_in(source, &last.page, end, odd)?;
        last.len += odd;
        self.bytes += odd;
        Ok(odd)
    }

    fn add_slot(&mut self, source: &mut dyn Source, packet: bool) -> Result<usize> {
        let page = match self.spare.pop() {
            Some(page) => page,
            None => Frame::uninitialized()?,
        };
        let len = source.remaining().min(PAGE_SIZE);
        if let Err(error) = copy_in(source, &page, 0, len) {
            self.keep(page);
            return Err(error);
        }
        self.slots.push_back(Slot { page, start: 0, len, packet });
        self.bytes += len;
        Ok(len)
    }

    /// Moves what there is into `sink`; 0 when there is nothing, or no room. An error is reported only if nothing was
    /// moved before it.
    pub fn drain(&mut self, sink: &mut dyn Sink) -> Result<usize> {
        let mut total = 0;
        while sink.remaining() > 0 {
            let Some(first) = self.slots.front_mut() else { break };
            let count = first.len.min(sink.remaining());
            match copy_out(&first.page, first.start, count, sink) {
                Ok(()) => {}
                Err(error) if total == 0 => return Err(error),
                Err(_) => break,
            }
            total += count;
            let packet = first.packet;
            // What a packet's reader has no room for is lost.
            let consumed = if packet { first.len } else { count };
            first.start += consumed;
            first.len -= consumed;
            self.bytes -= consumed;
            if first.len == 0
                && let Some(slot) = self.slots.pop_front()
            {
                self.keep(slot.page);
            }
            if packet {
                break;
            }
        }
        Ok(total)
    }

    fn keep(&mut self, page: Frame) {
        if self.spare.len() < SPARE_PAGES {
            self.spare.push(page);
        }
    }

    /// The addresses of the pages in use.
    #[cfg(test)]
    pub fn pages(&self) -> Vec<u64> {
        self.slots.iter().map(|slot| slot.page.physical()).collect()
    }

    /// Drops all data, and all memory.
    pub fn clear(&mut self) {
        *self = Self { capacity: self.capacity, ..Self::new() };
    }
}

fn copy_in(source: &mut dyn Source, page: &Frame, at: usize, len: usize) -> Result<()> {
    assert!(at + len <= PAGE_SIZE, "a slot lies in its page");
    // SAFETY: in bounds by the check; the frame belongs to this ring alone and is never mapped for a user, and `&mut`
    // on the ring makes this the only access.
    let buffer = unsafe { core::slice::from_raw_parts_mut(page.as_ptr().add(at), len) };
    source.take(buffer)
}

fn copy_out(page: &Frame, at: usize, len: usize, sink: &mut dyn Sink) -> Result<()> {
    assert!(at + len <= PAGE_SIZE, "a slot lies in its page");
    // SAFETY: as in `copy_in`.
    let bytes = unsafe { core::slice::from_raw_parts(page.as_ptr().add(at), len) };
    sink.put(bytes)
}
