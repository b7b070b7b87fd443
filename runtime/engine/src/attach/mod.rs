//! One job, from its files going in to its files coming out, attached to streams of the caller.
//!
//! [`run`] drives a sandbox until the job is over and everything is delivered. It blocks; it is what the command line
//! needs. Others can drive a [`Sandbox`](crate::Sandbox) themselves.
//!
//! - `spec`: what to run. `steps`: the job's way through the protocol, as a state machine fed with events.
//! - `streams`: the job's three streams. `signals`: what the user says with signals.
//! - `drive`: the poll loop.

mod drive;
mod signals;
mod spec;
mod steps;
mod streams;

pub use drive::{Run, run, terminal_size};
pub use signals::Signals;
pub use spec::{InputFile, JobSpec, OutputFile};
pub use streams::Streams;
