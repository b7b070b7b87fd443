//! The system-call filters of the VMM, read from `policies/seccomp/*.toml` and compiled into BPF programs.
//!
//! - [`Filters`], [`Filter`], [`Rule`], [`Condition`]: a filter as it is written down, every rule with its reason.
//! - [`Program`]: what the kernel runs. `seccompiler` compiles the rules of each call; [`Program::compile`] puts them
//!   into a tree, so that the kernel finds a call in a few steps.
//! - [`document`]: the filters as a table for `docs/seccomp.md`.
//!
//! Used when the VMM is built, and by tests: the VMM itself carries only the programs.

mod condition;
mod document;
mod error;
mod filter;
mod names;
mod program;

pub use condition::{Call, Condition, OWN_PID};
pub use document::document;
pub use error::Error;
pub use filter::{Filter, Filters, Rule};
pub use program::{Instruction, Program};

use std::path::PathBuf;

/// The names of the filters: one for each kind of thread that the VMM has.
pub const FILTERS: [&str; 4] = ["main", "vcpu", "loader", "devices"];

/// Where the filters are written down.
pub fn directory() -> PathBuf {
    PathBuf::from(concat!(env!("CARGO_MANIFEST_DIR"), "/../../../policies/seccomp"))
}
