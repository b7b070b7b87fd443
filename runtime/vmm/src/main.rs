//! `ampoule-vmm CONFIG`: one microVM.
//!
//! The process has two threads: the vCPU thread runs the guest, the device thread does all I/O (see [`shared`]). It gets
//! everything that it needs as open descriptors; `CONFIG` is the JSON of `ampoule_vmm_api::VmConfig`. It ends with the
//! VM, in bounded time: leaving the process kills the vCPU thread even while the guest spins, and every wait on the way
//! has a deadline. It starts no process and leaves no file.

mod boot;
mod bus;
mod clock;
mod console;
mod cpuid;
mod descriptors;
mod devices;
mod ending;
mod error;
mod event_loop;
mod layout;
mod log;
mod machine;
mod memory;
mod msi;
mod output;
mod report;
mod shared;
mod signals;
mod vcpu;

use ampoule_vmm_api::{Timings, VmConfig};
use descriptors::Descriptors;
use ending::Ending;
use error::Error;
use report::Report;

fn main() {
    let timings = Timings { process_start: Some(clock::monotonic_ns()), ..Timings::default() };
    let mut report = Report::new(timings);
    let ending = run(&mut report).unwrap_or_else(Ending::from);
    std::process::exit(report.write(&ending));
}

fn run(report: &mut Report) -> Result<Ending, Error> {
    let mut arguments = std::env::args().skip(1);
    let (Some(json), None) = (arguments.next(), arguments.next()) else { return Err(Error::Usage) };
    let config = VmConfig::from_json(&json)?;
    report.set_status_fd(config.status_fd)?;
    let config = config.validate()?;
    // SAFETY: the process has just started, and has opened nothing yet.
    let mut descriptors = unsafe { Descriptors::adopt(&config)? };
    // Before there is a second thread, which would take signals.
    let signals = signals::catch()?;
    let mut machine = machine::start(&config, &mut descriptors, report.timings())?;
    report.set_shared(machine.shared.clone());
    event_loop::run(&mut machine, &descriptors, &signals)
}
