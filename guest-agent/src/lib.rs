//! The agent of an ampoule guest: PID 1, which starts jobs for the host, streams their input and output, and reaps.
//!
//! One thread, one epoll loop, no standard library: a guest boots in a millisecond or two, so every page that the
//! agent touches and every system call before its first message counts.
//!
//! - [`agent`]: the loop and everything it owns; [`dispatch`] acts on the host's messages.
//! - [`connection`]: frames to and from the host; [`poller`] waits.
//! - [`job`]: a running job, with its [`stdio`]; [`launch`] starts one, for a [`user`] and with an [`environment`].
//! - [`leftovers`]: processes that outlive their job's main process; [`oom`]: those that the kernel killed.
//! - [`transfer`]: files in and out.
//! - [`stage1`]: the first program of a stock Linux guest, which becomes the agent.
//! - [`boot`]: what has to be there before the first job; [`power`]: the end.
//! - [`sys`]: system calls, and all `unsafe` of the library. The binary adds what a libc would bring: the entry point,
//!   a heap, `memcpy` and its family.
//!
//! What a guest does not need between its start and the end of a plain job is marked `#[cold]`: the linker puts it
//! apart, so that the rest takes fewer pages.
//!
//! The agent trusts nobody: the host may send anything (then the agent says what was wrong and powers off), and jobs
//! may do anything that root can do in the guest, which at worst ends the guest.
#![cfg_attr(not(test), no_std)]
#![deny(unsafe_code)]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod agent;
pub mod boot;
pub mod connection;
pub mod cstrings;
pub mod dispatch;
pub mod environment;
pub mod fs;
pub mod job;
pub mod launch;
pub mod leftovers;
pub mod network;
pub mod oom;
pub mod options;
pub mod poller;
pub mod power;
pub mod stage1;
pub mod stdio;
#[expect(unsafe_code, reason = "system calls by hand: see the module")]
pub mod sys;
pub mod transfer;
pub mod user;

use rustix::io::Errno;
use thiserror::Error;

/// Why the agent ends before the host asked it to.
#[derive(Clone, Debug, Error)]
pub enum Fatal {
    /// The host broke the protocol.
    #[error("the host broke the protocol: {0}")]
    Protocol(#[from] ampoule_protocol::Error),
    /// The host is gone.
    #[error("the host closed the connection")]
    HostGone,
    /// A system call that has to work does not.
    #[error("{what}: {errno}")]
    System {
        /// What the agent was doing.
        what: &'static str,
        /// The error.
        errno: Errno,
    },
}

impl Fatal {
    /// For `map_err`: the failure of a system call.
    pub fn system(what: &'static str) -> impl FnOnce(Errno) -> Self {
        move |errno| Self::System { what, errno }
    }
}

/// The number of an errno as the protocol has it.
pub fn errno_number(errno: Errno) -> u16 {
    u16::try_from(errno.raw_os_error()).unwrap_or(u16::MAX)
}
