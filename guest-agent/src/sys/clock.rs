//! Clocks.

use super::raw::syscall;
use linux_raw_sys::general::{
    __NR_clock_gettime, __NR_clock_settime, __NR_nanosleep, CLOCK_MONOTONIC, CLOCK_REALTIME, timespec,
};
use rustix::io::Errno;

const NS_PER_S: u64 = 1_000_000_000;

/// Nanoseconds since the kernel's start.
pub fn monotonic_ns() -> u64 {
    let mut time = timespec { tv_sec: 0, tv_nsec: 0 };
    // SAFETY: the kernel writes one timespec through the pointer.
    let done = unsafe {
        syscall(__NR_clock_gettime, [CLOCK_MONOTONIC as usize, &raw mut time as usize, 0, 0, 0, 0])
    };
    debug_assert!(done.is_ok());
    time.tv_sec.cast_unsigned().wrapping_mul(NS_PER_S).wrapping_add(time.tv_nsec.cast_unsigned())
}

fn timespec_of(ns: u64) -> timespec {
    timespec { tv_sec: (ns / NS_PER_S).cast_signed(), tv_nsec: (ns % NS_PER_S).cast_signed() }
}

/// Sets the wall clock.
pub fn set_realtime(unix_ns: u64) -> Result<(), Errno> {
    let time = timespec_of(unix_ns);
    // SAFETY: the kernel reads one timespec through the pointer.
    unsafe { syscall(__NR_clock_settime, [CLOCK_REALTIME as usize, &raw const time as usize, 0, 0, 0, 0]) }?;
    Ok(())
}

/// Sleeps, perhaps less when a signal comes.
pub fn sleep_ms(ms: u64) {
    let time = timespec_of(ms.saturating_mul(1_000_000));
    // SAFETY: the kernel reads one timespec through the first pointer; the second may be null.
    let _interrupted = unsafe { syscall(__NR_nanosleep, [&raw const time as usize, 0, 0, 0, 0, 0]) };
}
