//! The life cycle of a sandbox: spawn the VMM, talk to the agent, run jobs, end it.
#![deny(unsafe_code)]

pub mod session;
pub mod stdio;
