//! The system call instruction.

use core::arch::asm;
use rustix::io::Errno;

/// A system call with up to six arguments.
///
/// # Safety
///
/// The arguments must fit the system call: pointers among them point to memory that the kernel may read or write as
/// that call does, for as long as it does.
pub unsafe fn syscall(number: u32, args: [usize; 6]) -> Result<usize, Errno> {
    let [a, b, c, d, e, f] = args;
    let result: isize;
    // SAFETY: the `syscall` instruction changes rax, rcx and r11 alone; what the kernel does to memory is the
    // caller's promise.
    unsafe {
        asm!(
            "syscall",
            inlateout("rax") number as usize => result,
            in("rdi") a, in("rsi") b, in("rdx") c, in("r10") d, in("r8") e, in("r9") f,
            lateout("rcx") _, lateout("r11") _,
            options(nostack),
        );
    }
    check(result)
}

/// Tells a system call's result from its error.
pub fn check(result: isize) -> Result<usize, Errno> {
    match usize::try_from(result) {
        Ok(value) => Ok(value),
        Err(_) => Err(Errno::from_raw_os_error(i32::try_from(-result).unwrap_or(i32::MAX))),
    }
}
