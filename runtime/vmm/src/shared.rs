//! What the vCPU thread and the device thread share.
//!
//! The device thread owns all I/O. The vCPU thread runs the guest and handles its exits. They meet in the [`Bus`], whose lock nobody holds during I/O or a `KVM_RUN`, and nowhere else.

use crate::bus::Bus;
use crate::clock::monotonic_ns;
use crate::ending::Ending;
use crate::error::Error;
use ampoule_devices::poller::Doorbell;
use ampoule_vmm_api::Timings;
use std::os::fd::{AsFd, BorrowedFd};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};

/// The meeting place of the threads.
pub struct Shared {
    bus: Mutex<Bus>,
    reset_done: Condvar,
    wake: Doorbell,
    ending: OnceLock<Ending>,
    hurry: AtomicBool,
    timings: Mutex<Timings>,
}

impl Shared {
    /// For a VM that is about to run.
    pub fn new(bus: Bus, timings: Timings) -> Result<Self, Error> {
        Ok(Self {
            bus: Mutex::new(bus),
            reset_done: Condvar::new(),
            wake: Doorbell::new().map_err(Error::host("create an eventfd"))?,
            ending: OnceLock::new(),
            hurry: AtomicBool::new(false),
            timings: Mutex::new(timings),
        })
    }

    /// The bus. Not to be held during I/O.
    pub fn bus(&self) -> MutexGuard<'_, Bus> {
        // A panic ends the process, so a poisoned lock cannot be seen.
        self.bus.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Wakes the device thread.
    pub fn wake(&self) {
        self.wake.ring();
    }

    /// Readable when the device thread has to look around.
    pub fn wake_fd(&self) -> BorrowedFd<'_> {
        self.wake.as_fd()
    }

    /// Takes a wake-up.
    pub fn woken(&self) {
        self.wake.silence();
    }

    /// Has the device thread reset what the guest wants reset, and waits for that. It never takes long: the device
    /// thread does not block, and when it ends, so does the process.
    pub fn await_reset(&self) {
        self.wake();
        let mut bus = self.bus();
        while bus.transports().has_reset() {
            bus = self.reset_done.wait(bus).unwrap_or_else(PoisonError::into_inner);
        }
    }

    /// Lets the guest go on that waits for a reset.
    pub fn resets_are_done(&self) {
        self.bus().transports().resets_are_done();
        self.reset_done.notify_one();
    }

    /// Tells that the VM has ended. The first reason counts.
    pub fn end(&self, ending: Ending) {
        let _ = self.ending.set(ending);
        self.wake();
    }

    /// Tells that the VM has to end. If it has ended already, it is to be quick about it.
    pub fn end_from_outside(&self, ending: Ending) {
        if self.ending.set(ending).is_err() {
            self.hurry.store(true, Ordering::Relaxed);
        }
    }

    /// Whether somebody does not want to wait for the end.
    pub fn is_in_a_hurry(&self) -> bool {
        self.hurry.load(Ordering::Relaxed)
    }

    /// Why the VM has ended, if it has.
    pub fn ending(&self) -> Option<&Ending> {
        self.ending.get()
    }

    /// Notes the present time.
    pub fn mark(&self, field: impl FnOnce(&mut Timings) -> &mut Option<u64>) {
        let now = monotonic_ns();
        field(&mut self.timings.lock().unwrap_or_else(PoisonError::into_inner)).get_or_insert(now);
    }

    /// All times noted.
    pub fn timings(&self) -> Timings {
        *self.timings.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
