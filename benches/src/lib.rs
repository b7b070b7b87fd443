//! Parts of the benches: programs to measure, statistics, the table.
//!
//! Machines are noisy, so absolute times mean little: each measurement stands beside its peer from the same run, rounds of the
//! two alternate, and medians are compared.

pub mod boot;
pub mod command;
pub mod filters;
pub mod jail;
pub mod memory;
pub mod micro;
pub mod stats;
pub mod stream;
pub mod table;
