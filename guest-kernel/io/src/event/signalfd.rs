//! `signalfd(2)`: pending signals as readable records.

use crate::anon::{self, Device};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Events, File, Mutex, Once, Result, Sink, Stat, WaitQueue, platform};
use core::any::Any;

/// One `struct signalfd_siginfo`.
pub type SignalInfo = [u8; 128];

/// The calling thread's pending signals (its own and its process's). The kernel implements it.
/// In a mask, bit `signo - 1` stands for a signal.
pub trait Signals: Sync {
    /// Whether a signal of the mask is pending.
    fn pending(&self, mask: u64) -> bool;
    /// Takes one pending signal of the mask.
    fn dequeue(&self, mask: u64) -> Option<SignalInfo>;
}

static SIGNALS: Once<&'static dyn Signals> = Once::new();

/// Names the kernel's signals, once, at start-up; the first call wins.
pub fn install_signals(signals: &'static dyn Signals) -> bool {
    SIGNALS.set(signals)
}

/// SIGKILL and SIGSTOP cannot be taken.
const NEVER: u64 = 1 << 8 | 1 << 18;

/// A signalfd. Reading takes signals of whoever reads; waiting is on the signals of the process that made it.
pub struct SignalFd {
    ino: u64,
    mask: Mutex<u64>,
    queue: Option<Arc<WaitQueue>>,
}

impl SignalFd {
    /// For the signals of `mask`.
    pub fn new(mask: u64) -> Arc<Self> {
        Arc::new(Self {
            ino: anon::next_ino(),
            mask: Mutex::new(mask & !NEVER),
            queue: platform().caller_signals(),
        })
    }

    /// Changes the mask (`signalfd(2)` on an existing descriptor).
    pub fn set_mask(&self, mask: u64) {
        *self.mask.lock() = mask & !NEVER;
        if let Some(queue) = &self.queue {
            queue.wake(Events::IN | Events::RDNORM);
        }
    }
}

impl File for SignalFd {
    fn read(&self, _offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        let mask = *self.mask.lock();
        if sink.remaining() < size_of::<SignalInfo>() {
            return Err(Errno::EINVAL);
        }
        let signals = SIGNALS.get().ok_or(Errno::ENOSYS)?;
        let mut total = 0;
        while sink.remaining() >= size_of::<SignalInfo>() {
            let Some(info) = signals.dequeue(mask) else { break };
            match sink.put(&info) {
                Ok(()) => total += info.len(),
                Err(error) if total == 0 => return Err(error),
                Err(_) => break,
            }
        }
        if total == 0 { Err(Errno::EAGAIN) } else { Ok(total) }
    }

    fn poll(&self) -> Events {
        let mask = *self.mask.lock();
        match SIGNALS.get() {
            Some(signals) if signals.pending(mask) => Events::IN,
            _ => Events::empty(),
        }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        self.queue.as_deref()
    }

    fn stat(&self) -> Result<Stat> {
        Ok(anon::stat(Device::Anonymous, self.ino, None, 0o600))
    }

    fn proc_name(&self) -> Vec<u8> {
        b"anon_inode:[signalfd]".to_vec()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
