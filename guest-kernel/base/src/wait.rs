//! Readiness events and the queues of those who wait for them.
//!
//! File operations never block: they return `EAGAIN`. Blocking is done in one place, the system-call layer, which
//! puts the thread on the file's [`WaitQueue`], tries again, and sleeps until the queue is woken. `poll`, `select` and
//! `epoll` use the same queues.

use crate::Mutex;
use alloc::sync::Arc;
use alloc::vec::Vec;

bitflags::bitflags! {
    /// Readiness, with the values of `poll(2)` and `epoll(7)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq, Default)]
    pub struct Events: u32 {
        /// Data may be read (or a connection accepted, or end of file seen).
        const IN = 0x001;
        /// Urgent data.
        const PRI = 0x002;
        /// Data may be written.
        const OUT = 0x004;
        /// An error is pending, or the read end of a pipe is closed.
        const ERR = 0x008;
        /// The peer has closed.
        const HUP = 0x010;
        /// Not an open file (only `poll` reports it).
        const NVAL = 0x020;
        /// As IN.
        const RDNORM = 0x040;
        /// As OUT.
        const WRNORM = 0x100;
        /// The peer has shut down its writing side.
        const RDHUP = 0x2000;
    }
}

/// Somebody who waits: a thread, or an epoll instance's item.
pub trait Waiter: Send + Sync {
    /// Something that was waited for may have happened. Must not block, nor touch the queue that calls it.
    fn wake(&self, events: Events);
}

/// Names one entry of a queue, for its removal.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct WaitId(u64);

#[derive(Default)]
struct Waiters {
    next_id: u64,
    entries: Vec<(u64, Arc<dyn Waiter>)>,
}

/// Those who wait for something to happen to one object.
#[derive(Default)]
pub struct WaitQueue {
    waiters: Mutex<Waiters>,
}

impl WaitQueue {
    /// A queue with nobody in it.
    pub const fn new() -> Self {
        Self { waiters: Mutex::new(Waiters { next_id: 0, entries: Vec::new() }) }
    }

    /// Enters `waiter`, until [`remove`](Self::remove).
    pub fn add(&self, waiter: Arc<dyn Waiter>) -> WaitId {
        let mut waiters = self.waiters.lock();
        let id = waiters.next_id;
        waiters.next_id += 1;
        waiters.entries.push((id, waiter));
        WaitId(id)
    }

    /// Takes an entry out; unknown ones are ignored.
    pub fn remove(&self, id: WaitId) {
        let mut waiters = self.waiters.lock();
        if let Some(at) = waiters.entries.iter().position(|(entry, _)| *entry == id.0) {
            let removed = waiters.entries.remove(at);
            drop(waiters);
            drop(removed);
        }
    }

    /// Wakes everybody.
    pub fn wake(&self, events: Events) {
        for (_, waiter) in &self.waiters.lock().entries {
            waiter.wake(events);
        }
    }

    /// Wakes the first `count` that have waited longest, and returns how many there were (for futexes).
    pub fn wake_some(&self, count: usize, events: Events) -> usize {
        let woken: Vec<_> = {
            let mut waiters = self.waiters.lock();
            let count = count.min(waiters.entries.len());
            waiters.entries.drain(..count).collect()
        };
        woken.iter().for_each(|(_, waiter)| waiter.wake(events));
        woken.len()
    }

    /// Whether nobody waits.
    pub fn is_empty(&self) -> bool {
        self.waiters.lock().entries.is_empty()
    }
}
