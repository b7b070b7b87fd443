//! What can be wrong with a policy.

use crate::fault::Fault;
use thiserror::Error;

/// A policy that cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// It is not TOML, or has a field that no policy has, or a value of the wrong type or out of its range. Says where.
    #[error("{0}")]
    Invalid(Box<Fault>),
    /// It is longer than any policy.
    #[error("the policy is {len} bytes long, more than the {max} allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// Neither the file nor the default has a value.
    #[error("`{field}` is missing")]
    Missing {
        /// The field, with its table.
        field: &'static str,
    },
}

impl From<Fault> for Error {
    fn from(fault: Fault) -> Self {
        Self::Invalid(Box::new(fault))
    }
}
