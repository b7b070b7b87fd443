//! The frame that the ways in leave on the kernel stack, and where each of them goes on in Rust.

use super::cpu;
use crate::{interrupts, signal, syscall, task};
use core::sync::atomic::Ordering;

/// The program's registers while the kernel works for it, as `entry.s` lays them out at the top of the kernel stack.
#[repr(C, align(16))]
#[derive(Clone)]
pub struct TrapFrame {
    pub xmm: [u128; 16],
    pad: u64,
    pub r15: u64,
    pub r14: u64,
    pub r13: u64,
    pub r12: u64,
    pub rbp: u64,
    pub rbx: u64,
    pub r11: u64,
    pub r10: u64,
    pub r9: u64,
    pub r8: u64,
    pub rax: u64,
    pub rcx: u64,
    pub rdx: u64,
    pub rsi: u64,
    pub rdi: u64,
    /// The exception's vector, [`INTERRUPT`], or the number of the system call.
    pub vector: u64,
    /// The address of a page fault.
    pub cr2: u64,
    pub error: u64,
    pub rip: u64,
    pub cs: u64,
    pub rflags: u64,
    pub rsp: u64,
    pub ss: u64,
}

const _: () = assert!(size_of::<TrapFrame>() == 8 * 8 + 15 * 8 + 264);

/// The code and stack selectors of programs.
pub const USER_CS: u64 = 0x33;
/// See [`USER_CS`].
pub const USER_SS: u64 = 0x2b;
/// The `vector` of a device or timer interrupt.
pub const INTERRUPT: u64 = 256;

impl TrapFrame {
    /// A frame that starts a program at `rip` with stack `rsp`, all else zero.
    pub fn for_program(rip: u64, rsp: u64) -> Self {
        // SAFETY: plain integers, for which all zero bits are valid.
        let mut frame: Self = unsafe { core::mem::zeroed() };
        frame.rip = rip;
        frame.rsp = rsp;
        frame.cs = USER_CS;
        frame.ss = USER_SS;
        frame.rflags = 0x202;
        frame
    }

    /// The six arguments of a system call.
    pub fn arguments(&self) -> [u64; 6] {
        [self.rdi, self.rsi, self.rdx, self.r10, self.r8, self.r9]
    }

    /// Whether the program is in a system call that has not been completed or restarted yet.
    pub fn is_syscall(&self) -> bool {
        self.error == u64::MAX
    }

    /// From now on the frame is no longer that of a system call.
    pub fn leave_syscall(&mut self) {
        self.error = 0;
    }

    /// Whether the trap hit the kernel itself.
    fn hit_kernel(&self) -> bool {
        self.rip >> 63 == 1
    }
}

#[unsafe(no_mangle)]
extern "C" fn syscall_dispatch(frame: &mut TrapFrame) {
    // RAX still holds the number; what a tracer or a restart needs of it is in `vector`.
    syscall::dispatch(frame);
    task::before_user(frame);
}

#[unsafe(no_mangle)]
extern "C" fn trap_dispatch(frame: &mut TrapFrame) {
    if frame.vector == INTERRUPT {
        interrupts::handle_pending();
    } else {
        if frame.hit_kernel() {
            crate::panic::kernel_fault(frame);
        }
        exception(frame);
    }
    task::before_user(frame);
}

#[unsafe(no_mangle)]
extern "C" fn exit_work_dispatch(frame: &mut TrapFrame) {
    interrupts::handle_pending();
    task::before_user(frame);
}

#[unsafe(no_mangle)]
extern "C" fn thread_started() {
    task::first_run();
}

/// What an exception of a program becomes.
fn exception(frame: &mut TrapFrame) {
    use linux_raw_sys::general as linux;
    const FPE_INTDIV: i32 = 1;
    const ILL_ILLOPN: i32 = 2;
    const TRAP_BRKPT: i32 = 1;
    const TRAP_TRACE: i32 = 2;
    const BUS_ADRALN: i32 = 1;
    const SI_KERNEL: i32 = 0x80;
    let (signo, code, address) = match frame.vector {
        0 => (linux::SIGFPE, FPE_INTDIV, frame.rip),
        1 => (linux::SIGTRAP, TRAP_TRACE, frame.rip),
        3 => (linux::SIGTRAP, SI_KERNEL, 0),
        4 | 5 | 10..=13 => (linux::SIGSEGV, SI_KERNEL, 0),
        6 => (linux::SIGILL, ILL_ILLOPN, frame.rip),
        14 => return page_fault(frame),
        16 | 19 => (linux::SIGFPE, floating_point_code(), frame.rip),
        17 => (linux::SIGBUS, BUS_ADRALN, 0),
        _ => (linux::SIGTRAP, TRAP_BRKPT, frame.rip),
    };
    signal::force(signal::SignalInfo::fault(signo, code, address, frame.vector as i32));
}

fn page_fault(frame: &TrapFrame) {
    const WRITE: u64 = 2;
    const FETCH: u64 = 16;
    let access = if frame.error & FETCH != 0 {
        crate::mm::Access::Execute
    } else if frame.error & WRITE != 0 {
        crate::mm::Access::Write
    } else {
        crate::mm::Access::Read
    };
    if crate::oom::gate().is_break() {
        return;
    }
    task::current().process.faults.fetch_add(1, Ordering::Relaxed);
    // The lock ends with the statement: what a fault leads to looks at memory itself.
    let result = task::current().memory().lock().fault(frame.cr2, access);
    if let Err(fault) = result {
        fault.raise(frame.cr2);
    }
}

/// `si_code` of a floating-point exception, from the unmasked exception flags.
fn floating_point_code() -> i32 {
    const CODES: [(u32, i32); 5] = [(1, 7), (4, 3), (8, 4), (16, 5), (32, 6)];
    let mut mxcsr = 0u32;
    // SAFETY: STMXCSR stores four bytes at the address of a local.
    unsafe { core::arch::asm!("stmxcsr [{}]", in(reg) &mut mxcsr, options(nostack)) };
    let raised = mxcsr & !(mxcsr >> 7) & 0x3f;
    CODES.iter().find(|(bit, _)| raised & bit != 0).map_or(0, |(_, code)| *code)
}

/// Where a new thread's frame lies on its stack.
pub fn frame_address(stack_top: u64) -> u64 {
    stack_top - size_of::<TrapFrame>() as u64
}

/// Reports to the log what the registers were (for kernel faults).
pub fn describe(frame: &TrapFrame) {
    crate::log!(
        "vector {} error {:#x} cr2 {:#x} rip {:#x} cs {:#x} rflags {:#x} rsp {:#x}",
        frame.vector,
        frame.error,
        frame.cr2,
        frame.rip,
        frame.cs,
        frame.rflags,
        frame.rsp
    );
    crate::log!(
        "rax {:#x} rbx {:#x} rcx {:#x} rdx {:#x} rsi {:#x} rdi {:#x} rbp {:#x} r8 {:#x} r9 {:#x} r10 {:#x} r11 {:#x} r12 {:#x} r13 {:#x} r14 {:#x} r15 {:#x} {}",
        frame.rax,
        frame.rbx,
        frame.rcx,
        frame.rdx,
        frame.rsi,
        frame.rdi,
        frame.rbp,
        frame.r8,
        frame.r9,
        frame.r10,
        frame.r11,
        frame.r12,
        frame.r13,
        frame.r14,
        frame.r15,
        if cpu::deprivileged() { "(deprivileged mode)" } else { "(ring 0 mode)" }
    );
}
