//! Control groups: what the process of a sandbox may take of the host, enforced by the host's kernel.
//!
//! - [`Cgroup`]: the group of one sandbox: a directory in each hierarchy that has a controller with a limit, and in
//!   no other. It is removed when it is dropped; what a killed process left is found by [`Cgroup::sweep`].
//! - [`Limits`]: what is limited. [`Usage`]: what was used, and which limits were hit.
//! - [`Host`]: where on this host groups can be made. Version 2 (the unified hierarchy), version 1 (one hierarchy a
//!   controller), both at once (hybrid), or nowhere: then [`Cgroup::create`] says what is missing, and the caller has
//!   rlimits and timers left.
//!
//! Plain files, no library: a group costs a `mkdir`, a write for each limit and an `rmdir`.
//!
//! # Joining
//! Moving *another* process takes a lock that waits for all processors of the host, 5 to 25 ms where that was
//! measured. A single-threaded process that moves *itself* in a hierarchy of version 1 does not: it writes `0` to
//! the file `tasks`, in 0.2 ms. So a new process gets [`Cgroup::joins`] and writes `0` to each. In version 2 the
//! cheap way is `CLONE_INTO_CGROUP`, for which a [`Join`] has the directory.
//!
//! # Names and proof of death
//! A group is a directory `ampoule-<pid>-<n>`, whose maker holds an exclusive `flock` on it for as long as it lives,
//! in whatever way it ends. Whoever gets the lock of such a directory knows that its maker is dead, whatever has become of
//! the pid; and the kernel removes no group that has a process. A maker whose directory is taken between `mkdir` and
//! `flock` makes another.
#![forbid(unsafe_code)]

mod cgroup;
mod controller;
mod error;
mod group;
mod host;
mod limits;

pub use cgroup::{Cgroup, Join, Missing};
pub use controller::Controller;
pub use error::Error;
pub use host::{Absent, Host, Version};
pub use limits::{CpuShare, CpuWeight, Limits, Usage};
