//! What the guest reaches by port and memory-mapped accesses.
//!
//! The vCPU thread calls in here at each exit, the device thread when it looks for log. Stores that KVM coalesced come
//! first, in order, whoever calls.

mod coalesced;
mod ports;
mod pv;

pub use coalesced::Ring;

use crate::ending::Ending;
use crate::layout::PV_PAGE;
use crate::log::Log;
use kvm_ioctls::{IoEventAddress, VmFd};
use ports::Ports;
use std::sync::Arc;

/// All that answers to accesses of the guest.
pub struct Bus {
    vm: Arc<VmFd>,
    ring: Ring,
    log: Log,
    log_is_coalesced: bool,
    ports: Ports,
}

impl Bus {
    /// The bus of a VM. `ring` is that of its vCPU.
    pub fn new(vm: Arc<VmFd>, ring: Ring) -> Self {
        Self { vm, ring, log: Log::default(), log_is_coalesced: false, ports: Ports::default() }
    }

    /// The kernel log, up to now.
    pub fn log(&mut self) -> &mut Log {
        self.drain();
        &mut self.log
    }

    /// Handles the stores that KVM put aside.
    pub fn drain(&mut self) {
        while let Some(store) = self.ring.pop() {
            // Only stores without further consequences are coalesced.
            let _ = self.store(store.address, store.data());
        }
    }

    /// A load from where there is no memory. `data` has 1 to 8 bytes.
    pub fn mmio_read(&mut self, _address: u64, data: &mut [u8]) {
        self.drain();
        data.fill(0xff);
    }

    /// A store to where there is no memory.
    pub fn mmio_write(&mut self, address: u64, data: &[u8]) -> Option<Ending> {
        self.drain();
        self.coalesce_log(address);
        self.store(address, data)
    }

    /// Input from a port.
    pub fn port_read(&mut self, port: u16, data: &mut [u8]) {
        self.drain();
        self.ports.read(port, data);
    }

    /// Output to a port.
    pub fn port_write(&mut self, port: u16, data: &[u8]) -> Option<Ending> {
        self.drain();
        self.ports.write(port, data, &mut self.log)
    }

    fn store(&mut self, address: u64, data: &[u8]) -> Option<Ending> {
        match address.checked_sub(PV_PAGE) {
            Some(pv::LOG) => {
                self.log.append(data);
                None
            }
            Some(pv::END) => pv::ending(data),
            _ => None,
        }
    }

    /// From the first store to the log on, KVM collects such stores. Not before: a VM with such a zone or an ioeventfd
    /// cannot be closed for 15 ms after their registration (the host's kernel waits for SRCU), and many VMs are gone
    /// by then without having logged anything.
    fn coalesce_log(&mut self, address: u64) {
        if address == PV_PAGE + pv::LOG && !self.log_is_coalesced {
            self.log_is_coalesced = true;
            // Without it, each store is an exit.
            let _ = self.vm.register_coalesced_mmio(IoEventAddress::Mmio(PV_PAGE), pv::LOG_LEN);
        }
    }
}
