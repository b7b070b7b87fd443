//! Privileged services of the processor, in either privilege mode.

use core::arch::asm;
use core::sync::atomic::{AtomicBool, AtomicU64, Ordering};

static DEPRIVILEGED: AtomicBool = AtomicBool::new(false);

/// Interrupts that were acknowledged but not handled: bit n is device interrupt n, bit 32 the timer.
#[unsafe(no_mangle)]
static pending_interrupts: AtomicU64 = AtomicU64::new(0);

/// The top of the current thread's kernel stack, where the ways in start.
#[unsafe(no_mangle)]
static kernel_stack_top: AtomicU64 = AtomicU64::new(0);

/// Services of the nucleus: the numbers that `entry.s` compares R8 with.
#[derive(Clone, Copy)]
#[repr(u32)]
enum Service {
    LoadCr3 = 1,
    Halt = 2,
    WriteMsr = 3,
    InvalidatePage = 4,
    InterruptsOn = 5,
}

unsafe extern "C" {
    static mut tss: [u32; 26];
    static mut syscall_target: u64;
    fn syscall_from_user();
}

/// Whether ring 0 is the nucleus only.
#[inline]
pub fn deprivileged() -> bool {
    DEPRIVILEGED.load(Ordering::Relaxed)
}

/// Records the privilege mode and opens the way in for system calls.
pub fn start(ring: u32) {
    DEPRIVILEGED.store(ring == 3, Ordering::Relaxed);
    // SAFETY: `syscall_target` is read by SYSCALL only, and no program runs yet.
    unsafe { syscall_target = syscall_from_user as *const () as u64 };
    if !deprivileged() {
        const SFMASK: u32 = 0xc000_0084;
        write_msr(SFMASK, 0x4_4700);
    }
}

/// Asks the nucleus for a service.
fn service(number: Service, argument: u64) {
    // SAFETY: UD2 in the kernel's image with a service number in R8 returns to the next instruction, and the nucleus
    // changes no register but those named.
    unsafe { asm!("ud2", in("r8") number as u32, in("rdi") argument, options(nostack)) };
}

/// Switches the address space.
///
/// # Safety
/// `physical` is a root page table that maps the kernel as all others do.
pub unsafe fn load_page_table(physical: u64) {
    if deprivileged() {
        service(Service::LoadCr3, physical);
    } else {
        // SAFETY: the caller's promise; the kernel's own mappings stay.
        unsafe { asm!("mov cr3, {}", in(reg) physical, options(nostack)) };
    }
}

/// Forgets the cached translation of one page.
pub fn invalidate_page(address: u64) {
    if deprivileged() {
        service(Service::InvalidatePage, address);
    } else {
        // SAFETY: only drops a cache entry.
        unsafe { asm!("invlpg [{}]", in(reg) address, options(nostack)) };
    }
}

/// Writes a model-specific register.
pub fn write_msr(register: u32, value: u64) {
    let (low, high) = (value as u32, (value >> 32) as u32);
    if deprivileged() {
        // SAFETY: as in `service`; the registers are those that WRMSR takes.
        unsafe {
            asm!("ud2", in("r8") Service::WriteMsr as u32, in("ecx") register, in("eax") low, in("edx") high, options(nostack));
        }
    } else {
        // SAFETY: only this module's callers choose registers, none of which breaks memory safety.
        unsafe { asm!("wrmsr", in("ecx") register, in("eax") low, in("edx") high, options(nostack)) };
    }
}

/// Lets interrupts come: at once in deprivileged mode; in ring 0 mode they come while a program runs or when idle.
pub fn enable_interrupts() {
    if deprivileged() {
        service(Service::InterruptsOn, 0);
    }
}

/// Sleeps until an interrupt is pending.
pub fn halt() {
    if deprivileged() {
        service(Service::Halt, 0);
    } else if pending_interrupts.load(Ordering::Relaxed) == 0 {
        // SAFETY: an interrupt between the check and HLT cannot be lost: STI takes effect after HLT has begun. It pushes
        // its frame below RSP, so the compiler must keep the red zone free here (no `nostack`).
        unsafe { asm!("sti", "hlt", "cli") };
    }
}

/// Takes the set of pending interrupts.
#[inline]
pub fn take_pending_interrupts() -> u64 {
    if pending_interrupts.load(Ordering::Relaxed) == 0 {
        return 0;
    }
    pending_interrupts.swap(0, Ordering::Relaxed)
}

/// Makes `top` the stack on which the kernel is entered.
pub fn set_kernel_stack(top: u64) {
    kernel_stack_top.store(top, Ordering::Relaxed);
    // SAFETY: RSP0 is bytes 4 to 12 of the TSS, which the processor reads when a program traps.
    unsafe { core::ptr::write_unaligned((&raw mut tss).cast::<u8>().add(4).cast::<u64>(), top) };
}

/// The time-stamp counter.
#[inline]
pub fn read_tsc() -> u64 {
    // SAFETY: RDTSC has no side effects, and no host disables it.
    unsafe { core::arch::x86_64::_rdtsc() }
}
