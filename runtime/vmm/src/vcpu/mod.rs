//! The vCPU: its creation, and the loop that runs it.

mod crash;
mod run;

use crate::boot::{Cmdline, initial_regs, initial_sregs};
use crate::ending::Ending;
use crate::error::Error;
use crate::filters;
use crate::memory::Ram;
use crate::shared::Shared;
use ampoule_seccomp::Thread;
use kvm_bindings::{CpuId, Msrs, kvm_msr_entry};
use kvm_ioctls::{VcpuFd, VmFd};

/// `IA32_MTRR_DEF_TYPE`: enabled, write-back. KVM starts with everything uncached, at which Linux wonders.
const MTRR_DEF_TYPE: kvm_msr_entry = kvm_msr_entry { index: 0x2ff, reserved: 0, data: 0xc06 };

/// The only vCPU of a VM. It belongs to one thread: KVM takes its time when another one runs it.
pub struct Vcpu(VcpuFd);

impl Vcpu {
    /// A vCPU after a reset.
    pub fn create(vm: &VmFd) -> Result<Self, Error> {
        vm.create_vcpu(0).map(Self).map_err(Error::kvm("create a vCPU"))
    }

    /// Puts it into the state of the kernel's entry, at this address.
    pub fn configure(&self, cpuid: &CpuId, entry: u64) -> Result<(), Error> {
        let vcpu = &self.0;
        vcpu.set_cpuid2(cpuid).map_err(Error::kvm("set the vCPU's CPUID"))?;
        let sregs = vcpu.get_sregs().map_err(Error::kvm("read the vCPU's registers"))?;
        vcpu.set_sregs(&initial_sregs(sregs)).map_err(Error::kvm("set the vCPU's special registers"))?;
        vcpu.set_regs(&initial_regs(entry)).map_err(Error::kvm("set the vCPU's registers"))?;
        if let Ok(msrs) = Msrs::from_entries(&[MTRR_DEF_TYPE]) {
            // Not every KVM has it, and our guests do not need it.
            let _ = vcpu.set_msrs(&msrs);
        }
        Ok(())
    }

    /// Runs the guest until it ends. Its boot data must be in RAM, but for the clocks.
    pub fn run(&mut self, ram: &Ram, shared: &Shared) -> Result<Ending, Error> {
        let tsc_khz = self.0.get_tsc_khz().map_err(Error::kvm("tell the frequency of the TSC"))?;
        filters::install(Thread::Vcpu)?;
        Cmdline::write_clocks(ram, tsc_khz)?;
        shared.mark(|timings| &mut timings.vcpu_ready);
        Ok(run::run(&mut self.0, shared, ram))
    }
}
