//! Clocks. The VMM tells the frequency of the time-stamp counter and the time of day at the start; all else is arithmetic.
//!
//! Time since boot = (TSC - TSC at boot) * multiplier >> 32, with the multiplier in units of 2^-32 ns a tick.

use crate::arch::cpu::read_tsc;
use core::sync::atomic::{AtomicI64, AtomicU64, Ordering};

static BOOT_TSC: AtomicU64 = AtomicU64::new(0);
static MULTIPLIER: AtomicU64 = AtomicU64::new(0);
/// Time of day less time since boot.
static WALL_OFFSET: AtomicI64 = AtomicI64::new(0);

/// Starts the clocks. `khz`: ticks a millisecond; `wall_ns`: time of day at boot.
pub fn start(boot_tsc: u64, khz: u64, wall_ns: u64) {
    BOOT_TSC.store(boot_tsc, Ordering::Relaxed);
    MULTIPLIER.store((1_000_000u64 << 32) / khz.max(1), Ordering::Relaxed);
    WALL_OFFSET.store(wall_ns as i64, Ordering::Relaxed);
}

/// Nanoseconds between two readings of the counter.
pub fn ticks_to_ns(ticks: u64) -> u64 {
    ((u128::from(ticks) * u128::from(MULTIPLIER.load(Ordering::Relaxed))) >> 32) as u64
}

/// `CLOCK_MONOTONIC` and `CLOCK_BOOTTIME`.
#[inline]
pub fn monotonic_ns() -> u64 {
    ticks_to_ns(read_tsc().saturating_sub(BOOT_TSC.load(Ordering::Relaxed)))
}

/// `CLOCK_REALTIME`.
#[inline]
pub fn realtime_ns() -> u64 {
    monotonic_ns().wrapping_add(WALL_OFFSET.load(Ordering::Relaxed) as u64)
}

/// Sets the time of day.
pub fn set_realtime(ns: u64) {
    WALL_OFFSET.store(ns.wrapping_sub(monotonic_ns()) as i64, Ordering::Relaxed);
    super::vdso::update();
}

/// The counter's value at a monotonic time.
pub fn tsc_at(ns: u64) -> u64 {
    let multiplier = u128::from(MULTIPLIER.load(Ordering::Relaxed).max(1));
    let ticks = ((u128::from(ns) << 32).div_ceil(multiplier)).min(u128::from(u64::MAX / 2));
    BOOT_TSC.load(Ordering::Relaxed) + ticks as u64
}

/// What the vDSO needs: the counter at boot, the multiplier, the offset of the time of day.
pub fn parameters() -> (u64, u64, i64) {
    (
        BOOT_TSC.load(Ordering::Relaxed),
        MULTIPLIER.load(Ordering::Relaxed),
        WALL_OFFSET.load(Ordering::Relaxed),
    )
}
