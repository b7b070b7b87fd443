//! The interrupt descriptor table and the local APIC's timer.

use super::cpu;

/// Interrupt vectors: device interrupt n is `DEVICES + n`, as the VMM injects them.
const DEVICES: usize = 0x30;
const TIMER: usize = 0xec;
const SPURIOUS: usize = 0xff;
/// The bit of the timer in the set of pending interrupts.
pub const TIMER_BIT: u32 = 32;

unsafe extern "C" {
    static mut idt: [[u64; 2]; 256];
    static gates_ring0: [u64; 66];
    static gates_nucleus: [u64; 66];
}

/// Stacks of the TSS's interrupt stack table; 0 stays on the stack that the privilege change selects.
const IST_INTERRUPT: u64 = 1;
const IST_SERVICE: u64 = 2;
const IST_FAULT: u64 = 3;

/// Fills the table and readies the timer. Until then nothing may trap.
pub fn start() {
    let deprivileged = cpu::deprivileged();
    // SAFETY: the assembler defines both tables with 66 entries.
    let gates = unsafe { if deprivileged { &gates_nucleus } else { &gates_ring0 } };
    for (vector, target) in gates[..32].iter().enumerate() {
        let stack = match vector {
            2 | 8 | 18 => IST_FAULT,
            6 if deprivileged => IST_SERVICE,
            _ => 0,
        };
        // Programs may raise breakpoints and overflows themselves.
        let privilege = if vector == 3 || vector == 4 { 3 } else { 0 };
        set_gate(vector, *target, stack, privilege);
    }
    let stack = if deprivileged { IST_INTERRUPT } else { 0 };
    for number in 0..32 {
        set_gate(DEVICES + number, gates[32 + number], stack, 0);
    }
    set_gate(TIMER, gates[64], stack, 0);
    set_gate(SPURIOUS, gates[65], stack, 0);
    const X2APIC_LVT_TIMER: u32 = 0x832;
    const TSC_DEADLINE_MODE: u64 = 0x4_0000;
    cpu::write_msr(X2APIC_LVT_TIMER, TSC_DEADLINE_MODE | TIMER as u64);
}

fn set_gate(vector: usize, target: u64, stack: u64, privilege: u64) {
    const RING0_CODE: u64 = 0x10;
    const PRESENT_INTERRUPT_GATE: u64 = 0x8e;
    let low = (target & 0xffff)
        | RING0_CODE << 16
        | stack << 32
        | (PRESENT_INTERRUPT_GATE | privilege << 5) << 40
        | (target >> 16 & 0xffff) << 48;
    // SAFETY: the table has 256 entries, and nothing else writes to it.
    unsafe { (&raw mut idt[vector]).write([low, target >> 32]) };
}

/// Asks for a timer interrupt when the time-stamp counter reaches `tsc`.
pub fn arm_timer(tsc: u64) {
    const TSC_DEADLINE: u32 = 0x6e0;
    cpu::write_msr(TSC_DEADLINE, tsc.max(1));
}
