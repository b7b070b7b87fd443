//! The device thread: waits for the guest, the host and the end.

use crate::descriptors::Descriptors;
use crate::ending::Ending;
use crate::error::Error;
use crate::output::{CHUNK, is_ready, write_until};
use crate::shared::Shared;
use ampoule_vmm_api::Reason;
use nix::sys::signalfd::SignalFd;
use rustix::buffer::spare_capacity;
use rustix::event::{Timespec, epoll};
use rustix::io::{Errno, read};
use std::os::fd::{AsFd, BorrowedFd};
use std::time::{Duration, Instant};

const WAKE: u64 = 0;
const SIGNAL: u64 = 1;
const LIFELINE: u64 = 2;

/// How often the log is looked at when somebody watches it: KVM may hold back some stores.
const LOG_INTERVAL: Duration = Duration::from_millis(50);
/// How long the reader of the console may take at the end.
const LOG_PATIENCE: Duration = Duration::from_millis(500);

/// Serves the VM until it ends.
pub fn run(shared: &Shared, descriptors: &Descriptors, signals: &SignalFd) -> Result<Ending, Error> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(Error::host("create an epoll"))?;
    let watch = |fd: BorrowedFd<'_>, token| {
        epoll::add(&epoll, fd, epoll::EventData::new_u64(token), epoll::EventFlags::IN)
            .map_err(Error::host("wait for a descriptor"))
    };
    watch(shared.wake_fd(), WAKE)?;
    watch(signals.as_fd(), SIGNAL)?;
    if let Some(lifeline) = &descriptors.lifeline {
        watch(lifeline.as_fd(), LIFELINE)?;
    }
    let timeout = descriptors.console.map(|_| timespec(LOG_INTERVAL));
    let mut events = Vec::with_capacity(16);
    loop {
        match epoll::wait(&epoll, spare_capacity(&mut events), timeout.as_ref()) {
            Ok(_) | Err(Errno::INTR) => {}
            Err(errno) => return Err(Error::Host { what: "wait for events", errno }),
        }
        for event in events.drain(..) {
            match event.data.u64() {
                WAKE => shared.woken(),
                SIGNAL => shared.end(Ending::of(Reason::Terminated)),
                LIFELINE if is_cut(descriptors) => shared.end(Ending::of(Reason::ParentGone)),
                _ => {}
            }
        }
        if let Some(console) = descriptors.console {
            stream_log(shared, console);
        }
        if let Some(ending) = shared.ending() {
            finish_log(shared, descriptors);
            return Ok(ending.clone());
        }
    }
}

/// Whether the other end of the lifeline is closed.
fn is_cut(descriptors: &Descriptors) -> bool {
    // It is readable, so this does not block.
    descriptors.lifeline.as_ref().is_some_and(|lifeline| match read(lifeline, &mut [0; 64]) {
        Ok(len) => len == 0,
        Err(error) => !matches!(error, Errno::INTR | Errno::AGAIN),
    })
}

fn stream_log(shared: &Shared, console: BorrowedFd<'_>) {
    let mut buffer = [0; CHUNK];
    while shared.bus().log().has_unsent() && is_ready(console, Duration::ZERO) {
        let len = shared.bus().log().copy_unsent(&mut buffer);
        write_until(console, buffer.get(..len).unwrap_or_default(), Instant::now());
    }
}

fn finish_log(shared: &Shared, descriptors: &Descriptors) {
    let Some(console) = descriptors.console else { return };
    let deadline = Instant::now() + LOG_PATIENCE;
    let mut buffer = [0; CHUNK];
    while shared.bus().log().has_unsent() && Instant::now() < deadline {
        let len = shared.bus().log().copy_unsent(&mut buffer);
        write_until(console, buffer.get(..len).unwrap_or_default(), deadline);
    }
}

fn timespec(duration: Duration) -> Timespec {
    Timespec {
        tv_sec: i64::try_from(duration.as_secs()).unwrap_or(i64::MAX),
        tv_nsec: duration.subsec_nanos().into(),
    }
}
