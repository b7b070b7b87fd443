//! The guest's CPUID: what KVM supports here, for a single vCPU.

use kvm_bindings::{CpuId, KVM_MAX_CPUID_ENTRIES, kvm_cpuid_entry2};
use kvm_ioctls::{Cap, Kvm};

const HTT: u32 = 1 << 28;
const X2APIC: u32 = 1 << 21;
const TSC_DEADLINE: u32 = 1 << 24;
const HYPERVISOR: u32 = 1 << 31;

/// What KVM supports, made consistent for one vCPU whose APIC id is 0. Takes a third of a millisecond where CPUID
/// itself traps.
pub fn for_one_vcpu(kvm: &Kvm) -> Result<CpuId, kvm_ioctls::Error> {
    let mut cpuid = kvm.get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)?;
    let deadline = kvm.check_extension(Cap::TscDeadlineTimer);
    for entry in cpuid.as_mut_slice() {
        adapt(entry, deadline);
    }
    Ok(cpuid)
}

fn adapt(entry: &mut kvm_cpuid_entry2, tsc_deadline: bool) {
    match entry.function {
        // Features. One logical processor, APIC id 0.
        0x1 => {
            entry.ecx |= X2APIC | HYPERVISOR | if tsc_deadline { TSC_DEADLINE } else { 0 };
            entry.edx &= !HTT;
            entry.ebx = entry.ebx & 0xffff | 1 << 16;
        }
        // Intel's caches: shared by one thread, one core in the package.
        0x4 => entry.eax &= 0x3fff,
        // Topology: one thread in a core, one core; the x2APIC id is 0.
        0xb | 0x1f => {
            (entry.eax, entry.edx) = (0, 0);
            entry.ebx &= 1;
        }
        // AMD: one core, its caches, its ids.
        0x8000_0008 => entry.ecx = 0,
        0x8000_001d => entry.eax &= 0x3fff,
        0x8000_001e => (entry.eax, entry.ebx, entry.ecx) = (0, 0, 0),
        _ => {}
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn adapted(function: u32) -> kvm_cpuid_entry2 {
        let all = u32::MAX;
        let mut entry = kvm_cpuid_entry2 {
            function,
            eax: all,
            ebx: all,
            ecx: all & !X2APIC,
            edx: all,
            ..Default::default()
        };
        adapt(&mut entry, true);
        entry
    }

    #[test]
    fn one_vcpu_has_no_neighbours() {
        let features = adapted(1);
        assert_eq!(features.ebx, 0x0001_ffff);
        assert_eq!(features.ecx & (X2APIC | TSC_DEADLINE | HYPERVISOR), X2APIC | TSC_DEADLINE | HYPERVISOR);
        assert_eq!(features.edx, !HTT);
        assert_eq!(adapted(4).eax >> 14, 0);
        assert_eq!((adapted(0xb).ebx, adapted(0xb).edx), (1, 0));
        assert_eq!(adapted(7).ebx, u32::MAX);
    }
}
