//! Interrupts from devices to the guest: messages to the only local APIC, either at once with a vector that our kernel
//! knows, or by way of an I/O APIC that Linux has programmed.

use crate::ioapic::{IoApic, Message};
use crate::layout::{FIRST_IRQ, LOCAL_APIC};
use ampoule_devices::{Interrupt, InterruptStatus};
use kvm_bindings::kvm_msi;
use kvm_ioctls::VmFd;
use std::sync::Arc;

/// Vector of IRQ 0.
const FIRST_VECTOR: u32 = 0x30;

/// The interrupt of one device: fixed, edge-triggered.
#[derive(Clone)]
pub struct Msi {
    vm: Arc<VmFd>,
    status: InterruptStatus,
    irq: u32,
    io_apic: Option<Arc<IoApic>>,
}

impl Msi {
    /// The interrupt of device number `device`, by way of the I/O APIC if there is one.
    pub fn new(vm: &Arc<VmFd>, device: u32, io_apic: Option<&Arc<IoApic>>) -> Self {
        Self {
            vm: Arc::clone(vm),
            status: InterruptStatus::default(),
            irq: FIRST_IRQ + device,
            io_apic: io_apic.cloned(),
        }
    }

    /// What the driver sees of it.
    pub fn status(&self) -> InterruptStatus {
        self.status.clone()
    }

    fn signal(&self) {
        let message = match &self.io_apic {
            None => Some(Message { address: LOCAL_APIC, data: FIRST_VECTOR + self.irq }),
            Some(io_apic) => io_apic.raise(self.irq),
        };
        if let Some(message) = message {
            send(&self.vm, message);
        }
    }
}

/// Sends a message to the local APIC.
pub fn send(vm: &VmFd, message: Message) {
    let address_lo = u32::try_from(message.address).unwrap_or(u32::MAX);
    // A guest whose local APIC is off does not get it, as on a real machine.
    let _ = vm.signal_msi(kvm_msi { address_lo, data: message.data, ..Default::default() });
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
