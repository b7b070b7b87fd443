//! `eventfd(2)`: a counter to wait for.

use crate::anon::{self, Device};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Events, File, Mutex, Result, Sink, Source, Stat, WaitQueue};
use core::any::Any;

/// The counter never reaches the value that `u64::MAX` stands for.
const LIMIT: u64 = u64::MAX - 1;

/// An eventfd.
pub struct EventFd {
    ino: u64,
    semaphore: bool,
    counter: Mutex<u64>,
    queue: WaitQueue,
}

impl EventFd {
    /// A counter that starts at `initial`; `semaphore` is `EFD_SEMAPHORE`.
    pub fn new(initial: u32, semaphore: bool) -> Arc<Self> {
        Arc::new(Self {
            ino: anon::next_ino(),
            semaphore,
            counter: Mutex::new(u64::from(initial)),
            queue: WaitQueue::new(),
        })
    }

    /// Adds without waiting, up to the limit (for the kernel's own notifications).
    pub fn signal(&self, count: u64) {
        {
            let mut counter = self.counter.lock();
            *counter = counter.saturating_add(count).min(LIMIT);
        }
        self.queue.wake(Events::IN | Events::RDNORM);
    }
}

impl File for EventFd {
    fn read(&self, _offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        if sink.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        let value = {
            let mut counter = self.counter.lock();
            let value = if self.semaphore { (*counter).min(1) } else { *counter };
            *counter -= value;
            value
        };
        if value == 0 {
            return Err(Errno::EAGAIN);
        }
        self.queue.wake(Events::OUT | Events::WRNORM);
        sink.put(&value.to_ne_bytes())?;
        Ok(8)
    }

    fn write(&self, _offset: u64, source: &mut dyn Source) -> Result<usize> {
        if source.remaining() < 8 {
            return Err(Errno::EINVAL);
        }
        // Taken before it is known whether there is room: a caller that has to wait hands in a fresh source.
        let mut bytes = [0; 8];
        source.take(&mut bytes)?;
        let value = u64::from_ne_bytes(bytes);
        if value == u64::MAX {
            return Err(Errno::EINVAL);
        }
        {
            let mut counter = self.counter.lock();
            *counter = counter.checked_add(value).filter(|sum| *sum <= LIMIT).ok_or(Errno::EAGAIN)?;
        }
        if value != 0 {
            self.queue.wake(Events::IN | Events::RDNORM);
        }
        Ok(8)
    }

    fn poll(&self) -> Events {
        let counter = *self.counter.lock();
        let mut events = Events::empty();
        events.set(Events::IN, counter > 0);
        events.set(Events::OUT, counter < LIMIT);
        events
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn stat(&self) -> Result<Stat> {
        Ok(anon::stat(Device::Anonymous, self.ino, None, 0o600))
    }

    fn proc_name(&self) -> Vec<u8> {
        b"anon_inode:[eventfd]".to_vec()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
