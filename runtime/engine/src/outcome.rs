//! How a run ended, all told: the job's end, or what came before it or in its way.

use crate::end::End;
use crate::error::Error;
use crate::hostfile::HostFileError;
use ampoule_policies::{Bytes, Mib};
use ampoule_protocol::{CBytes, Exited, FileFailed, StartFailed, StartStep, Status};
use nix::sys::signal::Signal;
use rustix::io::Errno;
use std::path::PathBuf;
use std::time::Duration;

/// The exit code for everything that is ampoule's own failure, as `docker run` has it.
pub const OWN_FAILURE: u8 = 125;
/// The exit code when the time was up, as timeout(1) has it.
pub const TIMED_OUT: u8 = 124;

/// The exit code when the processor time was used up, as shells have it of a command that SIGXCPU ended.
pub const CPU_TIME: u8 = 128 + Signal::SIGXCPU as u8;
/// The exit code when there was too much output, as shells have it of a command that SIGXFSZ ended.
pub const OUTPUT_LIMIT: u8 = 128 + Signal::SIGXFSZ as u8;

/// The exit code of a command that SIGKILL ended, as shells have it.
const KILLED: u8 = 128 + Signal::SIGKILL as u8;

/// How a run ended. `docs/exit-codes.md` has the table.
#[derive(Debug)]
#[non_exhaustive]
pub enum Outcome {
    /// The command ended.
    Exited(Status),
    /// The guest's kernel killed the command to get memory back.
    OutOfMemory {
        /// What the guest has.
        memory: Mib,
    },
    /// The command did not start.
    NotStarted {
        /// The command.
        command: CBytes,
        /// What the agent says.
        failed: StartFailed,
    },
    /// The command's time was up; it ended after the SIGTERM, or the sandbox was ended.
    TimedOut {
        /// How long it was given.
        after: Duration,
    },
    /// The command wrote more output than it may; the sandbox was ended.
    OutputLimit {
        /// How much it may write, in bytes.
        limit: u64,
    },
    /// A second signal ended the sandbox.
    Interrupted {
        /// The signal.
        signo: u8,
    },
    /// A file could not be brought in or out.
    Transfer(TransferProblem),
    /// The command's output could not be written.
    OutputLost {
        /// `stdout` or `stderr`.
        stream: &'static str,
        /// What the system says.
        errno: Errno,
    },
    /// The sandbox ended before the command did.
    Sandbox(End),
    /// There never was a sandbox.
    NotLaunched(Error),
}

/// Why a file could not be brought in or out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TransferProblem {
    /// A file of the host could not be read.
    Read {
        /// The file.
        host: PathBuf,
        /// What the system says.
        errno: Errno,
    },
    /// The guest could not write the file.
    Put {
        /// The file in the guest.
        guest: CBytes,
        /// What the agent says.
        failed: FileFailed,
    },
    /// The guest could not read the file.
    Get {
        /// The file in the guest.
        guest: CBytes,
        /// What the agent says.
        failed: FileFailed,
    },
    /// The file is larger than allowed.
    TooLarge {
        /// The file in the guest.
        guest: CBytes,
        /// The limit in bytes.
        limit: u64,
    },
    /// A file of the host could not be written.
    Write(HostFileError),
}

impl Outcome {
    /// How a command ended, in a guest with this much memory.
    pub(crate) fn of(exited: &Exited, memory: Mib) -> Self {
        match exited.is_out_of_memory() {
            true => Self::OutOfMemory { memory },
            false => Self::Exited(exited.status),
        }
    }

    /// What `ampoule` exits with.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Exited(status) => status.exit_code(),
            Self::OutOfMemory { .. } => KILLED,
            Self::NotStarted { failed, .. } => failed.exit_code(),
            Self::TimedOut { .. } => TIMED_OUT,
            Self::Interrupted { signo } => 128 | (signo & 0x7f),
            Self::OutputLimit { .. } => OUTPUT_LIMIT,
            Self::Sandbox(End::TimedOut { .. }) => TIMED_OUT,
            Self::Sandbox(End::CpuTime { .. }) => CPU_TIME,
            Self::Sandbox(End::HostMemory { .. }) => KILLED,
            Self::Sandbox(End::Interrupted { signo }) => 128 | (signo & 0x7f),
            Self::Transfer(_) | Self::OutputLost { .. } | Self::Sandbox(_) | Self::NotLaunched(_) => {
                OWN_FAILURE
            }
        }
    }

    /// A short name for machines. Names never change.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Exited(Status::Code(_)) => "exited",
            Self::Exited(Status::Signal { .. }) => "killed_by_signal",
            Self::OutOfMemory { .. } => "out_of_memory",
            Self::NotStarted { failed, .. } => match failed.exit_code() {
                127 => "not_found",
                126 => "not_executable",
                _ => "not_started",
            },
            Self::TimedOut { .. } => "timed_out",
            Self::OutputLimit { .. } => "output_limit_exceeded",
            Self::Interrupted { .. } => "interrupted",
            Self::Transfer(TransferProblem::Read { .. } | TransferProblem::Put { .. }) => "input_failed",
            Self::Transfer(_) => "output_failed",
            Self::OutputLost { .. } => "output_lost",
            Self::Sandbox(end) => end.name(),
            Self::NotLaunched(Error::Kvm(_)) => "kvm_unavailable",
            Self::NotLaunched(Error::NoControlGroup { .. }) => "limit_unavailable",
            Self::NotLaunched(_) => "not_launched",
        }
    }

    /// One sentence for people; `None` where the exit code says it all: the command ended by itself.
    pub fn sentence(&self) -> Option<String> {
        Some(match self {
            Self::Exited(Status::Code(_)) => return None,
            Self::Exited(Status::Signal { signo, core }) => {
                let core = if *core { " (core dumped)" } else { "" };
                format!("the command was ended by {}{core}", signal_name(*signo))
            }
            Self::OutOfMemory { memory } => {
                format!("the command was killed: the guest ran out of memory ({memory}; see --memory)")
            }
            Self::NotStarted { command, failed } => not_started(command, failed),
            Self::TimedOut { after } => End::TimedOut { after: *after }.to_string(),
            Self::OutputLimit { limit } => {
                format!("the command wrote more than {} of output (--output-limit)", Bytes(*limit))
            }
            Self::Interrupted { signo } => format!("interrupted by {}", signal_name(*signo)),
            Self::Transfer(problem) => problem.sentence(),
            Self::OutputLost { stream, errno } => format!("cannot write the command's {stream}: {errno}"),
            Self::Sandbox(end) => end.to_string(),
            Self::NotLaunched(error) => error.to_string(),
        })
    }
}

impl TransferProblem {
    fn sentence(&self) -> String {
        match self {
            Self::Read { host, errno } => format!("cannot read {}: {errno}", host.display()),
            Self::Put { guest, failed } => {
                format!("cannot write {guest} in the guest: {}", file_failed(failed))
            }
            Self::Get { guest, failed } => {
                format!("cannot read {guest} in the guest: {}", file_failed(failed))
            }
            Self::TooLarge { guest, limit } => {
                format!("{guest} in the guest is larger than {} MiB", limit >> 20)
            }
            Self::Write(error) => error.to_string(),
        }
    }
}

fn not_started(command: &CBytes, failed: &StartFailed) -> String {
    let step = match failed.step {
        StartStep::Accept => "the agent does not take the job",
        StartStep::User => "cannot find its user",
        StartStep::Stdio => "cannot create its pipes or terminal",
        StartStep::Spawn => "cannot create its process",
        StartStep::Session => "cannot set up its session",
        StartStep::Rlimits => "cannot set its resource limits",
        StartStep::SetUser => "cannot become its user",
        StartStep::Filter => "cannot install its filter of system calls",
        StartStep::Cwd => "cannot enter its working directory",
        StartStep::Exec => {
            return format!("cannot run {command}: {}", why(failed.errno, &failed.message.to_string()));
        }
    };
    format!("cannot start {command}: {step}: {}", why(failed.errno, &failed.message.to_string()))
}

fn file_failed(failed: &FileFailed) -> String {
    why(failed.errno, &failed.message.to_string())
}

/// The agent's words, or else the errno's.
fn why(errno: u16, message: &str) -> String {
    match (errno, message) {
        (0, "") => "no reason given".to_owned(),
        (0, message) => message.to_owned(),
        (errno, "") => nix::Error::from_raw(errno.into()).desc().to_lowercase(),
        (errno, message) => {
            format!("{message}: {}", nix::Error::from_raw(errno.into()).desc().to_lowercase())
        }
    }
}

fn signal_name(signo: u8) -> String {
    match Signal::try_from(i32::from(signo)) {
        Ok(signal) => format!("signal {signo} ({})", signal.as_str()),
        Err(_) => format!("signal {signo}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use ampoule_protocol::{FileId, FileStep, JobId, Text, Usage};

    fn not_started(step: StartStep, errno: u16, message: &str) -> Outcome {
        let job = JobId::new(1).unwrap();
        let failed = StartFailed { job, step, errno, message: Text::new(message) };
        Outcome::NotStarted { command: CBytes::new("frob").unwrap(), failed }
    }

    /// The table of `docs/exit-codes.md`.
    #[test]
    fn every_outcome_has_its_code_and_name() {
        let timed_out = || End::TimedOut { after: Duration::from_secs(1) };
        let file = FileFailed {
            file: FileId::new(1).unwrap(),
            step: FileStep::Open,
            errno: 2,
            message: Text::default(),
        };
        let get = TransferProblem::Get { guest: CBytes::new("/x").unwrap(), failed: file };
        for (outcome, code, name) in [
            (Outcome::Exited(Status::Code(0)), 0, "exited"),
            (Outcome::Exited(Status::Code(42)), 42, "exited"),
            (Outcome::Exited(Status::Signal { signo: 9, core: false }), 137, "killed_by_signal"),
            (Outcome::OutOfMemory { memory: Mib::MIN }, 137, "out_of_memory"),
            (not_started(StartStep::Exec, 2, ""), 127, "not_found"),
            (not_started(StartStep::Exec, 13, ""), 126, "not_executable"),
            (not_started(StartStep::User, 0, "no user"), 125, "not_started"),
            (Outcome::TimedOut { after: Duration::from_secs(1) }, 124, "timed_out"),
            (Outcome::Sandbox(timed_out()), 124, "timed_out"),
            (Outcome::OutputLimit { limit: 1024 }, 153, "output_limit_exceeded"),
            (Outcome::Sandbox(End::CpuTime { limit: Duration::from_secs(1) }), 152, "cpu_time_exceeded"),
            (
                Outcome::Sandbox(End::HostMemory { limit: 1 << 20, memory: Mib::MIN }),
                137,
                "host_memory_exceeded",
            ),
            (Outcome::Interrupted { signo: 2 }, 130, "interrupted"),
            (Outcome::Sandbox(End::Interrupted { signo: 15 }), 143, "interrupted"),
            (Outcome::Sandbox(End::AgentGone), 125, "agent_gone"),
            (Outcome::Transfer(get), 125, "output_failed"),
            (Outcome::OutputLost { stream: "stdout", errno: Errno::NOSPC }, 125, "output_lost"),
            (Outcome::NotLaunched(Error::MemfdNoexec), 125, "not_launched"),
        ] {
            assert_eq!((outcome.exit_code(), outcome.name()), (code, name));
            let says = outcome.sentence();
            assert_eq!(says.is_none(), matches!(outcome, Outcome::Exited(Status::Code(_))), "{says:?}");
        }
    }

    #[test]
    fn sentences_name_the_command_and_the_reason() {
        let sentence = |outcome: Outcome| outcome.sentence().unwrap();
        assert_eq!(
            sentence(not_started(StartStep::Exec, 2, "")),
            "cannot run frob: no such file or directory"
        );
        assert_eq!(
            sentence(not_started(StartStep::User, 0, "no user named \"bob\"")),
            "cannot start frob: cannot find its user: no user named \"bob\""
        );
        assert_eq!(
            sentence(Outcome::Exited(Status::Signal { signo: 11, core: true })),
            "the command was ended by signal 11 (SIGSEGV) (core dumped)"
        );
        assert_eq!(
            sentence(Outcome::OutOfMemory { memory: Mib::new(64).unwrap() }),
            "the command was killed: the guest ran out of memory (64 MiB; see --memory)"
        );
    }

    #[test]
    fn only_a_command_that_sigkill_ended_ran_out_of_memory() {
        let name = |status, oom_kills| {
            let job = JobId::new(1).unwrap();
            let exited = Exited { job, status, usage: Usage::default(), oom_kills };
            Outcome::of(&exited, Mib::MIN).name()
        };
        let signal = |signo| Status::Signal { signo, core: false };
        assert_eq!(name(signal(9), 1), "out_of_memory");
        assert_eq!(name(signal(9), 0), "killed_by_signal");
        assert_eq!(name(signal(15), 1), "killed_by_signal");
        assert_eq!(name(Status::Code(137), 1), "exited");
    }
}
