//! The frame that a signal handler runs on, as `rt_sigframe` of the x86-64 ABI: return address, `ucontext_t`, `siginfo_t`,
//! and the extended state above them.

use super::{Action, AlternateStack, SignalInfo, SignalSet, UNBLOCKABLE};
use crate::arch::context::{self, ExtendedState};
use crate::arch::trap::{TrapFrame, USER_CS, USER_SS};
use crate::mm::{USER_END, user};
use ampoule_kbase::{Errno, Result};

const SA_ONSTACK: u64 = 0x0800_0000;
const SA_RESTORER: u64 = 0x0400_0000;
const RED_ZONE: u64 = 128;
const SS_AUTODISARM: u32 = 1 << 31;
/// `uc_flags`: the extended state is there, the SS is valid.
const UC_FLAGS: u64 = 1 | 2 | 4;
const UCONTEXT_SIZE: usize = 304;
const SIGINFO_SIZE: usize = 128;
const FRAME_SIZE: u64 = (8 + UCONTEXT_SIZE + SIGINFO_SIZE) as u64;
/// `struct _fpx_sw_bytes` in the FXSAVE area, and the word behind the extended state that confirms it.
const SW_BYTES: usize = 464;
const MAGIC1: u32 = 0x4650_5853;
const MAGIC2: u32 = 0x4650_5845;
const TF: u64 = 0x100;
const DF: u64 = 0x400;
/// Flags that a handler may change in the program's context.
const USER_FLAGS: u64 = 0x4_0dd5 | TF;

/// Builds the frame on the program's stack and points its registers at the handler.
pub fn push(
    frame: &mut TrapFrame,
    info: &SignalInfo,
    action: &Action,
    mask: SignalSet,
    alternate: AlternateStack,
) -> Result<()> {
    if action.flags & SA_RESTORER == 0 {
        return Err(Errno::EFAULT);
    }
    let top = if action.flags & SA_ONSTACK != 0 && alternate.size > 0 && !alternate.holds(frame.rsp) {
        alternate.base + alternate.size
    } else {
        frame.rsp.checked_sub(RED_ZONE).ok_or(Errno::EFAULT)?
    };
    let state = push_extended(frame, top)?;
    // The handler starts as a function does: RSP + 8 is a multiple of 16.
    let base = (state.checked_sub(FRAME_SIZE).ok_or(Errno::EFAULT)? & !15) - 8;
    let mut bytes = [0u8; FRAME_SIZE as usize];
    bytes[0..8].copy_from_slice(&action.restorer.to_le_bytes());
    let context = Context { frame, info, mask, alternate, state };
    context.write(&mut bytes[8..8 + UCONTEXT_SIZE]);
    bytes[8 + UCONTEXT_SIZE..].copy_from_slice(&info.to_bytes());
    user::write_bytes(base, &bytes)?;
    if alternate.flags & SS_AUTODISARM != 0 {
        crate::task::current().signals.lock().alternate = AlternateStack::default();
    }
    frame.rsp = base;
    frame.rip = action.handler;
    frame.rdi = u64::from(info.signo);
    frame.rsi = base + 8 + UCONTEXT_SIZE as u64;
    frame.rdx = base + 8;
    frame.rax = 0;
    frame.rflags &= !(TF | DF);
    Ok(())
}

/// Writes the extended state below `top`, 64-byte aligned; its address.
fn push_extended(frame: &TrapFrame, top: u64) -> Result<u64> {
    let size = context::xsave_size();
    let at = top.checked_sub(size as u64 + 4).ok_or(Errno::EFAULT)? & !63;
    let mut state = ExtendedState::zeroed();
    // SAFETY: the box is aligned and large enough.
    unsafe { context::save_extended(&mut *state) };
    for (i, register) in frame.xmm.iter().enumerate() {
        state.0[160 + i * 16..176 + i * 16].copy_from_slice(&register.to_le_bytes());
    }
    // The low halves were saved from the frame: SSE state is in use, whatever XSAVE thought of the registers.
    state.0[512] |= 2;
    state.0[SW_BYTES..SW_BYTES + 4].copy_from_slice(&MAGIC1.to_le_bytes());
    state.0[SW_BYTES + 4..SW_BYTES + 8].copy_from_slice(&(size as u32 + 4).to_le_bytes());
    state.0[SW_BYTES + 8..SW_BYTES + 16].copy_from_slice(&context::xsave_features().to_le_bytes());
    state.0[SW_BYTES + 16..SW_BYTES + 20].copy_from_slice(&(size as u32).to_le_bytes());
    user::write_bytes(at, state.used())?;
    user::write(at + size as u64, MAGIC2)?;
    Ok(at)
}

struct Context<'a> {
    frame: &'a TrapFrame,
    info: &'a SignalInfo,
    mask: SignalSet,
    alternate: AlternateStack,
    state: u64,
}

/// Byte offsets in `ucontext_t`.
const UC_STACK: usize = 16;
const UC_MCONTEXT: usize = 40;
const UC_FPSTATE: usize = UC_MCONTEXT + 23 * 8;
const UC_SIGMASK: usize = 296;

impl Context<'_> {
    fn write(&self, out: &mut [u8]) {
        let mut word = |at: usize, value: u64| out[at..at + 8].copy_from_slice(&value.to_le_bytes());
        let f = self.frame;
        word(0, UC_FLAGS);
        word(UC_STACK, self.alternate.base);
        let on_stack = if self.alternate.size == 0 {
            2
        } else {
            u64::from(self.alternate.holds(f.rsp)) | u64::from(self.alternate.flags)
        };
        word(UC_STACK + 8, on_stack);
        word(UC_STACK + 16, self.alternate.size);
        let selectors = USER_CS | USER_SS << 48;
        let fault_address = if self.info.trap == 14 { self.info.fields[0] } else { 0 };
        let registers = [
            f.r8,
            f.r9,
            f.r10,
            f.r11,
            f.r12,
            f.r13,
            f.r14,
            f.r15,
            f.rdi,
            f.rsi,
            f.rbp,
            f.rbx,
            f.rdx,
            f.rax,
            f.rcx,
            f.rsp,
            f.rip,
            f.rflags,
            selectors,
            if f.is_syscall() { 0 } else { f.error },
            self.info.trap as u64,
            self.mask,
            fault_address,
        ];
        for (i, value) in registers.into_iter().enumerate() {
            word(UC_MCONTEXT + i * 8, value);
        }
        word(UC_FPSTATE, self.state);
        word(UC_SIGMASK, self.mask);
    }
}

/// `rt_sigreturn(2)`: takes the program's registers from the frame at its stack pointer. Returns what RAX becomes.
pub fn return_from_handler(frame: &mut TrapFrame) -> Result<u64> {
    let context = frame.rsp;
    let mut bytes = [0u8; UCONTEXT_SIZE];
    user::read_bytes(context, &mut bytes)?;
    let word = |at: usize| u64::from_le_bytes(core::array::from_fn(|i| bytes[at + i]));
    let register = |i: usize| word(UC_MCONTEXT + i * 8);
    let (rip, rsp) = (register(16), register(15));
    if rip >= USER_END || rsp >= 1 << 47 {
        return Err(Errno::EFAULT);
    }
    restore_extended(frame, word(UC_FPSTATE))?;
    [frame.r8, frame.r9, frame.r10, frame.r11] = [register(0), register(1), register(2), register(3)];
    [frame.r12, frame.r13, frame.r14, frame.r15] = [register(4), register(5), register(6), register(7)];
    [frame.rdi, frame.rsi, frame.rbp, frame.rbx] = [register(8), register(9), register(10), register(11)];
    [frame.rdx, frame.rax, frame.rcx] = [register(12), register(13), register(14)];
    (frame.rsp, frame.rip) = (rsp, rip);
    frame.rflags = frame.rflags & !USER_FLAGS | register(17) & USER_FLAGS;
    frame.leave_syscall();
    let this = crate::task::current();
    let mut signals = this.signals.lock();
    signals.mask = word(UC_SIGMASK) & !UNBLOCKABLE;
    let (base, flags, size) = (word(UC_STACK), word(UC_STACK + 8) as u32, word(UC_STACK + 16));
    if flags & 2 == 0 {
        signals.alternate = AlternateStack { base, size, flags: flags & SS_AUTODISARM };
    }
    drop(signals);
    super::wake_for(this);
    Ok(frame.rax)
}

fn restore_extended(frame: &mut TrapFrame, address: u64) -> Result<()> {
    let mut state = ExtendedState::zeroed();
    if address == 0 {
        context::initial_extended(&mut state);
    } else {
        let size = context::xsave_size();
        user::read_bytes(address, &mut state.0[..512])?;
        let extended = u32::from_le_bytes(core::array::from_fn(|i| state.0[SW_BYTES + i])) == MAGIC1;
        if extended && user::read::<u32>(address + size as u64)? == MAGIC2 {
            user::read_bytes(address, &mut state.0[..size])?;
        } else {
            // Only the legacy part is valid: x87 and SSE.
            state.0[512..].fill(0);
            state.0[512] = 3;
        }
        context::sanitize(&mut state);
    }
    for (i, register) in frame.xmm.iter_mut().enumerate() {
        *register = u128::from_le_bytes(core::array::from_fn(|b| state.0[160 + i * 16 + b]));
    }
    // SAFETY: the state was sanitized, in an aligned box that is large enough.
    unsafe { context::load_extended(&*state) };
    Ok(())
}
