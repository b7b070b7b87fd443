//! When things happened, on one clock for the host's processes.

use ampoule_protocol::{BootPhase, Hello};
use ampoule_vmm_api::Timings;
use rustix::time::{ClockId, clock_gettime};

/// Nanoseconds of `CLOCK_MONOTONIC`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Nanos(pub u64);

impl Nanos {
    /// The time now.
    pub fn now() -> Self {
        let time = clock_gettime(ClockId::Monotonic);
        let seconds = u64::try_from(time.tv_sec).unwrap_or_default();
        Self(
            seconds
                .saturating_mul(1_000_000_000)
                .saturating_add(u64::try_from(time.tv_nsec).unwrap_or_default()),
        )
    }
}

/// When a sandbox and its job reached what. `None`: they did not, or it is not known.
#[derive(Clone, Debug, Default)]
#[non_exhaustive]
pub struct Timeline {
    /// The sandbox was asked for.
    pub launch: Option<Nanos>,
    /// The VMM's process was started.
    pub vmm_spawned: Option<Nanos>,
    /// What the VMM says; only known where it ended by itself or on request, not killed.
    pub vmm: Timings,
    /// The agent said hello.
    pub hello: Option<Nanos>,
    /// The job's command was executed.
    pub job_started: Option<Nanos>,
    /// The job had ended.
    pub job_ended: Option<Nanos>,
    /// The VMM's process was gone.
    pub gone: Option<Nanos>,
    /// What the guest says of its boot.
    pub guest: Vec<GuestPhase>,
}

/// A moment of the guest's boot, as told by the guest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GuestPhase {
    /// What had been reached, safe to print.
    pub name: String,
    /// Nanoseconds since the guest kernel's start.
    pub ns: u64,
}

impl Timeline {
    pub(crate) fn note_hello(&mut self, hello: &Hello) {
        self.hello = Some(Nanos::now());
        let phase = |phase: &BootPhase| GuestPhase { name: phase.name.to_string(), ns: phase.ns };
        self.guest = hello.boot.iter().map(phase).collect();
    }
}
