//! The kernel's own failures: a last message, then the end of the VM.

use crate::arch::trap::{self, TrapFrame};
use crate::log::{self, Exit};
use core::panic::PanicInfo;
use core::sync::atomic::{AtomicBool, Ordering};

static PANICKED: AtomicBool = AtomicBool::new(false);

#[panic_handler]
fn panic(info: &PanicInfo<'_>) -> ! {
    if PANICKED.swap(true, Ordering::Relaxed) {
        log::exit(Exit::Panic);
    }
    match info.location() {
        Some(at) => crate::log!("kernel panic: {} ({}:{})", info.message(), at.file(), at.line()),
        None => crate::log!("kernel panic: {}", info.message()),
    }
    log::exit(Exit::Panic)
}

/// An exception in the kernel itself.
pub fn kernel_fault(frame: &TrapFrame) -> ! {
    if PANICKED.swap(true, Ordering::Relaxed) {
        log::exit(Exit::Panic);
    }
    crate::log!("kernel panic: exception {} in the kernel at {:#x}", frame.vector, frame.rip);
    trap::describe(frame);
    log::exit(Exit::Panic)
}

/// The precompiled libraries refer to it; this kernel never unwinds.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// See [`rust_eh_personality`].
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    log::exit(Exit::Panic)
}
