//! The device thread's loop: waits for the guest, the host and the end.

use crate::console::Console;
use crate::descriptors::lend;
use crate::devices::Devices;
use crate::ending::Ending;
use crate::error::Error;
use crate::shared::Shared;
use ampoule_devices::poller::{Event, Poller};
use ampoule_devices::vsock::Work;
use ampoule_vmm_api::Reason;
use nix::sys::signalfd::SignalFd;
use rustix::io::{Errno, read};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::{Duration, Instant};
use vmm_sys_util::eventfd::EventFd;

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

/// Where events come from.
pub struct Sources<'a> {
    /// The vCPU thread.
    pub shared: &'a Shared,
    /// The host's sockets.
    pub poller: &'a Poller,
    /// The guest's notifications.
    pub doorbell: &'a EventFd,
    /// Signals that end the VM.
    pub signals: &'a SignalFd,
    /// The parent.
    pub lifeline: Option<&'a OwnedFd>,
}

/// Serves the VM until it ends.
pub fn run(
    sources: &Sources<'_>,
    mut devices: Devices,
    console: Option<BorrowedFd<'static>>,
) -> Result<Ending, Error> {
    sources.watch()?;
    let shared = sources.shared;
    let mut console = Console::new(console, shared);
    let (mut work, mut has_more_log) = (Work::More, false);
    loop {
        let timeout = match work {
            _ if has_more_log => Some(Duration::ZERO),
            Work::More => Some(Duration::ZERO),
            Work::Later(wait) => Some(console.interval().map_or(wait, |interval| interval.min(wait))),
            Work::Done => console.interval(),
        };
        sources.wait(&mut devices, timeout)?;
        let commands = shared.bus().transports().take_commands();
        work = devices.process(&commands, shared);
        has_more_log = console.stream(shared);
        if let Some(ending) = shared.ending() {
            finish(sources, devices, &mut console, ending.reason)?;
            return Ok(ending.clone());
        }
    }
}

/// The guest has ended, or has to: delivers what it has sent. Not for long, and not after a signal.
fn finish(
    sources: &Sources<'_>,
    mut devices: Devices,
    console: &mut Console,
    reason: Reason,
) -> Result<(), Error> {
    let deadline = Instant::now() + patience(reason);
    devices.finish();
    let mut left = deadline.saturating_duration_since(Instant::now());
    while devices.has_backlog() && !left.is_zero() && !sources.shared.is_in_a_hurry() {
        sources.wait(&mut devices, Some(left))?;
        left = deadline.saturating_duration_since(Instant::now());
    }
    console.finish(sources.shared, deadline);
    Ok(())
}

fn patience(reason: Reason) -> Duration {
    match reason {
        Reason::Terminated | Reason::ParentGone => SHORT_PATIENCE,
        _ => PATIENCE,
    }
}

impl Sources<'_> {
    fn watch(&self) -> Result<(), Error> {
        let watched =
            [(self.shared.wake_fd(), WAKE), (lend(self.doorbell), DOORBELL), (self.signals.as_fd(), SIGNAL)];
        let lifeline = self.lifeline.map(|lifeline| (lifeline.as_fd(), LIFELINE));
        for (fd, token) in watched.into_iter().chain(lifeline) {
            self.poller.add_readable(fd, token).map_err(Error::host("wait for a descriptor"))?;
        }
        Ok(())
    }

    /// Waits for events, and takes them.
    fn wait(&self, devices: &mut Devices, timeout: Option<Duration>) -> Result<(), Error> {
        let on_event = |event: Event| match event.token {
            WAKE => self.shared.woken(),
            DOORBELL => {
                // It is readable; and if not, there is nothing to take.
                let _ = self.doorbell.read();
            }
            SIGNAL => {
                let _ = self.signals.read_signal();
                self.shared.end_from_outside(Ending::of(Reason::Terminated));
            }
            LIFELINE => self.check_lifeline(),
            _ => devices.handle_event(&event),
        };
        self.poller.wait(timeout, on_event).map_err(Error::host("wait for events"))
    }

    fn check_lifeline(&self) {
        if let Some(lifeline) = self.lifeline.filter(|lifeline| is_cut(lifeline)) {
            self.poller.remove(lifeline.as_fd());
            self.shared.end_from_outside(Ending::of(Reason::ParentGone));
        }
    }
}

/// Whether the other end of the lifeline is closed. It has to be readable, so that this does not block.
fn is_cut(lifeline: &OwnedFd) -> bool {
    match read(lifeline, &mut [0; 64]) {
        Ok(len) => len == 0,
        Err(error) => !matches!(error, Errno::INTR | Errno::AGAIN),
    }
}
