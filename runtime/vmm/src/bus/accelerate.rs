//! Has KVM handle frequent notifications without an exit, as an eventfd.
//!
//! Not from the start: a VM with an ioeventfd cannot be closed for some milliseconds after its registration (the host's
//! kernel waits for SRCU callbacks), and many VMs are gone by then. Whoever notifies often enough that it pays off lives
//! longer. See docs/decisions/0005-batches.md.

use crate::layout::MMIO_BASE;
use ampoule_devices::mmio::offset;
use kvm_ioctls::{IoEventAddress, NoDatamatch, VmFd};
use std::sync::Arc;
use vmm_sys_util::eventfd::EventFd;

/// Notifications that are taken as exits before they are accelerated: 2 ms where an exit is slow.
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
    notified: u32,
}

impl Accelerator {
    /// One that has seen nothing yet.
    pub fn new(accelerated: Accelerated) -> Self {
        Self { accelerated, notified: 0 }
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
