//! The vCPU's state at the kernel's entry: long mode, ring 0, the first GiB identity-mapped.

use crate::error::Error;
use crate::layout::{BOOT_PARAMS, BOOT_STACK, GDT, PD, PDPT, PML4};
use crate::memory::Ram;
use kvm_bindings::{kvm_dtable, kvm_regs, kvm_segment, kvm_sregs};
use vm_memory::{Bytes, GuestAddress};

const CODE_SELECTOR: u16 = 0x10;
const DATA_SELECTOR: u16 = 0x18;
const TSS_SELECTOR: u16 = 0x20;
/// Null, unused, 64-bit code, data, TSS.
const GDT_ENTRIES: [u64; 6] = [0, 0, 0x00af_9b00_0000_ffff, 0x00cf_9300_0000_ffff, 0x0000_8b00_0000_0067, 0];

/// Present, writable.
const TABLE: u64 = 0x3;
/// Present, writable, a large page.
const LARGE_PAGE: u64 = 0x83;
const LARGE_PAGE_SIZE: u64 = 2 << 20;

const CR0_PE: u64 = 1;
const CR0_ET: u64 = 1 << 4;
const CR0_NE: u64 = 1 << 5;
const CR0_PG: u64 = 1 << 31;
const CR4_PAE: u64 = 1 << 5;
const EFER_LME: u64 = 1 << 8;
const EFER_LMA: u64 = 1 << 10;

/// Writes page tables and GDT.
pub fn write_tables(ram: &Ram) -> Result<(), Error> {
    let memory = ram.memory();
    memory.write_obj(GDT_ENTRIES, GuestAddress(GDT))?;
    memory.write_obj(PDPT | TABLE, GuestAddress(PML4))?;
    memory.write_obj(PD | TABLE, GuestAddress(PDPT))?;
    let mut directory = [0u8; 4096];
    for (index, entry) in (0u64..).zip(directory.chunks_exact_mut(8)) {
        entry.copy_from_slice(&((index * LARGE_PAGE_SIZE) | LARGE_PAGE).to_le_bytes());
    }
    memory.write_slice(&directory, GuestAddress(PD))?;
    Ok(())
}

/// General registers at the kernel's entry.
pub fn initial_regs(entry: u64) -> kvm_regs {
    kvm_regs {
        rip: entry,
        rsi: BOOT_PARAMS,
        rsp: BOOT_STACK,
        rbp: BOOT_STACK,
        rflags: 2,
        ..Default::default()
    }
}

/// Changes the special registers from those of a reset to those at the kernel's entry.
pub fn initial_sregs(mut sregs: kvm_sregs) -> kvm_sregs {
    let data = kvm_segment { selector: DATA_SELECTOR, type_: 3, db: 1, ..flat_segment() };
    sregs.cs = kvm_segment { selector: CODE_SELECTOR, type_: 11, l: 1, ..flat_segment() };
    (sregs.ds, sregs.es, sregs.fs, sregs.gs, sregs.ss) = (data, data, data, data, data);
    sregs.tr =
        kvm_segment { selector: TSS_SELECTOR, limit: 0x67, type_: 11, present: 1, ..Default::default() };
    sregs.gdt = kvm_dtable { base: GDT, limit: size_of_val(&GDT_ENTRIES) as u16 - 1, ..Default::default() };
    sregs.idt = kvm_dtable::default();
    sregs.cr0 = CR0_PE | CR0_ET | CR0_NE | CR0_PG;
    sregs.cr3 = PML4;
    sregs.cr4 = CR4_PAE;
    sregs.efer = EFER_LME | EFER_LMA;
    sregs
}

fn flat_segment() -> kvm_segment {
    kvm_segment { limit: u32::MAX, present: 1, s: 1, g: 1, ..Default::default() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_gib_is_identity_mapped() {
        let ram = Ram::new(2 << 20).unwrap();
        write_tables(&ram).unwrap();
        let read = |address| ram.memory().read_obj::<u64>(GuestAddress(address)).unwrap();
        assert_eq!([read(PML4), read(PDPT), read(PD)], [PDPT | 3, PD | 3, 0x83]);
        assert_eq!([read(PD + 511 * 8), read(PD + 512 * 8)], [0x3fe0_0083, 0]);
    }

    #[test]
    fn segments_agree_with_the_gdt() {
        let sregs = initial_sregs(kvm_sregs::default());
        let access = |segment: kvm_segment| {
            u64::from(segment.type_ | segment.s << 4 | segment.dpl << 5 | segment.present << 7) << 40
                | u64::from(segment.l << 1 | segment.db << 2 | segment.g << 3) << 52
        };
        for segment in [sregs.cs, sregs.ds, sregs.tr] {
            let descriptor = GDT_ENTRIES[usize::from(segment.selector / 8)];
            assert_eq!(access(segment), descriptor & 0x00f0_ff00_0000_0000, "{segment:?}");
        }
    }
}
