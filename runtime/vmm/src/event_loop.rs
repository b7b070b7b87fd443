//! The device thread: waits for the guest, the host and the end.

use crate::console::Console;
use crate::descriptors::{Descriptors, lend};
use crate::ending::Ending;
use crate::error::Error;
use crate::machine::Machine;
use ampoule_devices::poller::Event;
use ampoule_devices::vsock::Work;
use ampoule_vmm_api::Reason;
use nix::sys::signalfd::SignalFd;
use rustix::io::{Errno, read};
use std::os::fd::{AsFd, OwnedFd};
use std::time::{Duration, Instant};

/// Tokens of our own: the vsock device leaves the last 2^32 to us.
const FIRST_TOKEN: u64 = 0xffff_ffff_0000_0000;
const WAKE: u64 = FIRST_TOKEN;
const DOORBELL: u64 = FIRST_TOKEN + 1;
const SIGNAL: u64 = FIRST_TOKEN + 2;
const LIFELINE: u64 = FIRST_TOKEN + 3;

/// How long readers may take for what a guest has sent that has ended by itself.
const PATIENCE: Duration = Duration::from_secs(2);
/// The same when the VM was ended by others.
const SHORT_PATIENCE: Duration = Duration::from_millis(100);

/// Serves the VM until it ends.
pub fn run(machine: &mut Machine, descriptors: &Descriptors, signals: &SignalFd) -> Result<Ending, Error> {
    watch(machine, descriptors, signals)?;
    let mut console = Console::new(descriptors.console, &machine.shared);
    let mut work = Work::Done;
    while machine.shared.ending().is_none() {
        let timeout = match work {
            Work::More => Some(Duration::ZERO),
            Work::Done => console.interval(),
        };
        wait(machine, descriptors, signals, timeout)?;
        let commands = machine.shared.bus().transports().take_commands();
        work = machine.devices.process(&commands, &machine.shared);
        console.stream(&machine.shared);
    }
    finish(machine, descriptors, signals, &mut console)
}

/// The guest has ended, or has to: delivers what it has sent. Not for long, and not after a signal.
fn finish(
    machine: &mut Machine,
    descriptors: &Descriptors,
    signals: &SignalFd,
    console: &mut Console,
) -> Result<Ending, Error> {
    let ending = machine.shared.ending().cloned().unwrap_or_else(|| Ending::of(Reason::HostError));
    let deadline = Instant::now() + patience(ending.reason);
    machine.devices.finish();
    let mut left = deadline.saturating_duration_since(Instant::now());
    while machine.devices.has_backlog() && !left.is_zero() && !machine.shared.is_in_a_hurry() {
        wait(machine, descriptors, signals, Some(left))?;
        left = deadline.saturating_duration_since(Instant::now());
    }
    console.finish(&machine.shared, deadline);
    Ok(ending)
}

fn watch(machine: &Machine, descriptors: &Descriptors, signals: &SignalFd) -> Result<(), Error> {
    let watched = [
        (machine.shared.wake_fd(), WAKE),
        (lend(machine.doorbell.as_ref()), DOORBELL),
        (signals.as_fd(), SIGNAL),
    ];
    let lifeline = descriptors.lifeline.as_ref().map(|lifeline| (lifeline.as_fd(), LIFELINE));
    for (fd, token) in watched.into_iter().chain(lifeline) {
        machine.poller.add_readable(fd, token).map_err(Error::host("wait for a descriptor"))?;
    }
    Ok(())
}

fn wait(
    machine: &mut Machine,
    descriptors: &Descriptors,
    signals: &SignalFd,
    timeout: Option<Duration>,
) -> Result<(), Error> {
    let Machine { shared, devices, poller, doorbell } = machine;
    let on_event = |event: Event| match event.token {
        WAKE => shared.woken(),
        DOORBELL => {
            // It is readable; and if not, there is nothing to take.
            let _ = doorbell.read();
        }
        SIGNAL => {
            let _ = signals.read_signal();
            shared.end_from_outside(Ending::of(Reason::Terminated));
        }
        LIFELINE => {
            if let Some(lifeline) = descriptors.lifeline.as_ref().filter(|lifeline| is_cut(lifeline)) {
                poller.remove(lifeline.as_fd());
                shared.end_from_outside(Ending::of(Reason::ParentGone));
            }
        }
        _ => devices.handle_event(&event),
    };
    poller.wait(timeout, on_event).map_err(Error::host("wait for events"))
}

/// Whether the other end of the lifeline is closed. It has to be readable, so that this does not block.
fn is_cut(lifeline: &OwnedFd) -> bool {
    match read(lifeline, &mut [0; 64]) {
        Ok(len) => len == 0,
        Err(error) => !matches!(error, Errno::INTR | Errno::AGAIN),
    }
}

fn patience(reason: Reason) -> Duration {
    match reason {
        Reason::Terminated | Reason::ParentGone => SHORT_PATIENCE,
        _ => PATIENCE,
    }
}
