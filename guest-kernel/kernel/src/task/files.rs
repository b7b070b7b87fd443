//! The file descriptor table of a process.

use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, OpenFile, Result, frames};

/// One descriptor.
#[derive(Clone)]
pub struct Descriptor {
    /// What it names.
    pub open: Arc<OpenFile>,
    /// `FD_CLOEXEC`.
    pub close_on_exec: bool,
}

/// Descriptors by number.
#[derive(Default)]
pub struct FileTable {
    slots: Vec<Option<Descriptor>>,
}

impl FileTable {
    /// A copy of it.
    pub fn copy(&self) -> Result<Self> {
        let mut slots = frames::list_of(self.slots.len())?;
        slots.extend(self.slots.iter().cloned());
        Ok(Self { slots })
    }

    /// What a descriptor names.
    #[inline]
    pub fn get(&self, fd: i32) -> Result<&Descriptor> {
        usize::try_from(fd).ok().and_then(|i| self.slots.get(i)).and_then(Option::as_ref).ok_or(Errno::EBADF)
    }

    /// The same, to change its flags.
    pub fn get_mut(&mut self, fd: i32) -> Result<&mut Descriptor> {
        usize::try_from(fd)
            .ok()
            .and_then(|i| self.slots.get_mut(i))
            .and_then(Option::as_mut)
            .ok_or(Errno::EBADF)
    }

    /// Enters a description at the lowest free number from `least` on, below `limit`.
    pub fn add(&mut self, open: Arc<OpenFile>, close_on_exec: bool, least: usize, limit: u64) -> Result<i32> {
        let free = (least..self.slots.len())
            .find(|i| self.slots[*i].is_none())
            .unwrap_or(self.slots.len().max(least));
        if free as u64 >= limit {
            return Err(Errno::EMFILE);
        }
        self.put(free, Descriptor { open, close_on_exec })?;
        Ok(free as i32)
    }

    /// Whether there is a free number below `limit`.
    pub fn has_room(&self, limit: u64) -> bool {
        (self.slots.len() as u64) < limit || self.slots.iter().take(limit as usize).any(Option::is_none)
    }

    /// Enters a description at a number; returns what was there.
    pub fn set(&mut self, fd: i32, descriptor: Descriptor, limit: u64) -> Result<Option<Descriptor>> {
        let index = usize::try_from(fd).map_err(|_| Errno::EBADF)?;
        if index as u64 >= limit {
            return Err(Errno::EBADF);
        }
        self.put(index, descriptor)
    }

    fn put(&mut self, index: usize, descriptor: Descriptor) -> Result<Option<Descriptor>> {
        if let Some(missing) = (index + 1).checked_sub(self.slots.len()) {
            frames::make_room(&mut self.slots, missing)?;
            self.slots.resize_with(index + 1, || None);
        }
        Ok(self.slots[index].replace(descriptor))
    }

    /// Takes a descriptor out.
    pub fn remove(&mut self, fd: i32) -> Result<Descriptor> {
        let slot = usize::try_from(fd).ok().and_then(|i| self.slots.get_mut(i)).ok_or(Errno::EBADF)?;
        slot.take().ok_or(Errno::EBADF)
    }

    /// Closes all that are not for the next program. The table must not be anybody's yet: what goes with a descriptor may
    /// look at others.
    pub fn close_on_exec(&mut self) {
        for slot in &mut self.slots {
            if slot.as_ref().is_some_and(|descriptor| descriptor.close_on_exec) {
                *slot = None;
            }
        }
    }

    /// The numbers in use.
    pub fn numbers(&self) -> Vec<i32> {
        self.slots.iter().enumerate().filter(|(_, slot)| slot.is_some()).map(|(i, _)| i as i32).collect()
    }

    /// The highest number that was ever used, plus one.
    pub fn capacity(&self) -> usize {
        self.slots.len()
    }
}
