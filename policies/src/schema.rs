//! The raw form of a policy: the TOML file as written, each value with its place in the file, before any check.

use crate::error::Error;
use crate::fault::Fault;
use serde::Deserialize;
use std::collections::BTreeMap;
use toml::Spanned;

/// Longest policy file in bytes.
pub const MAX_LEN: usize = 64 * 1024;

/// A value, if the file has it.
pub type Value<T> = Option<Spanned<T>>;

/// A policy file.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawPolicy {
    /// What it is for, in a few words.
    pub description: Value<String>,
    /// Whether options of the command line may only tighten it.
    pub locked: Value<bool>,
    /// `[machine]`
    pub machine: RawMachine,
    /// `[deadlines]`
    pub deadlines: RawDeadlines,
    /// `[limits]`
    pub limits: RawLimits,
    /// `[network]`
    pub network: RawNetwork,
    /// `[environment]`
    pub environment: RawEnvironment,
    /// `[files]`
    pub files: RawFiles,
    /// `[job]`
    pub job: RawJob,
    /// `[system_calls]`
    pub system_calls: RawSystemCalls,
}

/// `[machine]`: the virtual machine.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawMachine {
    /// Guest RAM in MiB.
    pub memory_mib: Value<u64>,
    /// Virtual processors.
    pub vcpus: Value<u64>,
}

/// `[deadlines]`: how long things may take, in milliseconds.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawDeadlines {
    /// From the start of the VM to the agent's first message.
    pub boot_ms: Value<u64>,
    /// How long the agent may owe an answer.
    pub answer_ms: Value<u64>,
    /// How often a quiet agent is asked for a sign of life.
    pub ping_ms: Value<u64>,
    /// How long a job may run; 0 is for ever.
    pub job_ms: Value<u64>,
    /// Between SIGTERM and the end of the sandbox.
    pub kill_grace_ms: Value<u64>,
}

/// `[limits]`: what a sandbox may use. 0 is no limit, where a limit can be left away.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawLimits {
    /// Share of processor time, in processors.
    pub cpus: Value<f64>,
    /// Weight against others when the processors do not suffice.
    pub cpu_weight: Value<u64>,
    /// Processor time in milliseconds.
    pub cpu_time_ms: Value<u64>,
    /// Memory of the host beyond the guest's RAM, in MiB.
    pub vmm_memory_mib: Value<u64>,
    /// Threads of the VMM.
    pub vmm_threads: Value<u64>,
    /// Processes in the guest.
    pub processes: Value<u64>,
    /// Open files of each process in the guest.
    pub open_files: Value<u64>,
    /// Bytes that may be written to the guest's disk, in MiB.
    pub disk_mib: Value<u64>,
    /// Files that may be made on the guest's disk.
    pub disk_files: Value<u64>,
    /// Standard output and error together, in KiB.
    pub output_kib: Value<u64>,
    /// Kept of each output stream where output is collected, in KiB.
    pub capture_kib: Value<u64>,
    /// Largest file that is taken out of a guest, in MiB.
    pub output_file_mib: Value<u64>,
    /// Data over vsock in KiB a second, both directions together.
    pub vsock_kib_per_second: Value<u64>,
}

/// `[network]`
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawNetwork {
    /// `none`.
    pub mode: Value<String>,
}

/// `[environment]`: the command's environment variables.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawEnvironment {
    /// Names whose values are taken from the host.
    pub pass: Option<Vec<Spanned<String>>>,
    /// Names and values.
    pub set: Option<BTreeMap<Spanned<String>, Spanned<String>>>,
    /// Names that are refused, wherever they come from. One that ends with `*` stands for all that begin so.
    pub deny: Option<Vec<Spanned<String>>>,
}

/// `[files]`: files that go in and come out.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawFiles {
    /// `HOSTFILE:/GUEST/PATH`
    pub input: Option<Vec<Spanned<String>>>,
    /// `/GUEST/PATH:HOSTFILE`
    pub output: Option<Vec<Spanned<String>>>,
}

/// `[job]`: how the command is run.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawJob {
    /// `USER` or `USER:GROUP`, names or numbers.
    pub user: Value<String>,
}

/// `[system_calls]`: a filter of the command's system calls, in the guest.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RawSystemCalls {
    /// `all`, `allow` or `deny`.
    pub mode: Value<String>,
    /// Names of system calls.
    pub names: Option<Vec<Spanned<String>>>,
    /// `errno` or `kill`.
    pub action: Value<String>,
}

impl RawPolicy {
    /// Reads a policy file.
    pub fn parse(text: &str) -> Result<Self, Error> {
        if text.len() > MAX_LEN {
            return Err(Error::TooLong { len: text.len(), max: MAX_LEN });
        }
        toml::from_str(text).map_err(|error| {
            let span = error.span().unwrap_or(0..0);
            // What comes after the comma is what is allowed.
            let (message, help) = match error.message().split_once(", expected ") {
                Some((message, "u64")) => {
                    (message, "expected a whole number that is not negative".to_owned())
                }
                Some((message, expected)) => (message, format!("expected {expected}")),
                None => (error.message(), String::new()),
            };
            Fault::at(text, span, message.trim_end().replace('\n', "; "), help).into()
        })
    }
}
