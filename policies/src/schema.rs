//! The raw form of a policy: the TOML file as written, before any check of its values.

use crate::error::Error;
use serde::Deserialize;

/// Longest policy file in bytes.
pub const MAX_LEN: usize = 64 * 1024;

/// A policy file.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct RawPolicy {
    /// `[machine]`
    pub machine: RawMachine,
    /// `[deadlines]`
    pub deadlines: RawDeadlines,
    /// `[limits]`
    pub limits: RawLimits,
}

/// `[machine]`: the virtual machine.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct RawMachine {
    /// Guest RAM in MiB.
    pub memory_mib: Option<u64>,
}

/// `[deadlines]`: how long things may take, in milliseconds.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct RawDeadlines {
    /// From the start of the VM to the agent's first message.
    pub boot_ms: Option<u64>,
    /// How long the agent may owe an answer.
    pub answer_ms: Option<u64>,
    /// How often a quiet agent is asked for a sign of life.
    pub ping_ms: Option<u64>,
    /// How long a job may run; 0 is for ever.
    pub job_ms: Option<u64>,
    /// Between SIGTERM and the end of the sandbox.
    pub kill_grace_ms: Option<u64>,
}

/// `[limits]`: what the host keeps or takes of a guest's data.
#[derive(Clone, Debug, Default, Deserialize, PartialEq, Eq)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    /// Kept of each output stream where output is collected, in KiB.
    pub capture_kib: Option<u64>,
    /// Largest file taken out of a guest, in MiB.
    pub output_file_mib: Option<u64>,
}

impl RawPolicy {
    /// Reads a policy file.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_LEN {
            return Err(Error::TooLong { len: text.len(), max: MAX_LEN });
        }
        toml::from_str(text).map_err(|error| Error::Syntax(error.to_string().trim_end().to_owned()))
    }
}
