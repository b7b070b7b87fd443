//! Why a VM ends, in the words of the status.

use ampoule_vmm_api::Reason;

/// The end of a VM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Ending {
    /// The kind.
    pub reason: Reason,
    /// One sentence with the details.
    pub message: String,
}

impl Ending {
    /// An end that needs no details.
    pub fn of(reason: Reason) -> Self {
        let message = match reason {
            Reason::PowerOff => "the guest powered off",
            Reason::Reset => "the guest asked for a reset",
            Reason::KernelPanic => "the guest kernel panicked",
            Reason::GuestOutOfMemory => "the guest ran out of memory",
            Reason::TripleFault => "the guest kernel crashed with a triple fault",
            Reason::EmulationFailure => "the guest executed an instruction that KVM cannot emulate here",
            Reason::Terminated => "the VMM was told to terminate",
            Reason::ParentGone => "the process that started the VM is gone",
            _ => "the VM failed",
        };
        Self { reason, message: message.into() }
    }

    /// The same with details.
    pub fn with(reason: Reason, details: &str) -> Self {
        let mut ending = Self::of(reason);
        ending.message = format!("{}: {details}", ending.message);
        ending
    }
}

impl From<crate::error::Error> for Ending {
    fn from(error: crate::error::Error) -> Self {
        Self { reason: error.reason(), message: error.to_string() }
    }
}
