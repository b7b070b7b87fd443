//! The resolved form of a policy.

use crate::error::Error;
use crate::resolve;
use crate::schema::RawPolicy;
use crate::syscalls::SystemCalls;
use crate::units::Mib;
use core::time::Duration;

/// A complete and valid policy.
#[derive(Clone, Debug, PartialEq)]
#[non_exhaustive]
pub struct Policy {
    /// What it is for, in a few words.
    pub description: String,
    /// Whether options of the command line may only tighten it.
    pub locked: bool,
    /// The virtual machine.
    pub machine: Machine,
    /// How long things may take.
    pub deadlines: Deadlines,
    /// What a sandbox may use.
    pub limits: Limits,
    /// The command's environment variables.
    pub environment: Environment,
    /// Files that go in and come out.
    pub files: Files,
    /// Who runs the command: `USER` or `USER:GROUP`. `None`: root.
    pub user: Option<String>,
    /// The system calls that the command may make.
    pub system_calls: SystemCalls,
}

/// The virtual machine.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Machine {
    /// Guest RAM.
    pub memory: Mib,
    /// Virtual processors: 1.
    pub vcpus: u32,
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

/// What a sandbox may use. `None` is no limit.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[non_exhaustive]
pub struct Limits {
    /// Share of processor time in thousandths of a processor.
    pub cpu_milli: Option<u32>,
    /// Weight against others when the processors do not suffice, 1 to 10,000; 100 is what others have.
    pub cpu_weight: Option<u16>,
    /// Processor time of the whole sandbox, its start included.
    pub cpu_time: Option<Duration>,
    /// Memory of the host beyond the guest's RAM, in bytes.
    pub vmm_memory: u64,
    /// Threads of the VMM.
    pub vmm_threads: Option<u32>,
    /// Processes in the guest.
    pub processes: Option<u32>,
    /// Open files of each process in the guest.
    pub open_files: Option<u32>,
    /// Bytes that may be written to the guest's disk. `None`: as many as the guest's kernel thinks good.
    pub disk: Option<u64>,
    /// Files that may be made on the guest's disk. `None` as above.
    pub disk_files: Option<u32>,
    /// Standard output and error together, in bytes.
    pub output: Option<u64>,
    /// Kept of each output stream where output is collected, in bytes.
    pub capture: usize,
    /// Largest file taken out of a guest, in bytes.
    pub output_file: u64,
    /// Data over vsock in bytes a second, both directions together.
    pub vsock_rate: Option<u64>,
}

/// The command's environment variables.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Environment {
    /// Names whose values are taken from the host.
    pub pass: Vec<String>,
    /// Names and values.
    pub set: Vec<(String, String)>,
    /// Names that are refused, wherever they come from. One that ends with `*` stands for all that begin so.
    pub deny: Vec<String>,
}

impl Environment {
    /// The entry of `deny` that refuses this name.
    pub fn denies(&self, name: &[u8]) -> Option<&str> {
        self.deny.iter().map(String::as_str).find(|pattern| match pattern.strip_suffix('*') {
            Some(start) => name.starts_with(start.as_bytes()),
            None => name == pattern.as_bytes(),
        })
    }
}

/// Files that go in and come out.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct Files {
    /// `HOSTFILE:/GUEST/PATH`, as `--input` has them.
    pub input: Vec<String>,
    /// `/GUEST/PATH:HOSTFILE`, as `--output` has them.
    pub output: Vec<String>,
}

/// The policies that are built in.
pub const BUILTIN: [(&str, &str); 5] = [
    ("default", include_str!("../builtin/default.toml")),
    ("strict", include_str!("../builtin/strict.toml")),
    ("function", include_str!("../builtin/function.toml")),
    ("ci", include_str!("../builtin/ci.toml")),
    ("document", include_str!("../builtin/document.toml")),
];

impl Policy {
    /// The built-in default.
    pub fn builtin() -> Result<Self, Error> {
        let [(_, text), ..] = BUILTIN;
        resolve::resolve(text, &RawPolicy::parse(text)?, &RawPolicy::default())
    }

    /// The built-in policy of this name.
    pub fn named(name: &str) -> Option<Result<Self, Error>> {
        text_of(name).map(Self::parse)
    }

    /// A policy file; what it leaves out is as in the built-in default.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let raw = RawPolicy::parse(text)?;
        let [(_, default), ..] = BUILTIN;
        resolve::resolve(text, &raw, &RawPolicy::parse(default)?)
    }
}

/// The text of the built-in policy of this name.
pub fn text_of(name: &str) -> Option<&'static str> {
    BUILTIN.iter().find(|(other, _)| *other == name).map(|(_, text)| *text)
}
