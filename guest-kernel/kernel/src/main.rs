//! The guest kernel: a small kernel that speaks the Linux x86-64 system-call ABI, made to start in a millisecond and to
//! run one tenant's programs inside a microVM.
//!
//! ```text
//!   syscall    what programs ask for: one file a family, one table
//!   task       processes, threads, scheduler, execve, futexes      signal   delivery, handler frames
//!   mm         address spaces, page faults, user memory, heap       time     clocks, timers
//!   proc       what /proc shows     special   FIFOs and devices     boot     from boot_params to the first program
//!   arch       the processor: start-up, ways in and out, privilege modes, context switches
//!   -- other crates: fs (file systems), io (pipes, sockets, terminals, vsock), base (frames, locks, wait queues) --
//! ```
#![no_std]
#![no_main]
#![deny(unsafe_op_in_unsafe_fn)]

extern crate alloc;

mod arch;
mod boot;
mod interrupts;
mod log;
mod mm;
mod oom;
mod panic;
mod platform;
mod power;
mod proc;
mod random;
mod signal;
mod special;
mod syscall;
mod task;
mod time;
