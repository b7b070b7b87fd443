//! The device thread. It starts before there is a VM: until then, it runs errands for the process's first thread.
//!
//! That one puts the VM together and runs the vCPU. It never waits for the device thread to be scheduled: on a busy host
//! that may take milliseconds, in which the guest gets along without devices.

use crate::descriptors::Descriptors;
use crate::devices::Devices;
use crate::ending::Ending;
use crate::errand::Errand;
use crate::error::Error;
use crate::event_loop::{self, Sources};
use crate::filters;
use crate::msi::Msi;
use crate::placement::send_away;
use crate::report::Report;
use crate::shared::Shared;
use ampoule_devices::poller::Poller;
use ampoule_seccomp::Thread;
use kvm_bindings::CpuId;
use nix::sys::signalfd::SignalFd;
use std::process::exit;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::{self, JoinHandle};
use vm_memory::GuestMemoryMmap;
use vmm_sys_util::eventfd::EventFd;

/// Enough for the devices.
const STACK_SIZE: usize = 256 * 1024;

/// What takes its time before the VM can run, and needs no VM.
pub struct Errands {
    /// The guest's CPUID.
    pub cpuid: Errand<CpuId>,
    /// Puts the kernel and all that it finds in memory there. Gives the kernel's entry point. Reads what somebody hostile may
    /// have made: to be run behind a filter only.
    pub load: Errand<u64>,
}

/// The device thread on its way.
pub struct DeviceThread {
    service: SyncSender<Service>,
    thread: JoinHandle<()>,
}

/// What the device thread takes over when the VM is about to run.
pub struct Service {
    /// What it shares with the vCPU thread.
    pub shared: Arc<Shared>,
    /// The parent's descriptors.
    pub descriptors: Descriptors,
    /// Signals that end the VM.
    pub signals: SignalFd,
    /// The devices' interrupts.
    pub interrupts: Vec<Msi>,
    /// Guest memory.
    pub memory: GuestMemoryMmap,
    /// Rung by the guest's notifications, once there are many.
    pub doorbell: Arc<EventFd>,
    /// To be written at the end.
    pub report: Report,
}

impl DeviceThread {
    /// Starts the thread.
    pub fn spawn(errands: Arc<Errands>) -> Result<Self, Error> {
        let (service, receiver) = sync_channel(1);
        let thread = thread::Builder::new()
            .name("devices".into())
            .stack_size(STACK_SIZE)
            .spawn(move || run(&errands, &receiver))
            .map_err(Error::io("start the device thread"))?;
        send_away(&thread);
        Ok(Self { service, thread })
    }

    /// Lets it serve the VM. It ends the process when the VM has ended. Gives what is left to do for the caller then.
    pub fn serve(self, service: Service) -> impl FnOnce() {
        // It is there: it ends after the process only.
        let _ = self.service.send(service);
        let thread = self.thread;
        || {
            let _ = thread.join();
        }
    }
}

fn run(errands: &Errands, service: &Receiver<Service>) {
    // The first thread looks at what comes of it.
    let _ = errands.cpuid.run();
    let poller = prepare(errands);
    let Ok(mut service) = service.recv() else { rest() };
    let ending = poller.and_then(|poller| serve(&mut service, poller)).unwrap_or_else(Ending::from);
    exit(service.report.write(&ending));
}

/// All that has to be done before the thread sees anything of the guest's.
fn prepare(errands: &Errands) -> Result<Arc<Poller>, Error> {
    let poller = Poller::new().map_err(Error::host("create an epoll"))?;
    filters::install(Thread::Loader)?;
    // The first thread looks at what comes of it.
    let _ = errands.load.run();
    filters::install(Thread::Devices)?;
    Ok(Arc::new(poller))
}

/// The other thread has given up, and ends the process.
fn rest() -> ! {
    loop {
        thread::park();
    }
}

fn serve(service: &mut Service, poller: Arc<Poller>) -> Result<Ending, Error> {
    let Service { shared, descriptors, signals, interrupts, memory, doorbell, .. } = service;
    let devices = Devices::new(descriptors, std::mem::take(interrupts), memory.clone(), Arc::clone(&poller))?;
    let sources =
        Sources { shared, poller: &poller, doorbell, signals, lifeline: descriptors.lifeline.as_ref() };
    event_loop::run(&sources, devices, descriptors.console)
}
