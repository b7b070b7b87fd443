//! Where a new thread starts.
//!
//! The host's scheduler tends to queue a new thread behind its parent on the same processor, and as long as the parent does
//! not sleep, nobody fetches it from there: up to some milliseconds. A thread that is to work at the same time has to
//! be sent away.

use std::mem::{size_of, zeroed};
use std::os::unix::thread::JoinHandleExt;
use std::thread::JoinHandle;

/// Moves a new thread to another processor than the caller's, if there is one. It may go anywhere from there.
pub fn send_away<T>(thread: &JoinHandle<T>) {
    let thread = thread.as_pthread_t();
    let size = size_of::<libc::cpu_set_t>();
    // SAFETY: a set is plain bits, and all zeroes are an empty one.
    let mut all: libc::cpu_set_t = unsafe { zeroed() };
    // SAFETY: `all` has that size.
    if unsafe { libc::sched_getaffinity(0, size, &raw mut all) } != 0 {
        return;
    }
    let mut others = all;
    // SAFETY: takes no arguments.
    let Ok(here) = usize::try_from(unsafe { libc::sched_getcpu() }) else { return };
    if here >= 8 * size {
        return;
    }
    // SAFETY: the bit is within the set.
    unsafe { libc::CPU_CLR(here, &mut others) };
    // SAFETY: both sets have that size, and the thread has not been joined. Without another processor, the first call
    // fails, and nothing changes.
    unsafe {
        libc::pthread_setaffinity_np(thread, size, &raw const others);
        libc::pthread_setaffinity_np(thread, size, &raw const all);
    }
}
