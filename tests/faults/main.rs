//! Faults at random moments, and what is left behind: nothing.
//!
//! - [`chamber`]: namespaces of its own for a test, in which everything that is there can be counted.
//! - [`census`]: that count. [`jobs`]: what runs while it happens, and what may come of it.
//! - [`mortal`]: an agent that dies at each of its steps.
//! - [`soak`]: a thousand sandboxes of one process.
//! - [`storm`]: deaths of the command line, the VMM and the agent, hundreds of times, under load.

mod census;
mod chamber;
mod jobs;
mod mortal;
mod soak;
mod storm;

use std::sync::{Mutex, MutexGuard, PoisonError};

/// Keeps this process to a test that counts what it has, where tests share a process.
fn alone() -> MutexGuard<'static, ()> {
    static ALONE: Mutex<()> = Mutex::new(());
    ALONE.lock().unwrap_or_else(PoisonError::into_inner)
}
