//! Has KVM handle frequent stores without an exit: collected, or as an eventfd.
//!
//! Not from the start: a VM with a coalesced zone or an ioeventfd cannot be closed for 15 ms after their registration
//! (the host's kernel waits for SRCU callbacks), and many VMs are gone by then. Whoever stores often enough that it pays
//! off lives longer.

use crate::layout::{MMIO_BASE, PV_PAGE};
use ampoule_devices::mmio::offset;
use kvm_ioctls::{IoEventAddress, NoDatamatch, VmFd};
use std::sync::Arc;
use vmm_sys_util::eventfd::EventFd;

/// Exits of a kind that are taken before it is accelerated: 2 ms where an exit is slow.
const THRESHOLD: u32 = 64;
/// The device whose notifications are worth it: vsock.
const DEVICE: usize = 0;

/// What the accelerator works on.
pub struct Accelerated {
    /// The VM.
    pub vm: Arc<VmFd>,
    /// What the notifications of the first device ring.
    pub doorbell: Arc<EventFd>,
}

/// Counts exits.
pub struct Accelerator {
    accelerated: Accelerated,
    logged: u32,
    notified: u32,
}

impl Accelerator {
    /// One that has seen nothing yet.
    pub fn new(accelerated: Accelerated) -> Self {
        Self { accelerated, logged: 0, notified: 0 }
    }

    /// There was an exit for a store to the log.
    pub fn log_was_written(&mut self) {
        self.logged = self.logged.saturating_add(1);
        if self.logged == THRESHOLD {
            let address = IoEventAddress::Mmio(PV_PAGE + super::pv::LOG);
            // Without it, each store stays an exit.
            let _ = self.accelerated.vm.register_coalesced_mmio(address, super::pv::LOG_LEN);
        }
    }

    /// There was an exit for a notification of a device.
    pub fn was_notified(&mut self, device: usize) {
        if device != DEVICE {
            return;
        }
        self.notified = self.notified.saturating_add(1);
        if self.notified == THRESHOLD {
            let address = IoEventAddress::Mmio(MMIO_BASE + offset::QUEUE_NOTIFY);
            let _ = self.accelerated.vm.register_ioevent(&self.accelerated.doorbell, &address, NoDatamatch);
        }
    }
}
