//! The resolved form of a policy.

use crate::error::Error;
use crate::schema::{RawDeadlines, RawLimits, RawMachine, RawPolicy};
use crate::units::{Mib, OutOfRange};
use core::time::Duration;

/// The text of the built-in default policy.
const DEFAULT: &str = include_str!("../builtin/default.toml");

/// A complete and valid policy.
#[derive(Clone, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Policy {
    /// The virtual machine.
    pub machine: Machine,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// What the host keeps or takes of a guest's data.
    pub limits: Limits,
}

/// The virtual machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Machine {
    /// Guest RAM.
    pub memory: Mib,
}

/// How long things may take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Deadlines {
    /// From the start of the VM to the agent's first message.
    pub boot: Duration,
    /// How long the agent may owe an answer before it counts as hung.
    pub answer: Duration,
    /// How often a quiet agent is asked for a sign of life.
    pub ping: Duration,
    /// How long a job may run; `None` is for ever.
    pub job: Option<Duration>,
    /// Between the SIGTERM at the end of a job's time and the end of its sandbox.
    pub kill_grace: Duration,
}

/// What the host keeps or takes of a guest's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Kept of each output stream where output is collected, in bytes.
    pub capture: usize,
    /// Largest file taken out of a guest, in bytes.
    pub output_file: u64,
}

impl Policy {
    /// The built-in default.
    pub fn builtin() -> Result<Self, Error> {
        Self::resolve(&RawPolicy::parse(DEFAULT)?, &RawPolicy::default())
    }

    /// A policy file; what it leaves out is as in the built-in default.
    pub fn parse(text: &str) -> Result<Self, Error> {
        Self::resolve(&RawPolicy::parse(text)?, &RawPolicy::parse(DEFAULT)?)
    }

    fn resolve(raw: &RawPolicy, default: &RawPolicy) -> Result<Self, Error> {
        Ok(Self {
            machine: machine(&raw.machine, &default.machine)?,
            deadlines: deadlines(&raw.deadlines, &default.deadlines)?,
            limits: limits(&raw.limits, &default.limits)?,
        })
    }
}

fn machine(raw: &RawMachine, default: &RawMachine) -> Result<Machine, Error> {
    let memory = Field { name: "machine.memory_mib", value: raw.memory_mib.or(default.memory_mib) };
    let mib = memory.required()?;
    Ok(Machine { memory: Mib::new(mib).map_err(|range| memory.out_of(range))? })
}

fn deadlines(raw: &RawDeadlines, default: &RawDeadlines) -> Result<Deadlines, Error> {
    const HOUR_MS: u64 = 3_600_000;
    const YEAR_MS: u64 = 365 * 24 * HOUR_MS;
    let ms = |name, value: Option<u64>, default: Option<u64>, min, max| {
        Field { name, value: value.or(default) }.within(min, max).map(Duration::from_millis)
    };
    let job = ms("deadlines.job_ms", raw.job_ms, default.job_ms, 0, YEAR_MS)?;
    Ok(Deadlines {
        boot: ms("deadlines.boot_ms", raw.boot_ms, default.boot_ms, 1, HOUR_MS)?,
        answer: ms("deadlines.answer_ms", raw.answer_ms, default.answer_ms, 100, HOUR_MS)?,
        ping: ms("deadlines.ping_ms", raw.ping_ms, default.ping_ms, 100, HOUR_MS)?,
        job: Some(job).filter(|job| !job.is_zero()),
        kill_grace: ms("deadlines.kill_grace_ms", raw.kill_grace_ms, default.kill_grace_ms, 0, HOUR_MS)?,
    })
}

fn limits(raw: &RawLimits, default: &RawLimits) -> Result<Limits, Error> {
    let capture = Field { name: "limits.capture_kib", value: raw.capture_kib.or(default.capture_kib) };
    let output =
        Field { name: "limits.output_file_mib", value: raw.output_file_mib.or(default.output_file_mib) };
    Ok(Limits {
        capture: usize::try_from(capture.within(0, 1 << 20)? << 10).unwrap_or(usize::MAX),
        output_file: output.within(0, 1 << 24)? << 20,
    })
}

/// One number of a policy, from the file or the default.
#[derive(Clone, Copy)]
struct Field {
    name: &'static str,
    value: Option<u64>,
}

impl Field {
    fn required(self) -> Result<u64, Error> {
        self.value.ok_or(Error::Missing { field: self.name })
    }

    fn within(self, min: u64, max: u64) -> Result<u64, Error> {
        match self.required()? {
            value if (min..=max).contains(&value) => Ok(value),
            value => Err(self.out_of(OutOfRange { value, min, max })),
        }
    }

    fn out_of(self, OutOfRange { value, min, max }: OutOfRange) -> Error {
        Error::OutOfRange { field: self.name, value, min, max }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_builtin_policy_is_valid_and_complete() {
        let policy = Policy::builtin().unwrap();
        assert_eq!(policy.machine.memory.get(), 256);
        assert_eq!(policy.deadlines.boot, Duration::from_secs(10));
        assert_eq!(policy.deadlines.job, None);
        assert_eq!(policy.limits.capture, 4 << 20);
    }

    #[test]
    fn what_a_file_leaves_out_is_as_in_the_default() {
        let policy = Policy::parse("[deadlines]\njob_ms = 1500\n").unwrap();
        let default = Policy::builtin().unwrap();
        assert_eq!(policy.deadlines.job, Some(Duration::from_millis(1500)));
        assert_eq!(policy.deadlines.boot, default.deadlines.boot);
        assert_eq!(policy.machine, default.machine);
    }

    #[test]
    fn unknown_fields_and_wrong_types_are_errors_that_say_where() {
        for (text, part) in [
            ("[machine]\nmemory = 1\n", "memory"),
            ("[machin]\n", "machin"),
            ("[machine]\nmemory_mib = \"1\"\n", "line 2"),
            ("[machine]\nmemory_mib = -1\n", "line 2"),
        ] {
            let Err(Error::Syntax(message)) = Policy::parse(text) else { panic!("{text:?} was taken") };
            assert!(message.contains(part), "{message:?} does not say {part:?}");
        }
    }

    #[test]
    fn values_out_of_range_are_errors() {
        let error = Policy::parse("[machine]\nmemory_mib = 1\n").unwrap_err();
        assert_eq!(
            error,
            Error::OutOfRange { field: "machine.memory_mib", value: 1, min: 32, max: 256 * 1024 }
        );
        assert!(Policy::parse("[deadlines]\nboot_ms = 0\n").is_err());
        assert!(Policy::parse("[limits]\noutput_file_mib = 99999999\n").is_err());
        assert!(matches!(Policy::parse(&"#".repeat(1 << 20)), Err(Error::TooLong { .. })));
    }
}
