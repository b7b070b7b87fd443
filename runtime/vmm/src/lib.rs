//! `ampoule-vmm CONFIG`: one microVM. [`run`] is all of it; the program only calls that.
//!
//! The process has two threads: the vCPU thread, its first, runs the guest; the device thread does all I/O (see
//! [`shared`]). It gets everything that it needs as open descriptors; `CONFIG` is the JSON of
//! `ampoule_vmm_api::VmConfig`. It ends with the VM, in bounded time: the device thread ends the process even while the
//! guest spins, and every wait on the way has a deadline. It starts no process and leaves no file.

#[cfg(feature = "attack")]
mod attack;
mod boot;
mod bus;
mod clock;
mod console;
mod cpuid;
mod descriptors;
mod device_thread;
mod devices;
mod ending;
mod errand;
mod error;
mod event_loop;
mod filters;
#[cfg(feature = "fuzzing")]
pub mod fuzzing;
mod ioapic;
mod layout;
mod linux_panic;
mod log;
mod machine;
mod memory;
mod msi;
mod output;
mod placement;
mod report;
mod shared;
mod signals;
mod vcpu;

use ampoule_vmm_api::{Timings, VmConfig};
use descriptors::Descriptors;
use ending::Ending;
use error::Error;
use machine::Machine;
use report::Report;

/// The whole life of a VMM whose configuration is the process's argument. Gives the exit code, if it comes to that: a VM
/// that has run ends the process. To be called once, first thing in the process.
pub fn run() -> i32 {
    one_heap();
    let timings = Timings { process_start: Some(clock::monotonic_ns()), ..Timings::default() };
    let mut report = Report::new(timings);
    match prepare(&mut report) {
        Ok((machine, await_end)) => {
            machine.run();
            // The device thread delivers what is left to deliver, and ends the process.
            await_end();
            1
        }
        Err(error) => report.write(&Ending::from(error)),
    }
}

/// Has both threads allocate from one heap. The C library would give the second one a heap of its own, and open a file
/// below /proc when that one shrinks, which the device thread may not.
fn one_heap() {
    // SAFETY: it only sets a number, before anything is allocated.
    unsafe { libc::mallopt(libc::M_ARENA_MAX, 1) };
}

/// Tells `ps` and `top` what this is: a program that was executed from a descriptor is called by its number.
fn take_name() {
    // It fails only for a name that cannot be read.
    let _ = rustix::thread::set_name(c"ampoule-vmm");
}

fn prepare(report: &mut Report) -> Result<(Machine, impl FnOnce() + use<>), Error> {
    take_name();
    descriptors::occupy_standard_streams()?;
    // Before there is a second thread, which would take them.
    let blocked = signals::block()?;
    let mut arguments = std::env::args().skip(1);
    let (Some(json), None) = (arguments.next(), arguments.next()) else { return Err(Error::Usage) };
    let config = VmConfig::from_json(&json)?;
    report.set_status_fd(config.status_fd)?;
    report.set_own_status_fd(config.own_status_fd)?;
    let config = config.validate()?;
    #[cfg(feature = "attack")]
    attack::plan(&config.cmdline);
    // SAFETY: the process has just started, and owns no descriptor yet.
    let descriptors = unsafe { Descriptors::adopt(&config)? };
    machine::build(&config, descriptors, blocked.catch()?, report)
}
