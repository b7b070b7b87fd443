//! An epoll whose tokens and events are the caller's.

use rustix::buffer::spare_capacity;
use rustix::event::epoll;
use rustix::event::{EventfdFlags, Timespec};
use rustix::io::{Errno, Result};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Duration;

/// Most events taken at a time.
const BATCH: usize = 32;

/// Waits for descriptors.
#[derive(Debug)]
pub struct Poller {
    epoll: OwnedFd,
}

/// What has become of a descriptor.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Event {
    /// What was given when it was added.
    pub token: u64,
    /// There is something to read, or the end.
    pub readable: bool,
    /// There is room to write, or nobody to read.
    pub writable: bool,
    /// The other side writes no more.
    pub hung_up: bool,
    /// The other side neither reads nor writes any more.
    pub closed: bool,
}

impl Poller {
    /// A poller without descriptors.
    pub fn new() -> Result<Self> {
        Ok(Self { epoll: epoll::create(epoll::CreateFlags::CLOEXEC)? })
    }

    /// Reports as long as the descriptor is readable.
    pub fn add_readable(&self, fd: BorrowedFd<'_>, token: u64) -> Result<()> {
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), epoll::EventFlags::IN)
    }

    /// Reports whenever the descriptor becomes readable, writable or hung up, and its present state once.
    pub fn add_edges(&self, fd: BorrowedFd<'_>, token: u64) -> Result<()> {
        let flags =
            epoll::EventFlags::IN | epoll::EventFlags::OUT | epoll::EventFlags::RDHUP | epoll::EventFlags::ET;
        epoll::add(&self.epoll, fd, epoll::EventData::new_u64(token), flags)
    }

    /// Forgets a descriptor.
    pub fn remove(&self, fd: BorrowedFd<'_>) {
        // It is only ever called for what was added.
        let _ = epoll::delete(&self.epoll, fd);
    }

    /// Waits for events, at most this long, and hands them out.
    pub fn wait(&self, timeout: Option<Duration>, mut each: impl FnMut(Event)) -> Result<()> {
        let timeout = timeout.and_then(|timeout| Timespec::try_from(timeout).ok());
        let mut events = Vec::with_capacity(BATCH);
        match epoll::wait(&self.epoll, spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
        for event in &events {
            let (token, flags) = (event.data.u64(), event.flags);
            let closed = flags.intersects(epoll::EventFlags::ERR | epoll::EventFlags::HUP);
            each(Event {
                token,
                readable: closed || flags.contains(epoll::EventFlags::IN),
                writable: closed || flags.contains(epoll::EventFlags::OUT),
                closed,
                hung_up: closed || flags.contains(epoll::EventFlags::RDHUP),
            });
        }
        Ok(())
    }
}

/// An eventfd: a counter that threads, and KVM, wake others with.
#[derive(Debug)]
pub struct Doorbell(OwnedFd);

impl Doorbell {
    /// A silent one.
    pub fn new() -> Result<Self> {
        rustix::event::eventfd(0, EventfdFlags::CLOEXEC | EventfdFlags::NONBLOCK).map(Self)
    }

    /// Makes it readable.
    pub fn ring(&self) {
        // It fails only when the counter is at its limit, and then it is readable.
        let _ = rustix::io::write(&self.0, &1u64.to_ne_bytes());
    }

    /// Makes it unreadable.
    pub fn silence(&self) {
        let _ = rustix::io::read(&self.0, &mut [0; 8]);
    }
}

impl AsFd for Doorbell {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.0.as_fd()
    }
}
