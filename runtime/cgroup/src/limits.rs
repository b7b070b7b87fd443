//! What is limited, and what was used.

use thiserror::Error;

/// Limits of a group. What is `None` is not limited, and its controller not used.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Limits {
    /// Memory in bytes; swap is not given.
    pub memory: Option<u64>,
    /// Processor time in a period.
    pub cpu: Option<CpuShare>,
    /// Share of the processors when they do not suffice for all.
    pub weight: Option<CpuWeight>,
    /// Processes and threads.
    pub pids: Option<u32>,
}

/// A share that cannot be had.
#[derive(Clone, Copy, Debug, Error, PartialEq, Eq)]
#[error("{value} is not between {min} and {max}")]
pub struct OutOfRange {
    value: u64,
    min: u64,
    max: u64,
}

/// A share of processor time in thousandths of one processor.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuShare(u32);

impl CpuShare {
    /// Least share: the kernel takes no quota below a millisecond, which is a hundredth of the period.
    pub const MIN: u32 = 10;
    /// Greatest share: 1024 processors.
    pub const MAX: u32 = 1_024_000;
    /// Length of a period in microseconds, the kernel's default.
    pub(crate) const PERIOD_US: u64 = 100_000;

    /// A share of so many thousandths of a processor.
    pub fn new(milli: u32) -> Result<Self, OutOfRange> {
        match (Self::MIN..=Self::MAX).contains(&milli) {
            true => Ok(Self(milli)),
            false => Err(OutOfRange { value: milli.into(), min: Self::MIN.into(), max: Self::MAX.into() }),
        }
    }

    /// Processor time in a period, in microseconds.
    pub(crate) fn quota_us(self) -> u64 {
        u64::from(self.0) * Self::PERIOD_US / 1000
    }
}

/// A weight against other groups, 1 to 10,000; 100 is what a group has without it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct CpuWeight(u16);

impl CpuWeight {
    /// Least weight.
    pub const MIN: u16 = 1;
    /// Greatest weight.
    pub const MAX: u16 = 10_000;

    /// Checks the weight.
    pub fn new(weight: u16) -> Result<Self, OutOfRange> {
        match (Self::MIN..=Self::MAX).contains(&weight) {
            true => Ok(Self(weight)),
            false => Err(OutOfRange { value: weight.into(), min: Self::MIN.into(), max: Self::MAX.into() }),
        }
    }

    /// As version 2 has it.
    pub(crate) const fn get(self) -> u16 {
        self.0
    }

    /// As version 1 has it: 1024 is the default there, 2 the least.
    pub(crate) fn shares(self) -> u64 {
        (u64::from(self.0) * 1024 / 100).max(2)
    }
}

/// What a group used, as far as its controllers tell.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Usage {
    /// Most memory at any time, in bytes.
    pub peak_memory: Option<u64>,
    /// Processes that the kernel killed since the group was at its memory limit.
    pub oom_kills: Option<u64>,
    /// How long the group was kept from running by its CPU share, in microseconds.
    pub throttled_us: Option<u64>,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shares_and_weights_are_within_what_the_kernel_takes() {
        assert_eq!(CpuShare::new(500).unwrap().quota_us(), 50_000);
        assert_eq!(CpuShare::new(CpuShare::MIN).unwrap().quota_us(), 1000);
        assert!(CpuShare::new(9).is_err() && CpuShare::new(u32::MAX).is_err());
        assert_eq!(CpuWeight::new(100).unwrap().shares(), 1024);
        assert!(CpuWeight::new(1).unwrap().shares() >= 2);
        assert!(CpuWeight::new(0).is_err() && CpuWeight::new(10_001).is_err());
    }
}
