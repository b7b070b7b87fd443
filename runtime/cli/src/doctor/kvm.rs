//! The checks around `/dev/kvm`.

use super::check::Check;
use super::probe::{self, Answer};
use ampoule_engine::kvm::{self, KvmProblem};
use kvm_ioctls::{Cap, Kvm};
use std::os::fd::{IntoRawFd, OwnedFd};
use std::sync::mpsc;
use std::time::Duration;

/// How long the probe may take before it counts as hung.
const PROBE_LIMIT: Duration = Duration::from_secs(10);

/// What a VM of ours needs from KVM, and what for.
const NEEDED: [(Cap, &str); 6] = [
    (Cap::SplitIrqchip, "split irqchip"),
    (Cap::Ioeventfd, "ioeventfd"),
    (Cap::SignalMsi, "signal MSI"),
    (Cap::ReadonlyMem, "read-only memory slots"),
    (Cap::UserMemory, "user memory slots"),
    (Cap::ImmediateExit, "immediate exit"),
];

/// Looks at the device, its version and capabilities, and what a VM does on it.
pub fn checks() -> Vec<Check> {
    let device = match kvm::open_device() {
        Ok(device) => device,
        Err(problem) => return vec![cannot_open(&problem)],
    };
    let mut checks = vec![Check::ok("device", format!("{} is there, and may be used", kvm::DEVICE))];
    let kvm = into_kvm(device);
    let version = kvm.get_api_version();
    if version != 12 {
        checks.push(Check::failed(
            "version",
            format!("{} does not speak KVM's interface (it says {version}, not 12)", kvm::DEVICE),
            "find out what made that file; it is not the KVM device",
        ));
        return checks;
    }
    checks.push(Check::ok("version", "KVM interface 12"));
    checks.push(capabilities(&kvm));
    checks.push(probed(kvm));
    checks
}

/// Whether this host has hardware KVM; `None` if it has none that answers.
pub fn is_hardware() -> Option<bool> {
    let kvm = into_kvm(kvm::open_device().ok()?);
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(probe::run(&kvm)));
    receiver.recv_timeout(PROBE_LIMIT).ok()?.ok().map(|answer| answer.is_hardware())
}

fn into_kvm(device: OwnedFd) -> Kvm {
    use std::os::fd::FromRawFd;
    // SAFETY: the descriptor is open and ours, and given away here. That it may not be KVM's only makes ioctls fail.
    unsafe { Kvm::from_raw_fd(device.into_raw_fd()) }
}

fn cannot_open(problem: &KvmProblem) -> Check {
    let sentence = problem.to_string();
    match sentence.split_once(": ") {
        Some((found, mend)) => Check::failed("device", found, mend),
        None => Check::failed("device", sentence, "see the kernel's log (`dmesg`)"),
    }
}

fn capabilities(kvm: &Kvm) -> Check {
    let missing: Vec<&str> =
        NEEDED.into_iter().filter(|(cap, _)| !kvm.check_extension(*cap)).map(|(_, name)| name).collect();
    match missing.is_empty() {
        true => Check::ok("capabilities", format!("all {} that are needed", NEEDED.len())),
        false => Check::failed(
            "capabilities",
            format!("missing: {}", missing.join(", ")),
            "use a newer host kernel (5.10 or later)",
        ),
    }
}

/// Runs the probe in a thread of its own, which is left behind if it hangs: the process ends soon.
fn probed(kvm: Kvm) -> Check {
    const NAME: &str = "virtual machine";
    let (sender, receiver) = mpsc::channel();
    std::thread::spawn(move || sender.send(probe::run(&kvm)));
    let mend = "see the kernel's log (`dmesg`); is another hypervisor using the processor?";
    match receiver.recv_timeout(PROBE_LIMIT) {
        Ok(Ok(answer)) => Check::ok(NAME, describe(&answer)),
        Ok(Err(problem)) => Check::failed(NAME, problem, mend),
        Err(_) => Check::failed(
            NAME,
            format!("a tiny guest did not answer within {} s", PROBE_LIMIT.as_secs()),
            mend,
        ),
    }
}

fn describe(answer: &Answer) -> String {
    let kind = match answer.is_hardware() {
        true => "hardware KVM: guest kernels run natively",
        false => "software KVM: guest kernels are emulated, so ours runs beside its jobs",
    };
    format!(
        "{kind} (ring 0: {:.3} us an instruction, SYSCALL goes to ring {}, a VM is created in {} us)",
        answer.ring0_instruction.as_secs_f64() * 1e6,
        answer.syscall_ring,
        answer.create.as_micros()
    )
}
