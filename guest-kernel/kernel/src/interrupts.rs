//! What is done about interrupts, between a program and the kernel or when idle.

use crate::arch::{cpu, interrupt};
use crate::time::timers;

/// The virtio device interrupt of vsock.
const VSOCK: u32 = 5;

/// Handles what is pending, and timers that are due.
pub fn handle_pending() {
    let pending = cpu::take_pending_interrupts();
    if pending != 0 {
        if pending >> interrupt::TIMER_BIT & 1 == 1 {
            timers::fired();
        }
        if pending >> VSOCK & 1 == 1 {
            ampoule_kio::vsock::interrupt();
        }
    }
    timers::run_due();
}
