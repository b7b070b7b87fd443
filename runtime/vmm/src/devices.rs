//! The virtio devices of a VM, as the device thread has them.

use crate::bus::{Change, Commands, Transports, bit};
use crate::descriptors::Descriptors;
use crate::error::Error;
use crate::ioapic::IoApic;
use crate::memory::Images;
use crate::msi::Msi;
use crate::shared::Shared;
use ampoule_devices::Interrupt;
use ampoule_devices::mmio::{Activation, DeviceType, Registers};
use ampoule_devices::pmem::{self, Pmem};
use ampoule_devices::poller::{Event, Poller};
use ampoule_devices::queue::QueueError;
use ampoule_devices::vsock::{self, Vsock, VsockArgs, Work};
use ampoule_vmm_api::{GUEST_CID, Guest};
use kvm_ioctls::VmFd;
use std::sync::Arc;
use vm_memory::GuestMemoryMmap;

/// Number of the vsock device. Those of the images follow.
const VSOCK: usize = 0;
const FIRST_PMEM: usize = 1;

/// All devices.
pub struct Devices {
    memory: GuestMemoryMmap,
    vsock: Vsock<Msi>,
    pmems: Vec<Pmem<Msi>>,
    interrupts: Vec<Msi>,
}

/// The interrupts of the vsock device and of one device for each image.
pub fn interrupts(vm: &Arc<VmFd>, images: &Images, io_apic: Option<&Arc<IoApic>>) -> Vec<Msi> {
    (0..).take(FIRST_PMEM + images.list().len()).map(|device| Msi::new(vm, device, io_apic)).collect()
}

/// The registers of those devices.
///
/// Linux maps no persistent memory that ends between two boundaries of 2 MiB: it is shown the zeroes behind an image, too.
pub fn transports(interrupts: &[Msi], images: &Images, guest: Guest) -> Transports {
    let mut registers = Vec::with_capacity(interrupts.len());
    if let Some(msi) = interrupts.get(VSOCK) {
        let config = vsock::config(GUEST_CID);
        registers.push(Registers::new(DeviceType::Vsock, 0, &vsock::QUEUE_SIZES, &config, msi.status()));
    }
    for (msi, image) in interrupts.iter().skip(FIRST_PMEM).zip(images.list()) {
        let len = match guest {
            Guest::Ampoule => image.len,
            Guest::Linux => image.end_of_range() - image.start,
        };
        let config = pmem::config(image.start, len);
        registers.push(Registers::new(DeviceType::Pmem, 0, &pmem::QUEUE_SIZES, &config, msi.status()));
    }
    Transports::new(registers)
}

impl Devices {
    /// The devices behind those registers. Takes the sockets out of `descriptors`.
    pub fn new(
        descriptors: &mut Descriptors,
        interrupts: Vec<Msi>,
        memory: GuestMemoryMmap,
        poller: Arc<Poller>,
    ) -> Result<Self, Error> {
        let args = VsockArgs {
            guest_cid: GUEST_CID,
            ports: std::mem::take(&mut descriptors.vsock_ports),
            listener: descriptors.vsock_listener.take(),
            bytes_per_second: descriptors.vsock_rate,
        };
        let Some(msi) = interrupts.get(VSOCK).cloned() else { return Err(Error::KvmVersion) };
        let vsock = Vsock::new(args, poller, msi).map_err(Error::host("watch the vsock listener"))?;
        let pmems = interrupts.iter().skip(FIRST_PMEM).cloned().map(Pmem::new).collect();
        Ok(Self { memory, vsock, pmems, interrupts })
    }

    /// Something has happened to a socket of the host.
    pub fn handle_event(&mut self, event: &Event) {
        self.vsock.handle_event(event);
    }

    /// Does what the guest has asked, and what can be done for it.
    pub fn process(&mut self, commands: &Commands, shared: &Shared) -> Work {
        let mut reset = false;
        for (device, change) in &commands.changes {
            let result = match change {
                Change::Activate(activation) => self.activate(*device, activation),
                Change::Reset => {
                    reset = true;
                    self.reset(*device);
                    Ok(())
                }
            };
            self.report(*device, result, shared);
        }
        if reset {
            shared.resets_are_done();
        }
        for (index, pmem) in self.pmems.iter_mut().enumerate() {
            let device = FIRST_PMEM + index;
            if commands.notified & bit(device) != 0 {
                let result = pmem.process();
                report(&self.interrupts, device, result, shared);
            }
        }
        let work = self.vsock.process();
        if self.vsock.accepted() > 0 {
            shared.mark(|timings| &mut timings.control_connected);
        }
        self.report(VSOCK, work, shared).unwrap_or(Work::Done)
    }

    /// The guest runs no more: takes what it has sent.
    pub fn finish(&mut self) {
        self.vsock.finish();
    }

    /// Whether there is something that the guest has sent and the host has not taken yet.
    pub fn has_backlog(&self) -> bool {
        self.vsock.has_backlog()
    }

    fn activate(&mut self, device: usize, activation: &Activation) -> Result<(), QueueError> {
        match self.pmem(device) {
            Some(index) => match self.pmems.get_mut(index) {
                Some(pmem) => pmem.activate(activation, &self.memory),
                None => Ok(()),
            },
            None => self.vsock.activate(activation, &self.memory),
        }
    }

    fn reset(&mut self, device: usize) {
        match self.pmem(device).map(|index| self.pmems.get_mut(index)) {
            Some(pmem) => pmem.into_iter().for_each(Pmem::reset),
            None => self.vsock.reset(),
        }
    }

    /// Which image's device it is, if it is one.
    fn pmem(&self, device: usize) -> Option<usize> {
        device.checked_sub(FIRST_PMEM)
    }

    fn report<T>(&self, device: usize, result: Result<T, QueueError>, shared: &Shared) -> Option<T> {
        report(&self.interrupts, device, result, shared)
    }
}

/// Tells the driver of a device if it has broken the rules.
fn report<T>(interrupts: &[Msi], device: usize, result: Result<T, QueueError>, shared: &Shared) -> Option<T> {
    if result.is_err() {
        shared.bus().transports().set_needs_reset(device);
        if let Some(msi) = interrupts.get(device) {
            msi.config_changed();
        }
    }
    result.ok()
}
