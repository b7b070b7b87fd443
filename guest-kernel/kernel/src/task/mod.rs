//! Processes, threads and the scheduler.
//!
//! A [`Process`] owns memory, descriptors, signal actions and identity; a [`Thread`] owns a kernel stack and a place in
//! the scheduler. There is one CPU and the kernel is never preempted: a thread gives the CPU away only in
//! [`sched::schedule`], which is called where it blocks and on the way back to its program.

pub mod clone;
pub mod cpu_limit;
pub mod credentials;
mod elf;
pub mod exec;
pub mod exit;
pub mod files;
pub mod futex;
pub mod limits;
pub mod process;
pub mod sched;
pub mod seccomp;
pub mod thread;
pub mod wait;

pub use process::Process;
pub use sched::{active_root, before_user, current, first_run};
pub use thread::Thread;

use core::sync::atomic::Ordering;

/// Whether a process ties its group to the session: by a parent of another group of the same session.
fn is_tied(member: &Process, parent: &Process) -> bool {
    parent.sid.load(Ordering::Relaxed) == member.sid.load(Ordering::Relaxed)
        && parent.pgid.load(Ordering::Relaxed) != member.pgid.load(Ordering::Relaxed)
}

/// Whether no member of a process group (`except` aside) has a parent in the same session but another group: then
/// nobody could let it go on if it stopped (POSIX, "orphaned process group").
pub fn process_group_is_orphaned(pgid: u32, except: u32) -> bool {
    let is_tied =
        |member: &Process| member.parent.lock().upgrade().is_some_and(|parent| is_tied(member, &parent));
    !process::group_has(pgid, |member| member.pid != except && is_tied(member))
}
