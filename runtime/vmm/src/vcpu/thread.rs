//! The vCPU thread. It starts before there is a VM, so that slow questions to KVM are answered in the meantime.

use super::{create, enter_at, run};
use crate::boot::Cmdline;
use crate::bus::Ring;
use crate::cpuid;
use crate::descriptors::lend;
use crate::ending::Ending;
use crate::error::Error;
use crate::memory::Ram;
use crate::shared::Shared;
use kvm_ioctls::{Kvm, VcpuFd, VmFd};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread;

/// Enough for the exits; the guest has its own stacks.
const STACK_SIZE: usize = 128 * 1024;

/// A vCPU thread on its way.
pub struct VcpuThread {
    vm: SyncSender<Arc<VmFd>>,
    ring: Receiver<Result<Ring, Error>>,
    start: SyncSender<Start>,
}

/// What a vCPU needs to run.
pub struct Start {
    /// The kernel's entry point.
    pub entry: u64,
    /// Loaded with all that the kernel needs.
    pub ram: Ram,
    /// Where exits are handled.
    pub shared: Arc<Shared>,
}

impl VcpuThread {
    /// Starts the thread.
    pub fn spawn(kvm: Arc<Kvm>) -> Result<Self, Error> {
        let (vm, vm_receiver) = sync_channel(1);
        let (ring_sender, ring) = sync_channel(1);
        let (start, start_receiver) = sync_channel(1);
        thread::Builder::new()
            .name("vcpu".into())
            .stack_size(STACK_SIZE)
            .spawn(move || main(&kvm, &vm_receiver, &ring_sender, &start_receiver))
            .map_err(Error::io("start the vCPU's thread"))?;
        Ok(Self { vm, ring, start })
    }

    /// Lets it create the vCPU.
    pub fn create_vcpu(&self, vm: Arc<VmFd>) {
        // If the thread is gone, `ring` tells why.
        let _ = self.vm.send(vm);
    }

    /// Waits for the vCPU, and gives its ring of coalesced stores.
    pub fn ring(&self) -> Result<Ring, Error> {
        self.ring.recv().unwrap_or(Err(Error::Host {
            what: "start the vCPU's thread",
            errno: rustix::io::Errno::CANCELED,
        }))
    }

    /// Lets the guest run.
    pub fn start(self, start: Start) {
        let _ = self.start.send(start);
    }
}

fn main(
    kvm: &Kvm,
    vm: &Receiver<Arc<VmFd>>,
    ring: &SyncSender<Result<Ring, Error>>,
    start: &Receiver<Start>,
) {
    let cpuid = cpuid::for_one_vcpu(kvm);
    // Where the other thread gives up, it ends the process.
    let Ok(vm) = vm.recv() else { return };
    let vcpu = match cpuid
        .and_then(|cpuid| create(&vm, &cpuid))
        .and_then(|vcpu| Ok((Ring::map(lend(&vcpu))?, vcpu)))
    {
        Ok((page, vcpu)) => {
            let _ = ring.send(Ok(page));
            vcpu
        }
        Err(error) => {
            let _ = ring.send(Err(error));
            return;
        }
    };
    let Ok(start) = start.recv() else { return };
    let ending = launch(vcpu, &start).unwrap_or_else(Ending::from);
    start.shared.end(ending);
}

fn launch(mut vcpu: VcpuFd, start: &Start) -> Result<Ending, Error> {
    let tsc_khz = vcpu.get_tsc_khz().map_err(Error::kvm("tell the frequency of the TSC"))?;
    enter_at(&vcpu, start.entry)?;
    Cmdline::write_clocks(&start.ram, tsc_khz)?;
    start.shared.mark(|timings| &mut timings.vcpu_ready);
    Ok(run::run(&mut vcpu, &start.shared, &start.ram))
}
