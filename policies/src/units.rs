//! Quantities that cannot be out of range.

use core::fmt;
use thiserror::Error;

/// A number that is outside the range of its type.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{value} is not between {min} and {max}")]
pub struct OutOfRange {
    /// The number.
    pub value: u64,
    /// Smallest valid number.
    pub min: u64,
    /// Largest valid number.
    pub max: u64,
}

/// An amount of guest RAM in MiB, from [`Mib::MIN`] to [`Mib::MAX`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Mib(u32);

impl Mib {
    /// Least RAM of a guest: below this a kernel and the agent do not fit.
    pub const MIN: Self = Self(32);
    /// Most RAM of a guest: 256 GiB.
    pub const MAX: Self = Self(256 * 1024);

    /// Checks the amount.
    pub fn new(mib: u64) -> Result<Self, OutOfRange> {
        match u32::try_from(mib) {
            Ok(amount) if (Self::MIN.0..=Self::MAX.0).contains(&amount) => Ok(Self(amount)),
            _ => Err(OutOfRange { value: mib, min: Self::MIN.0.into(), max: Self::MAX.0.into() }),
        }
    }

    /// The amount in MiB.
    pub const fn get(self) -> u32 {
        self.0
    }

    /// The amount in bytes.
    pub const fn bytes(self) -> u64 {
        (self.0 as u64) << 20
    }
}

impl fmt::Display for Mib {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} MiB", self.0)
    }
}
