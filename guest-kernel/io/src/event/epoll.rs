//! `epoll(7)`.

use crate::anon::{self, Device};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Events, File, OpenFile, Result, Stat, WaitQueue};
use core::any::Any;

/// `struct epoll_event`, unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpollEvent {
    /// `EPOLL*` bits.
    pub events: u32,
    /// The caller's own.
    pub data: u64,
}

/// An epoll instance.
pub struct Epoll {
    ino: u64,
    queue: WaitQueue,
}

impl Epoll {
    /// One without interests.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { ino: anon::next_ino(), queue: WaitQueue::new() })
    }

    /// `EPOLL_CTL_ADD`: `fd` is the number by which the caller knows `file`.
    pub fn add(&self, _fd: i32, _file: &Arc<OpenFile>, _event: EpollEvent) -> Result<()> {
        Err(Errno::ENOSYS)
    }

    /// `EPOLL_CTL_MOD`.
    pub fn modify(&self, _fd: i32, _file: &Arc<OpenFile>, _event: EpollEvent) -> Result<()> {
        Err(Errno::ENOSYS)
    }

    /// `EPOLL_CTL_DEL`.
    pub fn remove(&self, _fd: i32, _file: &Arc<OpenFile>) -> Result<()> {
        Err(Errno::ENOSYS)
    }

    /// Hands out up to `limit` ready events, without waiting, and returns how many. An event that `each` fails on stays
    /// ready; the error is returned when it was the first.
    pub fn wait(&self, _limit: usize, _each: &mut dyn FnMut(EpollEvent) -> Result<()>) -> Result<usize> {
        Err(Errno::ENOSYS)
    }
}

impl File for Epoll {
    fn poll(&self) -> Events {
        Events::empty()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn stat(&self) -> Result<Stat> {
        Ok(anon::stat(Device::Anonymous, self.ino, None, 0o600))
    }

    fn proc_name(&self) -> Vec<u8> {
        b"anon_inode:[eventpoll]".to_vec()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
