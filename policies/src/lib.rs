//! Policies: what a sandbox is given, what it may use and how long it may take, as typed, validated values.
//!
//! A policy is a TOML file. [`schema`] is its raw form, as written, each value with its place in the file: unknown fields
//! are errors, every field may be left out. [`Policy`] is the resolved form: complete, within its limits. What a file
//! leaves out comes from the built-in `default.toml`. What is wrong with a file is said with the line ([`Fault`]). [`Overrides`]
//! are options of a command line on top of a policy, which a locked policy takes only if they tighten it. The schema has
//! only what is enforced. `docs/policies.md` describes each field.
#![forbid(unsafe_code)]

mod error;
mod fault;
mod overrides;
mod policy;
pub mod ranges;
mod resolve;
pub mod schema;
mod syscalls;
mod units;

pub use error::Error;
pub use fault::Fault;
pub use overrides::{Bytes, Looser, Overrides};
pub use policy::{BUILTIN, Deadlines, Environment, Files, Limits, Machine, Policy, text_of};
pub use syscalls::{FilterAction, FilterMode, SystemCalls, name as syscall_name, number as syscall_number};
pub use units::{Mib, OutOfRange};
