//! Interrupts from devices to the guest: messages to the only local APIC.

use crate::layout::FIRST_IRQ;
use ampoule_devices::{Interrupt, InterruptStatus};
use kvm_bindings::kvm_msi;
use kvm_ioctls::VmFd;
use std::sync::Arc;

/// Where messages to the local APIC with id 0 go.
const ADDRESS: u32 = 0xfee0_0000;
/// Vector of IRQ 0.
const FIRST_VECTOR: u32 = 0x30;

/// The interrupt of one device: fixed, edge-triggered.
#[derive(Clone)]
pub struct Msi {
    vm: Arc<VmFd>,
    status: InterruptStatus,
    vector: u32,
}

impl Msi {
    /// The interrupt of device number `device`.
    pub fn new(vm: &Arc<VmFd>, device: u32) -> Self {
        Self {
            vm: Arc::clone(vm),
            status: InterruptStatus::default(),
            vector: FIRST_VECTOR + FIRST_IRQ + device,
        }
    }

    /// What the driver sees of it.
    pub fn status(&self) -> InterruptStatus {
        self.status.clone()
    }

    fn signal(&self) {
        let message = kvm_msi { address_lo: ADDRESS, data: self.vector, ..Default::default() };
        // A guest whose local APIC is off does not get it, as on a real machine.
        let _ = self.vm.signal_msi(message);
    }
}

impl Interrupt for Msi {
    fn used_buffers(&self) {
        self.status.set_used_buffers();
        self.signal();
    }

    fn config_changed(&self) {
        self.status.set_config_changed();
        self.signal();
    }
}
