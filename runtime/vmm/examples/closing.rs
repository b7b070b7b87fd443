//! What it costs to close a VM on this host, and to add memory to it, by what KVM handles for it without an exit.
//!
//! `cargo run --release -p ampoule-vmm --example closing` prints medians in microseconds. See docs/decisions/0005-batches.md.

use kvm_bindings::kvm_userspace_memory_region;
use kvm_ioctls::{IoEventAddress, Kvm, NoDatamatch, VcpuFd, VmFd};
use std::error::Error;
use std::time::{Duration, Instant};
use vmm_sys_util::eventfd::EventFd;

const ROUNDS: usize = 30;
const REGISTER: IoEventAddress = IoEventAddress::Mmio(0xd000_0050);

/// Has KVM handle something.
type Prepare = fn(&VmFd) -> Result<(), Box<dyn Error>>;

const CASES: [(&str, Prepare); 3] = [
    ("nothing", |_| Ok(())),
    ("a coalesced zone", |vm| Ok(vm.register_coalesced_mmio(REGISTER, 4)?)),
    ("an ioeventfd", |vm| Ok(vm.register_ioevent(&EventFd::new(0)?, &REGISTER, NoDatamatch)?)),
];

fn main() -> Result<(), Box<dyn Error>> {
    let kvm = Kvm::new()?;
    println!("{:18} {:>12} {:>12}", "KVM handles", "add memory", "or close");
    for (what, prepare) in CASES {
        println!(
            "{what:18} {:>12} {:>12}",
            median(|| add_memory(&kvm, prepare))?,
            median(|| close(&kvm, prepare))?
        );
    }
    Ok(())
}

fn create(kvm: &Kvm, prepare: Prepare) -> Result<(VmFd, VcpuFd), Box<dyn Error>> {
    let vm = kvm.create_vm()?;
    let vcpu = vm.create_vcpu(0)?;
    prepare(&vm)?;
    Ok((vm, vcpu))
}

/// How long it takes to add a memory slot.
fn add_memory(kvm: &Kvm, prepare: Prepare) -> Result<Duration, Box<dyn Error>> {
    let memory = vec![0u8; 8192];
    let (vm, _vcpu) = create(kvm, prepare)?;
    let region = kvm_userspace_memory_region {
        memory_size: 4096,
        userspace_addr: (memory.as_ptr().expose_provenance() as u64).next_multiple_of(4096),
        ..Default::default()
    };
    let start = Instant::now();
    // SAFETY: the page is `memory`'s, which outlives the VM, and no guest runs.
    unsafe { vm.set_user_memory_region(region)? };
    Ok(start.elapsed())
}

/// How long it takes to close the VM.
fn close(kvm: &Kvm, prepare: Prepare) -> Result<Duration, Box<dyn Error>> {
    let (vm, vcpu) = create(kvm, prepare)?;
    let start = Instant::now();
    drop((vcpu, vm));
    Ok(start.elapsed())
}

/// The median of some rounds, in microseconds.
fn median(round: impl Fn() -> Result<Duration, Box<dyn Error>>) -> Result<u128, Box<dyn Error>> {
    let mut times = (0..ROUNDS).map(|_| round()).collect::<Result<Vec<_>, _>>()?;
    times.sort_unstable();
    Ok(times.get(times.len() / 2).map_or(0, Duration::as_micros))
}
