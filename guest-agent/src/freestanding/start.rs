//! The entry point, and the end by panic.

use ampoule_agent::agent::Role;
use ampoule_agent::power;
use core::arch::naked_asm;
use core::ffi::{CStr, c_char};
use core::fmt::{self, Write};

/// What the kernel jumps to, with the argument count and vector on the stack.
#[unsafe(naked)]
#[unsafe(no_mangle)]
unsafe extern "C" fn _start() -> ! {
    naked_asm!(
        "xor ebp, ebp",
        "mov rdi, rsp",
        "and rsp, -16",
        "call {entry}",
        "ud2",
        entry = sym entry,
    )
}

/// # Safety
///
/// `stack` is what the kernel put on a new program's stack: the argument count, then as many pointers to strings.
unsafe extern "C" fn entry(stack: *const usize) -> ! {
    // SAFETY: the caller's promise.
    let (count, first) = unsafe { (*stack, stack.add(1).cast()) };
    crate::main(Arguments { next: first, left: count })
}

/// The program's arguments.
pub struct Arguments {
    /// The next of `left` pointers to strings that live as long as the program.
    next: *const *const c_char,
    left: usize,
}

impl Iterator for Arguments {
    type Item = &'static [u8];

    fn next(&mut self) -> Option<&'static [u8]> {
        self.left = self.left.checked_sub(1)?;
        // SAFETY: there is one more pointer, to a string that ends with a NUL: see the field.
        unsafe {
            let argument = CStr::from_ptr(*self.next);
            self.next = self.next.add(1);
            Some(argument.to_bytes())
        }
    }
}

/// Says what happened and ends the machine: no job can go on without its PID 1.
#[panic_handler]
fn panic(info: &core::panic::PanicInfo<'_>) -> ! {
    /// Standard error, without a buffer, as there may be no memory for one.
    struct Stderr;
    impl Write for Stderr {
        fn write_str(&mut self, text: &str) -> fmt::Result {
            ampoule_agent::sys::process::write_stderr(text.as_bytes());
            Ok(())
        }
    }
    let _lost = writeln!(Stderr, "ampoule-agent: {info}");
    let role = if rustix::process::getpid().is_init() { Role::Init } else { Role::Ordinary };
    power::off(role, 101)
}

/// Named by the precompiled `core` and `alloc`, whose code can be unwound; ours never is.
#[unsafe(no_mangle)]
extern "C" fn rust_eh_personality() {}

/// Likewise.
#[unsafe(no_mangle)]
extern "C" fn _Unwind_Resume() -> ! {
    power::off(Role::Ordinary, 101)
}
