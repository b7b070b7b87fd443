//! What to say about a guest that crashed.

use crate::ending::Ending;
use crate::memory::Ram;
use ampoule_vmm_api::Reason;
use kvm_bindings::{kvm_regs, kvm_sregs};
use kvm_ioctls::VcpuFd;
use vm_memory::{Bytes, GuestAddress};

/// Longest instruction of x86.
const INSTRUCTION_LEN: usize = 15;

/// Protected mode.
const CR0_PE: u64 = 1;

/// The end of the VM, with registers and the bytes at the instruction pointer.
pub fn describe(vcpu: &VcpuFd, ram: &Ram, reason: Reason) -> Ending {
    let (Ok(regs), Ok(sregs)) = (vcpu.get_regs(), vcpu.get_sregs()) else {
        return Ending::of(reason);
    };
    if is_reset(&regs, &sregs) {
        return Ending::with(reason, "its registers are not known, as KVM resets the processor then");
    }
    let code = match code_at(vcpu, ram, regs.rip) {
        Some(code) => code.map(|byte| format!(" {byte:02x}")).concat(),
        None => " not mapped".into(),
    };
    Ending::with(reason, &format!("{}; code at rip:{code}", registers(&regs, &sregs)))
}

/// Whether these are the registers after a reset. KVM does that to a guest that crashed where the processor does not
/// tell its last state, as AMD's.
fn is_reset(regs: &kvm_regs, sregs: &kvm_sregs) -> bool {
    regs.rip == 0xfff0 && sregs.cs.selector == 0xf000 && sregs.cr0 & CR0_PE == 0
}

fn registers(regs: &kvm_regs, sregs: &kvm_sregs) -> String {
    format!(
        "rip={:#x} rsp={:#x} rflags={:#x} cs={:#x} cpl={} cr0={:#x} cr2={:#x} cr3={:#x} cr4={:#x} efer={:#x} \
         rax={:#x} rbx={:#x} rcx={:#x} rdx={:#x} rsi={:#x} rdi={:#x} rbp={:#x}",
        regs.rip,
        regs.rsp,
        regs.rflags,
        sregs.cs.selector,
        sregs.ss.dpl,
        sregs.cr0,
        sregs.cr2,
        sregs.cr3,
        sregs.cr4,
        sregs.efer,
        regs.rax,
        regs.rbx,
        regs.rcx,
        regs.rdx,
        regs.rsi,
        regs.rdi,
        regs.rbp,
    )
}

fn code_at(vcpu: &VcpuFd, ram: &Ram, rip: u64) -> Option<[u8; INSTRUCTION_LEN]> {
    let translation = vcpu.translate_gva(rip).ok().filter(|translation| translation.valid != 0)?;
    ram.memory().read_obj(GuestAddress(translation.physical_address)).ok()
}
