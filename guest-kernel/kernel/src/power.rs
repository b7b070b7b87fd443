//! The end of the VM: `reboot(2)`, and the end of the first process.

use crate::log::{self, Exit};
use crate::task::process::{self, ExitStatus};
use crate::task::sched;
use crate::task::thread::State;
use crate::time::clock;

/// How long the first process may take for what others have left it.
const LAST_WORK_NS: u64 = 200_000_000;

/// The first process has ended: so does the VM.
pub fn init_ended(status: ExitStatus) -> ! {
    match status {
        ExitStatus::Code(0) => log::exit(Exit::PowerOff),
        other => panic!("the first process has ended: {other:?}"),
    }
}

/// Ends the VM in order.
pub fn off() -> ! {
    await_init();
    log::exit(Exit::PowerOff)
}

/// Asks for a restart.
pub fn reset() -> ! {
    await_init();
    log::exit(Exit::Reset)
}

/// Lets the first process, which carries the output of all others out of the VM, take what was written before. Not for
/// long: it may be the one that asks, or others may keep it busy.
fn await_init() {
    let Some(init) = process::find(1) else { return };
    let deadline = clock::monotonic_ns() + LAST_WORK_NS;
    let is_busy = || init.threads.lock().iter().any(|thread| thread.state() == State::Runnable);
    while sched::current().process.pid != 1 && is_busy() && clock::monotonic_ns() < deadline {
        sched::yield_now();
    }
}
