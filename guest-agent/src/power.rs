//! The end.

use crate::agent::Role;
use crate::sys::process;
use rustix::fs::sync;
use rustix::system::{RebootCommand, reboot};

/// Powers the machine off, or, if the agent is an ordinary process, exits with this code.
#[cold]
pub fn off(role: Role, code: u8) -> ! {
    if role == Role::Init {
        sync();
        // Does not return, unless this is not allowed; then the end of PID 1 is the end all the same.
        let _refused = reboot(RebootCommand::PowerOff);
    }
    process::exit(code)
}

/// Says something where nobody but the kernel log listens.
#[cold]
pub fn complain(text: &str) {
    for part in ["ampoule-agent: ", text, "\n"] {
        process::write_stderr(part.as_bytes());
    }
}
