//! What can be wrong with a policy.

use thiserror::Error;

/// A policy that cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// It is not TOML, or has a field that no policy has, or a value of the wrong type. Says where.
    #[error("not a policy: {0}")]
    Syntax(String),
    /// It is longer than any policy.
    #[error("the policy is {len} bytes long, more than the {max} allowed")]
    TooLong {
        /// Its length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A value is outside its range.
    #[error("`{field}` is {value}; it must be between {min} and {max}")]
    OutOfRange {
        /// The field, with its table.
        field: &'static str,
        /// What the file says.
        value: u64,
        /// Smallest valid value.
        min: u64,
        /// Largest valid value.
        max: u64,
    },
    /// Neither the file nor the default has a value.
    #[error("`{field}` is missing")]
    Missing {
        /// The field, with its table.
        field: &'static str,
    },
}
