//! How a VM ended.

use crate::Error;
use serde::{Deserialize, Serialize};

/// Most bytes of the kernel log's end in a status.
pub const CONSOLE_TAIL_LEN: usize = 16 * 1024;
/// Most bytes of a status line. It fits into an empty pipe, so writing it does not block.
pub const MAX_STATUS_LEN: usize = 60 * 1024;

/// How a VM ended: one line of JSON on the configuration's `status_fd`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VmStatus {
    /// Why.
    pub reason: Reason,
    /// One sentence for people, with the details.
    pub message: String,
    /// The last bytes of the kernel log, what is not UTF-8 replaced. Written by the guest: do not trust it.
    pub console_tail: String,
    /// When things happened.
    pub timings: Timings,
    /// The VMM's greatest resident set in KiB, touched guest memory included.
    pub peak_rss_kib: u64,
}

/// Why a VM ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Reason {
    /// The guest powered off.
    PowerOff,
    /// The guest asked for a reset.
    Reset,
    /// The guest kernel panicked.
    KernelPanic,
    /// The guest kernel ran out of memory.
    GuestOutOfMemory,
    /// An exception within the handling of an exception within the handling of an exception.
    TripleFault,
    /// The guest executed what the host's KVM cannot emulate.
    EmulationFailure,
    /// The VMM was started with a configuration that it does not take.
    BadConfig,
    /// The kernel is not an x86-64 ELF executable that fits into the guest's memory.
    BadKernel,
    /// An image is not there as configured, or cannot be mapped.
    BadImage,
    /// `/dev/kvm` is not there, may not be opened, or is not KVM.
    KvmUnavailable,
    /// KVM refused something that the VMM needs, or failed while the VM ran.
    KvmError,
    /// Another system call failed that must not.
    HostError,
    /// The VMM got SIGTERM, SIGINT or SIGHUP.
    Terminated,
    /// The other end of the lifeline was closed.
    ParentGone,
}

impl Reason {
    /// The exit code of a VMM that ended so.
    pub const fn exit_code(self) -> i32 {
        match self {
            Self::PowerOff => 0,
            Self::BadConfig => 2,
            Self::Reset => 10,
            Self::KernelPanic => 11,
            Self::GuestOutOfMemory => 12,
            Self::TripleFault => 13,
            Self::EmulationFailure => 14,
            Self::BadKernel => 20,
            Self::BadImage => 21,
            Self::KvmUnavailable => 22,
            Self::KvmError => 23,
            Self::HostError => 24,
            Self::Terminated => 30,
            Self::ParentGone => 31,
        }
    }
}

/// When things happened, in nanoseconds of `CLOCK_MONOTONIC` and in this order. `None` if it did not come to that.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Timings {
    /// The VMM's `main` began.
    pub process_start: Option<u64>,
    /// `/dev/kvm` was open.
    pub kvm_opened: Option<u64>,
    /// The VM was there, still empty.
    pub vm_created: Option<u64>,
    /// RAM and images were the guest's.
    pub memory_mapped: Option<u64>,
    /// The kernel and what it reads at boot were in RAM, as far as the vCPU's thread had to wait for that.
    pub kernel_loaded: Option<u64>,
    /// Right before the first `KVM_RUN`.
    pub vcpu_ready: Option<u64>,
    /// The guest's first connect to a port of the host was accepted: with our agent, the control connection.
    pub control_connected: Option<u64>,
    /// The VM had ended, and what it had sent was delivered.
    pub end: Option<u64>,
}

impl VmStatus {
    /// Reads a status line, with or without its newline.
    pub fn from_json(line: &[u8]) -> Result<Self, Error> {
        if line.len() > MAX_STATUS_LEN {
            return Err(Error::StatusTooLong { len: line.len(), max: MAX_STATUS_LEN });
        }
        serde_json::from_slice(line).map_err(Error::StatusSyntax)
    }

    /// The status line, newline included. Takes away from the beginning of the console's tail what is too much.
    pub fn to_json(&self) -> Vec<u8> {
        let mut status = self.clone();
        loop {
            let mut line = serde_json::to_vec(&status)
                .unwrap_or_else(|error| unreachable!("plain data is always JSON: {error}"));
            line.push(b'\n');
            if line.len() <= MAX_STATUS_LEN {
                return line;
            }
            status.halve();
        }
    }

    /// Drops the first half of the longer one of the two texts.
    fn halve(&mut self) {
        let text = if self.console_tail.is_empty() { &mut self.message } else { &mut self.console_tail };
        let middle = text.len().div_ceil(2);
        let from = (middle..=text.len()).find(|&index| text.is_char_boundary(index)).unwrap_or(text.len());
        text.drain(..from);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn status(console_tail: &str) -> VmStatus {
        VmStatus {
            reason: Reason::KernelPanic,
            message: "the guest kernel panicked".into(),
            console_tail: console_tail.into(),
            timings: Timings { process_start: Some(1), ..Timings::default() },
            peak_rss_kib: 9000,
        }
    }

    #[test]
    fn a_status_survives_the_way_through_json() {
        let status = status("oops\n\u{1b}[0m ä");
        let line = status.to_json();
        assert!(line.ends_with(b"}\n") && line.iter().filter(|&&byte| byte == b'\n').count() == 1);
        assert_eq!(VmStatus::from_json(&line).unwrap(), status);
    }

    #[test]
    fn reasons_are_written_in_snake_case() {
        let line = String::from_utf8(status("").to_json()).unwrap();
        assert!(line.starts_with(r#"{"reason":"kernel_panic","#), "{line}");
    }

    #[test]
    fn a_status_always_fits() {
        // Control characters take six bytes each in JSON.
        let line = status(&"\u{1}".repeat(CONSOLE_TAIL_LEN)).to_json();
        assert!(line.len() <= MAX_STATUS_LEN);
        assert!(VmStatus::from_json(&line).unwrap().console_tail.len() >= 1000);
        let line = status(&"ä".repeat(100_000)).to_json();
        assert!(VmStatus::from_json(&line).unwrap().console_tail.starts_with('ä'));
    }

    #[test]
    fn exit_codes_differ() {
        use Reason::*;
        let all = [
            PowerOff,
            Reset,
            KernelPanic,
            GuestOutOfMemory,
            TripleFault,
            EmulationFailure,
            BadConfig,
            BadKernel,
            BadImage,
            KvmUnavailable,
            KvmError,
            HostError,
            Terminated,
            ParentGone,
        ];
        let codes: std::collections::BTreeSet<i32> = all.iter().map(|reason| reason.exit_code()).collect();
        assert_eq!(codes.len(), all.len());
    }
}
