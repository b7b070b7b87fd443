//! The vCPU: its creation, and the thread that runs it.

mod crash;
mod run;
mod thread;

pub use thread::{Start, VcpuThread};

use crate::boot::{initial_regs, initial_sregs};
use crate::error::Error;
use kvm_bindings::{CpuId, Msrs, kvm_msr_entry};
use kvm_ioctls::{VcpuFd, VmFd};

/// `IA32_MTRR_DEF_TYPE`: enabled, write-back. KVM starts with everything uncached, at which Linux wonders.
const MTRR_DEF_TYPE: kvm_msr_entry = kvm_msr_entry { index: 0x2ff, reserved: 0, data: 0xc06 };

/// Creates the only vCPU of a VM.
fn create(vm: &VmFd, cpuid: &CpuId) -> Result<VcpuFd, Error> {
    let vcpu = vm.create_vcpu(0).map_err(Error::kvm("create a vCPU"))?;
    vcpu.set_cpuid2(cpuid).map_err(Error::kvm("set the vCPU's CPUID"))?;
    let sregs = vcpu.get_sregs().map_err(Error::kvm("read the vCPU's registers"))?;
    vcpu.set_sregs(&initial_sregs(sregs)).map_err(Error::kvm("set the vCPU's special registers"))?;
    if let Ok(msrs) = Msrs::from_entries(&[MTRR_DEF_TYPE]) {
        // Not every KVM has it, and our guests do not need it.
        let _ = vcpu.set_msrs(&msrs);
    }
    Ok(vcpu)
}

/// Lets the vCPU start at the kernel's entry.
fn enter_at(vcpu: &VcpuFd, entry: u64) -> Result<(), Error> {
    vcpu.set_regs(&initial_regs(entry)).map_err(Error::kvm("set the vCPU's registers"))
}
