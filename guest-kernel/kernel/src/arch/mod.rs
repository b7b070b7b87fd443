//! Everything that knows the processor: start-up, ways in and out, privileged services, interrupts, extended state.
//!
//! The same code runs in two *privilege modes*, chosen by the ring that `SYSCALL` leads to:
//!
//! - **Ring 0**: a classic kernel. Interrupts are off while the kernel runs.
//! - **Deprivileged**: the host emulates ring 0 an instruction at a time, and `SYSCALL` stays in ring 3. The whole kernel
//!   runs in ring 3 at native speed. Ring 0 holds only the *nucleus* (`entry.s`): stubs that hand exceptions to ring 3,
//!   and five services that the kernel asks for with `UD2`. Interrupts stay on; one that hits the kernel is noted in
//!   `pending_interrupts` and handled on the way out.
//!
//! In both modes the kernel is never preempted, and interrupts are handled only between the program and the kernel or
//! when idle, so kernel data needs no protection from interrupt handlers.

pub mod context;
pub mod cpu;
pub mod interrupt;
mod memory;
pub mod trap;

core::arch::global_asm!(include_str!("boot.s"), options(att_syntax, raw));
core::arch::global_asm!(include_str!("entry.s"), options(att_syntax, raw));
