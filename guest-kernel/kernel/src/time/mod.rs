//! Time: clocks read from the time-stamp counter, timers, interval timers of processes, and the vDSO.

pub mod clock;
pub mod interval;
pub mod timers;
pub mod vdso;

/// Nanoseconds in a second.
pub const SECOND: u64 = 1_000_000_000;
