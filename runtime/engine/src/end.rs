//! Why a sandbox ended.

use crate::session::Violation;
use crate::text::{LogTail, printable};
use ampoule_policies::Mib;
use ampoule_protocol::Text;
use ampoule_vmm_api::{Reason, VmStatus};
use std::time::Duration;
use thiserror::Error;

/// Why a sandbox ended. `Display` is one sentence (and the last lines of the guest's log, where they help).
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum End {
    /// The host ended it because it was not needed any more.
    #[error("the sandbox was ended")]
    Stopped,
    /// The job's time was up.
    #[error("the time was up after {}", seconds(*.after))]
    TimedOut {
        /// How long the job was given.
        after: Duration,
    },
    /// Its processor time was used up.
    #[error("the sandbox used up its processor time of {} (--cpu-time)", seconds(*.limit))]
    CpuTime {
        /// What it was given.
        limit: Duration,
    },
    /// The VMM needed more memory than its control group has.
    #[error(
        "the sandbox needed more memory of the host than its {} (guest RAM of {memory}, its page tables, and \
         limits.vmm_memory_mib)", ampoule_policies::Bytes(*.limit)
    )]
    HostMemory {
        /// What it was given, in bytes.
        limit: u64,
        /// The guest's RAM.
        memory: Mib,
    },
    /// The user ended it.
    #[error("interrupted by signal {signo}")]
    Interrupted {
        /// The signal that the user sent.
        signo: u8,
    },
    /// The agent did not say hello in time.
    #[error("the guest did not come up within {}{log}", seconds(*.after))]
    BootTimedOut {
        /// How long it was given.
        after: Duration,
        /// What the guest kernel said last.
        log: LogTail,
    },
    /// The agent owed an answer for too long.
    #[error("the guest's agent did not answer for {}", seconds(*.after))]
    AgentSilent {
        /// How long it was given.
        after: Duration,
    },
    /// The agent broke the protocol.
    #[error("the guest's agent broke the protocol: {0}")]
    AgentViolation(Violation),
    /// The agent cannot go on.
    #[error("the guest's agent gave up: {0}")]
    AgentFatal(Text),
    /// The agent says that the host broke the protocol.
    #[error("the guest's agent refused what the host said: {0}")]
    AgentRefused(Text),
    /// The host had something to say that the protocol cannot carry.
    #[error("cannot tell the guest's agent: {0}")]
    Unsayable(ampoule_protocol::Error),
    /// The agent closed the connection, and the guest lived on.
    #[error("the guest's agent closed its connection")]
    AgentGone,
    /// The guest powered off, which nobody asked for.
    #[error("the guest powered off before the command ended{0}")]
    PoweredOff(LogTail),
    /// The guest asked for a reset.
    #[error("the guest asked for a reset{0}")]
    Reset(LogTail),
    /// The guest kernel panicked.
    #[error("{message}{log}")]
    KernelPanic {
        /// The VMM's sentence, with the kernel's own reason where it gave one; safe to print.
        message: String,
        /// What the guest kernel said last.
        log: LogTail,
    },
    /// The guest kernel ran out of memory, and there was no process left that it could kill.
    #[error("the guest ran out of memory ({memory}; see --memory), with no process left to kill{log}")]
    OutOfMemory {
        /// What the guest had.
        memory: Mib,
        /// What the guest kernel said last.
        log: LogTail,
    },
    /// The guest crashed the virtual processor.
    #[error("the guest kernel crashed with a triple fault{0}")]
    TripleFault(LogTail),
    /// The guest did what this host's KVM cannot emulate.
    #[error("the guest executed an instruction that this host's KVM cannot emulate{0}")]
    EmulationFailure(LogTail),
    /// The VMM could not start or keep running the VM. Its own sentence says why.
    #[error("{message}")]
    Vmm {
        /// Why.
        reason: Reason,
        /// The VMM's sentence, safe to print.
        message: String,
    },
    /// A signal ended the VMM.
    #[error("the VMM process was killed by signal {signo}{}", after_colon(.said))]
    VmmKilled {
        /// The signal.
        signo: i32,
        /// What the VMM wrote to standard error, safe to print.
        said: String,
    },
    /// The VMM made a system call that its filter does not allow.
    #[error(
        "the VMM was stopped by its seccomp filter: it made a system call that it never needs, because of a bug or \
         because the guest has taken it over{}",
        after_colon(.said)
    )]
    VmmFiltered {
        /// What the VMM wrote to standard error, safe to print.
        said: String,
    },
    /// The VMM ended without saying why.
    #[error("the VMM process ended with exit status {code}{}", after_colon(.said))]
    VmmExited {
        /// Its exit status.
        code: i32,
        /// What the VMM wrote to standard error, safe to print.
        said: String,
    },
}

impl End {
    /// A short name for machines. Names never change.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Stopped => "stopped",
            Self::TimedOut { .. } => "timed_out",
            Self::CpuTime { .. } => "cpu_time_exceeded",
            Self::HostMemory { .. } => "host_memory_exceeded",
            Self::Interrupted { .. } => "interrupted",
            Self::BootTimedOut { .. } => "boot_timed_out",
            Self::AgentSilent { .. } => "agent_silent",
            Self::AgentViolation(_) => "agent_protocol_error",
            Self::AgentFatal(_) => "agent_failed",
            Self::AgentRefused(_) => "agent_refused",
            Self::Unsayable(_) => "protocol_limit",
            Self::AgentGone => "agent_gone",
            Self::PoweredOff(_) => "guest_powered_off",
            Self::Reset(_) => "guest_reset",
            Self::KernelPanic { .. } => "guest_kernel_panic",
            Self::OutOfMemory { .. } => "guest_out_of_memory",
            Self::TripleFault(_) => "guest_triple_fault",
            Self::EmulationFailure(_) => "guest_emulation_failure",
            Self::Vmm { reason, .. } => match reason {
                Reason::BadKernel => "bad_kernel",
                Reason::BadImage => "bad_image",
                Reason::KvmUnavailable => "kvm_unavailable",
                Reason::KvmError => "kvm_error",
                Reason::BadConfig => "vmm_bad_config",
                Reason::Terminated => "vmm_terminated",
                _ => "vmm_host_error",
            },
            Self::VmmKilled { .. } => "vmm_killed",
            Self::VmmFiltered { .. } => "vmm_filtered",
            Self::VmmExited { .. } => "vmm_failed",
        }
    }

    /// What the VMM's last words mean, of a guest with this much memory.
    pub(crate) fn from_status(status: &VmStatus, memory: Mib) -> Self {
        let log = LogTail::new(&status.console_tail);
        match status.reason {
            Reason::PowerOff => Self::PoweredOff(log),
            Reason::Reset => Self::Reset(log),
            Reason::KernelPanic => Self::KernelPanic { message: printable(&status.message), log },
            Reason::GuestOutOfMemory => Self::OutOfMemory { memory, log },
            Reason::TripleFault => Self::TripleFault(log),
            Reason::EmulationFailure => Self::EmulationFailure(log),
            reason => Self::Vmm { reason, message: printable(&status.message) },
        }
    }

    /// Adds what the guest kernel said last, where that was not known when the end was decided.
    pub(crate) fn with_log(mut self, tail: &str) -> Self {
        if let Self::BootTimedOut { log, .. } = &mut self {
            *log = LogTail::new(tail);
        }
        self
    }
}

fn seconds(duration: Duration) -> String {
    format!("{} s", duration.as_secs_f64())
}

fn after_colon(text: &str) -> String {
    match text.is_empty() {
        true => String::new(),
        false => format!(": {text}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sentences_read_well() {
        let log = LogTail::new("one\ntwo\n");
        assert_eq!(
            End::BootTimedOut { after: Duration::from_millis(1500), log: log.clone() }.to_string(),
            "the guest did not come up within 1.5 s\n  | one\n  | two"
        );
        let memory = Mib::new(64).unwrap();
        assert_eq!(
            End::OutOfMemory { memory, log: log.clone() }.to_string(),
            "the guest ran out of memory (64 MiB; see --memory), with no process left to kill\n  | one\n  | two"
        );
        let message = "the guest kernel panicked: for a test".to_owned();
        assert_eq!(
            End::KernelPanic { message, log }.to_string(),
            "the guest kernel panicked: for a test\n  | one\n  | two"
        );
        assert_eq!(
            End::VmmKilled { signo: 9, said: String::new() }.to_string(),
            "the VMM process was killed by signal 9"
        );
        assert_eq!(
            End::TimedOut { after: Duration::from_secs(10) }.to_string(),
            "the time was up after 10 s"
        );
    }
}
