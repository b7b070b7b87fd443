//! The checks of the machine around KVM.

use super::check::Check;
use ampoule_cgroup::Controller;
use ampoule_engine::VmmProgram;
use ampoule_engine::kvm::Virtualization;
use ampoule_policies::Policy;

/// Looks at the processor, the memory, and what else a sandbox needs.
pub fn checks() -> Vec<Check> {
    vec![processor(), memory(&std::fs::read_to_string("/proc/meminfo").unwrap_or_default()), groups(), vmm()]
}

fn processor() -> Check {
    let found = match Virtualization::detect() {
        Virtualization::Vmx => "Intel VT-x",
        Virtualization::Svm => "AMD-V",
        Virtualization::NotInGuest => "a virtual machine without nested virtualization (software KVM may do)",
        Virtualization::None => "no virtualization extensions (software KVM may do)",
    };
    Check::ok("processor", found)
}

fn memory(meminfo: &str) -> Check {
    let available = meminfo.lines().find_map(|line| {
        let kib = line.strip_prefix("MemAvailable:")?.trim().strip_suffix("kB")?;
        kib.trim().parse::<u64>().ok()
    });
    let wanted = Policy::builtin().map_or(0, |policy| policy.machine.memory.get());
    match available.map(|kib| kib >> 10) {
        None => Check::warning("memory", "unknown", "mount /proc"),
        Some(mib) if mib < u64::from(wanted) => Check::warning(
            "memory",
            format!("{mib} MiB available, less than the {wanted} MiB of a default guest"),
            "free some memory, or give guests less with --memory",
        ),
        Some(mib) => {
            Check::ok("memory", format!("{mib} MiB available (a default guest may use {wanted} MiB)"))
        }
    }
}

/// Without groups, there is no `--cpus`, and the VMM's own memory is bounded by its rlimits alone.
fn groups() -> Check {
    const NAME: &str = "control groups";
    let host = ampoule_cgroup::Host::new();
    let mut found = Vec::new();
    let mut missing = Vec::new();
    for controller in Controller::ALL {
        match host.find(controller) {
            Ok((version, _)) => found.push(format!("{controller} ({version:?})")),
            Err(why) => missing.push(format!("{controller}: {why}")),
        }
    }
    match missing.is_empty() {
        true => Check::ok(NAME, found.join(", ").to_lowercase()),
        false => Check::warning(
            NAME,
            format!("{}; limits of these are refused, or left to rlimits and timers", missing.join("; ")),
            "run as root, or below a delegated group (`systemd-run --user --scope -p Delegate=yes`, or AMPOULE_CGROUP)",
        ),
    }
}

fn vmm() -> Check {
    const NAME: &str = "vmm";
    let loaded = crate::run::images::vmm();
    match loaded {
        Ok(VmmProgram::File(path)) => Check::ok(NAME, format!("{} (AMPOULE_VMM)", path.display())),
        Ok(VmmProgram::Memory(_)) => match std::fs::read_to_string("/proc/sys/vm/memfd_noexec") {
            Ok(level) if level.trim() == "2" => Check::failed(
                NAME,
                "this system forbids to execute files in memory",
                "sudo sysctl vm.memfd_noexec=1, or name a VMM with AMPOULE_VMM",
            ),
            _ => Check::ok(NAME, "built in"),
        },
        Err(error) => Check::failed(NAME, format!("{error:#}"), "mount /proc"),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;

    #[test]
    fn little_memory_is_a_warning() {
        assert_eq!(memory("MemTotal: 9 kB\nMemAvailable:   1048576 kB\n").verdict, Verdict::Ok);
        let little = memory("MemAvailable: 1024 kB\n");
        assert_eq!(little.verdict, Verdict::Warning);
        assert!(little.found.starts_with("1 MiB"), "{little:?}");
        assert_eq!(memory("").verdict, Verdict::Warning);
    }
}
