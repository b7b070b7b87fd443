//! A tiny virtual machine that finds out how this host's KVM runs a guest.
//!
//! On hardware KVM the guest's ring 0 runs natively and `SYSCALL` enters it. On software KVM (no virtualization
//! extensions at hand) ring 0 is emulated, one instruction at a time, and `SYSCALL` stays in ring 3.
//!
//! ```text
//!  guest physical            virtual
//!  0x1000 page tables        the same (one 2 MiB page, open to ring 3)
//!  0x5000 GDT
//!  0x8000 CODE: ring 0, then ring 3 at `user`, then `entry`
//!  0xd0000000 nothing there: a store is an exit    0x200000
//! ```

use kvm_bindings::{
    CpuId, KVM_MAX_CPUID_ENTRIES, Msrs, kvm_msr_entry, kvm_segment, kvm_userspace_memory_region,
};
use kvm_ioctls::{Kvm, VcpuExit, VcpuFd, VmFd};
use std::arch::global_asm;
use std::time::{Duration, Instant};

const RAM: usize = 2 << 20;
const PML4: u64 = 0x1000;
const GDT: u64 = 0x5000;
const CODE: u64 = 0x8000;
const STACK: u64 = 0x10_0000;
/// Instructions that ring 0 executes between its two reports.
const RING0_INSTRUCTIONS: u32 = 2 * 10_000;

unsafe extern "C" {
    static ampoule_probe: u8;
    static ampoule_probe_entry: u8;
    static ampoule_probe_end: u8;
}

// Each report is a store of four bytes to 0x200000: first 1 and 2 around the loop, then CS where SYSCALL arrived.
global_asm!(
    ".pushsection .rodata",
    "ampoule_probe:",
    "mov dword ptr [0x200000], 1",
    "mov ecx, 10000",
    "2: dec ecx",
    "jnz 2b",
    "mov dword ptr [0x200000], 2",
    "push 0x2b",
    "push 0x100000",
    "push 0x2",
    "push 0x33",
    "lea rax, [rip + ampoule_probe_user]",
    "push rax",
    "iretq",
    "ampoule_probe_user:",
    "syscall",
    "ud2",
    "ampoule_probe_entry:",
    "mov eax, cs",
    "mov dword ptr [0x200000], eax",
    "3: jmp 3b",
    "ampoule_probe_end:",
    ".popsection",
);

/// What the machine said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Answer {
    /// What one instruction in ring 0 takes.
    pub ring0_instruction: Duration,
    /// The ring in which the code at LSTAR runs after `SYSCALL`.
    pub syscall_ring: u16,
    /// What creating the VM took.
    pub create: Duration,
}

impl Answer {
    /// Whether ring 0 is the processor's own.
    pub fn is_hardware(&self) -> bool {
        self.syscall_ring == 0
    }
}

/// Runs the machine.
pub fn run(kvm: &Kvm) -> Result<Answer, String> {
    let started = Instant::now();
    let mut ram = Ram::new()?;
    let vm = kvm.create_vm().map_err(|error| format!("KVM_CREATE_VM: {error}"))?;
    let mut vcpu = create(kvm, &vm, &mut ram)?;
    let create = started.elapsed();
    expect(report(&mut vcpu)?, 1)?;
    let looping = Instant::now();
    expect(report(&mut vcpu)?, 2)?;
    let ring0_instruction = looping.elapsed() / RING0_INSTRUCTIONS;
    let cs = report(&mut vcpu)?;
    // The machine uses its memory until the last of its file descriptors is closed.
    drop((vcpu, vm, ram));
    Ok(Answer { ring0_instruction, syscall_ring: (cs & 3) as u16, create })
}

fn create(kvm: &Kvm, vm: &VmFd, ram: &mut Ram) -> Result<VcpuFd, String> {
    let entry = ram.fill();
    let region = kvm_userspace_memory_region {
        memory_size: RAM as u64,
        userspace_addr: ram.0.as_ptr() as u64,
        ..Default::default()
    };
    // SAFETY: the region is the mapping in `ram`, which outlives the VM: `run` drops it last.
    unsafe { vm.set_user_memory_region(region) }
        .map_err(|error| format!("KVM_SET_USER_MEMORY_REGION: {error}"))?;
    let vcpu = vm.create_vcpu(0).map_err(|error| format!("KVM_CREATE_VCPU: {error}"))?;
    let cpuid: CpuId = kvm
        .get_supported_cpuid(KVM_MAX_CPUID_ENTRIES)
        .map_err(|error| format!("KVM_GET_SUPPORTED_CPUID: {error}"))?;
    vcpu.set_cpuid2(&cpuid).map_err(|error| format!("KVM_SET_CPUID2: {error}"))?;
    set_registers(&vcpu, entry).map_err(|error| format!("cannot set the registers: {error}"))?;
    Ok(vcpu)
}

fn set_registers(vcpu: &VcpuFd, entry: u64) -> Result<(), kvm_ioctls::Error> {
    let mut sregs = vcpu.get_sregs()?;
    sregs.cr3 = PML4;
    sregs.cr4 = 0x20; // PAE
    sregs.cr0 = 0x8005_0033; // PG AM WP NE ET MP PE
    sregs.efer = 0xd01; // NXE LMA LME SCE
    let flat = kvm_segment { limit: u32::MAX, present: 1, s: 1, g: 1, ..Default::default() };
    sregs.cs = kvm_segment { selector: 0x10, type_: 11, l: 1, ..flat };
    let data = kvm_segment { selector: 0x18, type_: 3, db: 1, ..flat };
    (sregs.ds, sregs.es, sregs.ss) = (data, data, data);
    (sregs.gdt.base, sregs.gdt.limit) = (GDT, 0x3f);
    vcpu.set_sregs(&sregs)?;
    let msr = |index, data| kvm_msr_entry { index, data, ..Default::default() };
    let star = msr(0xc000_0081, 0x0023_0010 << 32);
    let msrs = Msrs::from_entries(&[star, msr(0xc000_0082, entry), msr(0xc000_0084, 0)]);
    if let Ok(msrs) = msrs {
        vcpu.set_msrs(&msrs)?;
    }
    let mut regs = vcpu.get_regs()?;
    (regs.rip, regs.rflags, regs.rsp) = (CODE, 2, STACK);
    vcpu.set_regs(&regs)
}

/// Runs to the next report.
fn report(vcpu: &mut VcpuFd) -> Result<u32, String> {
    loop {
        match vcpu.run() {
            Ok(VcpuExit::MmioWrite(0xd000_0000, &[a, b, c, d])) => {
                return Ok(u32::from_le_bytes([a, b, c, d]));
            }
            Ok(other) => return Err(format!("the probe's machine stopped: {other:?}")),
            Err(error) if error.errno() == rustix::io::Errno::INTR.raw_os_error() => {}
            Err(error) => return Err(format!("KVM_RUN: {error}")),
        }
    }
}

fn expect(found: u32, wanted: u32) -> Result<(), String> {
    match found == wanted {
        true => Ok(()),
        false => Err(format!("the probe's machine reported {found} in the place of {wanted}")),
    }
}

/// The machine's memory: one huge page's worth, page-aligned.
struct Ram(&'static mut [u8]);

impl Ram {
    fn new() -> Result<Self, String> {
        use rustix::mm::{MapFlags, ProtFlags, mmap_anonymous};
        let protection = ProtFlags::READ | ProtFlags::WRITE;
        // SAFETY: a new private mapping, at an address that the kernel chooses.
        let start = unsafe { mmap_anonymous(std::ptr::null_mut(), RAM, protection, MapFlags::PRIVATE) }
            .map_err(|error| format!("mmap: {error}"))?;
        // SAFETY: the mapping has RAM bytes, zeroed, and nothing else points to it until `drop` unmaps it.
        Ok(Self(unsafe { std::slice::from_raw_parts_mut(start.cast(), RAM) }))
    }

    /// Writes page tables, GDT and code. Gives the address of `entry`.
    fn fill(&mut self) -> u64 {
        const TABLE: u64 = 7; // present, writable, open to ring 3
        const PAGE_2M: u64 = 0x87;
        self.put(PML4, 0x2000 | TABLE);
        self.put(0x2000, 0x3000 | TABLE);
        self.put(0x3000, PAGE_2M);
        self.put(0x3008, 0xd000_0000 | PAGE_2M | 0x18); // uncached
        let descriptors = [
            (0x10, 0x00af_9b00_0000_ffff), // ring 0: 64-bit code, data
            (0x18, 0x00cf_9300_0000_ffff),
            (0x28, 0x00cf_f300_0000_ffff), // ring 3: data, 64-bit code
            (0x30, 0x00af_fb00_0000_ffff),
        ];
        for (selector, descriptor) in descriptors {
            self.put(GDT + selector, descriptor);
        }
        // SAFETY: the symbols bound the block of code above, which is read-only data of this program.
        let (code, entry) = unsafe {
            let start = &raw const ampoule_probe;
            let len = (&raw const ampoule_probe_end).offset_from_unsigned(start);
            let entry = (&raw const ampoule_probe_entry).offset_from_unsigned(start);
            (std::slice::from_raw_parts(start, len), entry)
        };
        let at = CODE as usize;
        self.0[at..at + code.len()].copy_from_slice(code);
        CODE + entry as u64
    }

    fn put(&mut self, at: u64, value: u64) {
        let at = at as usize;
        self.0[at..at + 8].copy_from_slice(&value.to_le_bytes());
    }
}

impl Drop for Ram {
    fn drop(&mut self) {
        // SAFETY: the mapping from `new`; the slice is not used after this.
        let _ = unsafe { rustix::mm::munmap(self.0.as_mut_ptr().cast(), RAM) };
    }
}
