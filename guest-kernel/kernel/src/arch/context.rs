//! Switching between threads: stacks, extended processor state, and the FS and GS bases of programs.

use alloc::boxed::Box;
use core::arch::asm;
use core::sync::atomic::{AtomicU32, Ordering};

/// Room for x87, SSE, AVX and AVX-512 state in the standard (non-compacted) format: Intel SDM vol. 1, 13.4.
pub const XSAVE_ROOM: usize = 2752;

static XSAVE_SIZE: AtomicU32 = AtomicU32::new(0);

unsafe extern "C" {
    fn switch_stacks(save: *mut u64, load: u64);
    fn thread_start();
}

/// The extended state of a thread that does not run.
#[repr(C, align(64))]
pub struct ExtendedState(pub [u8; XSAVE_ROOM]);

impl ExtendedState {
    /// All zero, on the heap: it is too large for a kernel stack.
    pub fn zeroed() -> Box<Self> {
        // SAFETY: all zero bytes are a valid array.
        unsafe { Box::new_zeroed().assume_init() }
    }

    /// The bytes that the enabled features use: what signal frames carry.
    pub fn used(&self) -> &[u8] {
        &self.0[..xsave_size()]
    }
}

/// Bytes of XSAVE's area for the enabled features.
pub fn xsave_size() -> usize {
    XSAVE_SIZE.load(Ordering::Relaxed) as usize
}

/// The enabled features: XCR0.
pub fn xsave_features() -> u64 {
    let (low, high): (u32, u32);
    // SAFETY: XGETBV of register 0 is allowed in any ring once CR4.OSXSAVE is set, which start-up does.
    unsafe { asm!("xgetbv", in("ecx") 0, out("eax") low, out("edx") high, options(nomem, nostack)) };
    u64::from(high) << 32 | u64::from(low)
}

/// Measures the state.
///
/// # Panics
/// If it does not fit: start-up enables only features up to AVX-512.
pub fn start() {
    let size = core::arch::x86_64::__cpuid_count(0xd, 0).ebx;
    assert!(size as usize <= XSAVE_ROOM, "extended state of {size} bytes");
    XSAVE_SIZE.store(size, Ordering::Relaxed);
}

/// Writes the registers' extended state to `area`.
///
/// # Safety
/// `area` is 64-byte aligned and has [`XSAVE_ROOM`] bytes.
pub unsafe fn save_extended(area: *mut ExtendedState) {
    // SAFETY: the caller's promise.
    unsafe { asm!("xsave64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack)) };
}

/// Loads extended state; `false` if it is not valid (the registers are then in their initial state).
///
/// # Safety
/// `area` is 64-byte aligned and has [`XSAVE_ROOM`] bytes, whose header was checked with [`sanitize`].
pub unsafe fn load_extended(area: *const ExtendedState) {
    // SAFETY: the caller's promise.
    unsafe {
        asm!("xrstor64 [{}]", in(reg) area, in("eax") u32::MAX, in("edx") u32::MAX, options(nostack),
            out("xmm0") _, out("xmm1") _, out("xmm2") _, out("xmm3") _, out("xmm4") _, out("xmm5") _, out("xmm6") _,
            out("xmm7") _, out("xmm8") _, out("xmm9") _, out("xmm10") _, out("xmm11") _, out("xmm12") _,
            out("xmm13") _, out("xmm14") _, out("xmm15") _);
    }
}

/// Makes state that a program wrote safe for XRSTOR: reserved bits of MXCSR and of the header are cleared.
pub fn sanitize(state: &mut ExtendedState) {
    const MXCSR: usize = 24;
    const HEADER: usize = 512;
    let mxcsr =
        u32::from_le_bytes([state.0[MXCSR], state.0[MXCSR + 1], state.0[MXCSR + 2], state.0[MXCSR + 3]])
            & 0xffff;
    state.0[MXCSR..MXCSR + 4].copy_from_slice(&mxcsr.to_le_bytes());
    let mut features = [0; 8];
    features.copy_from_slice(&state.0[HEADER..HEADER + 8]);
    let features = u64::from_le_bytes(features) & xsave_features();
    state.0[HEADER..HEADER + 8].copy_from_slice(&features.to_le_bytes());
    state.0[HEADER + 8..HEADER + 64].fill(0);
}

/// The state that a program starts with: x87 control word 0x37f, MXCSR 0x1f80, all else in its initial state.
pub fn initial_extended(state: &mut ExtendedState) {
    state.0.fill(0);
    state.0[0..2].copy_from_slice(&0x37fu16.to_le_bytes());
    state.0[24..28].copy_from_slice(&0x1f80u32.to_le_bytes());
}

/// The FS base (thread pointer) of the program.
pub fn fs_base() -> u64 {
    let base;
    // SAFETY: CR4.FSGSBASE is set; the kernel itself uses neither base.
    unsafe { asm!("rdfsbase {}", out(reg) base, options(nomem, nostack)) };
    base
}

/// Sets the FS base; `base` must be canonical.
pub fn set_fs_base(base: u64) {
    // SAFETY: as in `fs_base`; callers check that the address is in user space.
    unsafe { asm!("wrfsbase {}", in(reg) base, options(nomem, nostack)) };
}

/// The GS base of the program.
pub fn gs_base() -> u64 {
    let base;
    // SAFETY: as in `fs_base`.
    unsafe { asm!("rdgsbase {}", out(reg) base, options(nomem, nostack)) };
    base
}

/// Sets the GS base; `base` must be canonical.
pub fn set_gs_base(base: u64) {
    // SAFETY: as in `set_fs_base`.
    unsafe { asm!("wrgsbase {}", in(reg) base, options(nomem, nostack)) };
}

/// Leaves the current stack, noting where in `save`, and goes on with another that was left the same way.
///
/// # Safety
/// `load` was noted by this function or made by [`prepare_stack`], and its stack is not in use.
pub unsafe fn switch(save: *mut u64, load: u64) {
    // SAFETY: the caller's promise; the assembler keeps the callee-saved registers.
    unsafe { switch_stacks(save, load) };
}

/// Lays out a new thread's stack below its trap frame at `frame_address`, such that switching to it runs
/// `task::first_run` and then leaves for the program. Returns what [`switch`] takes.
///
/// # Safety
/// The memory below `frame_address` is a stack that nobody uses.
pub unsafe fn prepare_stack(frame_address: u64) -> u64 {
    // Six callee-saved registers and the return address. The ABI wants RSP + 8 a multiple of 16 at a function's entry;
    // `thread_start` makes a call itself, so RSP must be a multiple of 16 when it begins.
    let stack = (frame_address - 72) as *mut u64;
    // SAFETY: the caller's promise.
    unsafe {
        stack.write_bytes(0, 9);
        stack.add(6).write(thread_start as *const () as u64);
    }
    stack as u64
}
