//! The end of the VM: `reboot(2)`, and the end of the first process.

use crate::log::{self, Exit};
use crate::task::process::ExitStatus;

/// The first process has ended: so does the VM.
pub fn init_ended(status: ExitStatus) -> ! {
    match status {
        ExitStatus::Code(0) => log::exit(Exit::PowerOff),
        other => panic!("the first process has ended: {other:?}"),
    }
}

/// Ends the VM in order.
pub fn off() -> ! {
    log::exit(Exit::PowerOff)
}

/// Asks for a restart.
pub fn reset() -> ! {
    log::exit(Exit::Reset)
}
