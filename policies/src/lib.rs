//! Policies: what a sandbox is given and how long it may take, as typed, validated values.
//!
//! A policy is a TOML file. [`schema`] is its raw form, as written: unknown fields are errors, every field may be
//! left out. [`Policy`] is the resolved form: complete, within its limits, immutable. What a file leaves out comes
//! from the built-in `default.toml`. The schema has only what is enforced.
#![forbid(unsafe_code)]

mod error;
mod policy;
pub mod schema;
mod units;

pub use error::Error;
pub use policy::{Deadlines, Limits, Machine, Policy};
pub use units::{Mib, OutOfRange};
