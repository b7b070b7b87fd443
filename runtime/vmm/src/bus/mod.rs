//! What the guest reaches by port and memory-mapped accesses.
//!
//! The vCPU thread calls in here at each exit; the device thread fetches what concerns the devices, and the log.

mod accelerate;
pub mod ports;
mod pv;
mod transports;

pub use transports::{Change, Commands, Transports, bit};

use crate::ending::Ending;
use crate::ioapic::IoApic;
use crate::layout::{IO_APIC, MMIO_BASE, MMIO_STRIDE, PV_PAGE};
use crate::log::Log;
use crate::msi;
use accelerate::Accelerator;
use ampoule_devices::mmio::offset;
use kvm_ioctls::VmFd;
use ports::Ports;
use std::sync::Arc;
use vm_memory::GuestMemoryMmap;

pub use accelerate::Accelerated;

/// What the vCPU thread has to do after an access, before the guest goes on.
#[derive(Debug, PartialEq, Eq)]
pub enum After {
    /// Nothing.
    Continue,
    /// Wake the device thread.
    Wake,
    /// Wake the device thread, and wait until it has reset a device.
    AwaitReset,
    /// End the VM.
    End(Ending),
}

/// All that answers to accesses of the guest.
pub struct Bus {
    memory: GuestMemoryMmap,
    log: Log,
    ports: Ports,
    transports: Transports,
    accelerator: Accelerator,
    vm: Arc<VmFd>,
    io_apic: Option<Arc<IoApic>>,
}

impl Bus {
    /// The bus of a VM, with an I/O APIC if its kernel is one that uses it.
    pub fn new(
        memory: GuestMemoryMmap,
        transports: Transports,
        accelerated: Accelerated,
        io_apic: Option<Arc<IoApic>>,
    ) -> Self {
        let (log, ports) = (Log::default(), Ports::default());
        let vm = Arc::clone(&accelerated.vm);
        Self { memory, log, ports, transports, accelerator: Accelerator::new(accelerated), vm, io_apic }
    }

    /// The kernel log, up to now.
    pub fn log(&mut self) -> &mut Log {
        &mut self.log
    }

    /// What the guest wants of the devices.
    pub fn transports(&mut self) -> &mut Transports {
        &mut self.transports
    }

    /// A load from where there is no memory. `data` has 1 to 8 bytes.
    pub fn mmio_read(&mut self, address: u64, data: &mut [u8]) -> After {
        data.fill(0xff);
        if let Some((device, at)) = device_at(address) {
            self.transports.read(device, at, data);
        } else if let (Some(io_apic), Some(at)) = (&self.io_apic, address.checked_sub(IO_APIC)) {
            io_apic.read(at, data);
        }
        After::Continue
    }

    /// A store to where there is no memory.
    pub fn mmio_write(&mut self, address: u64, data: &[u8]) -> After {
        if let Some((device, offset::QUEUE_NOTIFY)) = device_at(address) {
            self.accelerator.was_notified(device);
        }
        match self.store(address, data) {
            Some(ending) => After::End(ending),
            None => self.after(),
        }
    }

    /// Input from a port.
    pub fn port_read(&mut self, port: u16, data: &mut [u8]) -> After {
        self.ports.read(port, data);
        After::Continue
    }

    /// Output to a port.
    pub fn port_write(&mut self, port: u16, data: &[u8]) -> After {
        match self.ports.write(port, data, &mut self.log) {
            Some(ending) => After::End(ending),
            None => self.after(),
        }
    }

    fn store(&mut self, address: u64, data: &[u8]) -> Option<Ending> {
        if let Some((device, at)) = device_at(address) {
            self.transports.write(device, at, data);
            return None;
        }
        if let (Some(io_apic), Some(at)) = (&self.io_apic, address.checked_sub(IO_APIC)) {
            if let Some(message) = io_apic.write(at, data) {
                msi::send(&self.vm, message);
            }
            return None;
        }
        match address.checked_sub(PV_PAGE)? {
            pv::LOG => self.log.append(data),
            pv::END => return pv::ending(data),
            pv::BATCH => self.store_batch(data),
            pv::LOG_TEXT => pv::read_text(data, &self.memory, |text| self.log.append(text)),
            _ => {}
        }
        None
    }

    fn store_batch(&mut self, data: &[u8]) {
        for (at, value) in pv::read_batch(data, &self.memory) {
            if let Some((device, at)) = device_at(MMIO_BASE + u64::from(at)) {
                self.transports.write(device, at, &value.to_le_bytes());
            }
        }
    }

    fn after(&mut self) -> After {
        if self.transports.has_reset() {
            After::AwaitReset
        } else if self.transports.has_commands() || self.log.has_unsent() {
            After::Wake
        } else {
            After::Continue
        }
    }
}

/// The device at this address, and the offset of the register.
fn device_at(address: u64) -> Option<(usize, u64)> {
    let offset = address.checked_sub(MMIO_BASE).filter(|_| address < PV_PAGE)?;
    Some((usize::try_from(offset / MMIO_STRIDE).ok()?, offset % MMIO_STRIDE))
}
