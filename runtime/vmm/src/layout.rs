//! Where things are in the guest's physical memory.
//!
//! ```text
//! 0                 GDT, page tables, boot parameters, command line (gone once the guest is up)
//! 0x9fc00           hole, as on a PC
//! 0xe0000           ACPI tables, for Linux
//! 0x100000          RAM: the kernel, everything
//! ...
//! 0xd0000000        hole: virtio-mmio devices, one page each
//! 0xd0100000        the PV page
//! 0xfec00000        the I/O APIC, for Linux
//! 0x1_0000_0000     the rest of RAM, if there is more than 3.25 GiB
//! ...
//! next GiB          image 0; each further one at the next 2 MiB boundary
//! ```

/// The GDT: null, unused, code, data, and the TSS in two parts.
pub const GDT: u64 = 0x500;
/// Boot parameters, "the zero page", one page.
pub const BOOT_PARAMS: u64 = 0x7000;
/// The random seed, as a `setup_data` node.
pub const SETUP_DATA: u64 = 0x8000;
/// First stack, growing down. The protocol does not ask for one.
pub const BOOT_STACK: u64 = 0x8ff0;
/// Top-level page table.
pub const PML4: u64 = 0x9000;
/// Second level.
pub const PDPT: u64 = 0xa000;
/// Third level: 512 pages of 2 MiB.
pub const PD: u64 = 0xb000;
/// Command line.
pub const CMDLINE: u64 = 0x2_0000;
/// Most bytes of a command line for Linux, its NUL included (`COMMAND_LINE_SIZE`).
pub const CMDLINE_SIZE: usize = 2048;
/// End of conventional memory.
pub const LOW_RAM_END: u64 = 0x9_fc00;
/// Where the ACPI tables are: memory that the map does not list, in the range where kernels look for them.
pub const ACPI: u64 = 0xe_0000;
/// End of the room for them.
pub const ACPI_END: u64 = 0x10_0000;
/// Where kernels may be loaded from.
pub const HIGH_RAM: u64 = 0x10_0000;
/// What the first page tables map.
pub const IDENTITY_MAPPED: u64 = 1 << 30;

/// Start of the hole below 4 GiB, and the first device.
pub const MMIO_BASE: u64 = 0xd000_0000;
/// Distance of two devices.
pub const MMIO_STRIDE: u64 = 0x1000;
/// Interrupt of the first device.
pub const FIRST_IRQ: u32 = 5;
/// The PV page.
pub const PV_PAGE: u64 = 0xd010_0000;
/// The I/O APIC, one page.
pub const IO_APIC: u64 = 0xfec0_0000;
/// The local APIC, which is KVM's.
pub const LOCAL_APIC: u64 = 0xfee0_0000;
/// I/O port of the register that powers off (ACPI's sleep control register). Its status register follows.
pub const SLEEP_CONTROL: u16 = 0x600;
/// Where RAM goes on after the hole.
pub const ABOVE_4G: u64 = 1 << 32;

/// Boundary for the first image.
pub const FIRST_IMAGE_ALIGN: u64 = 1 << 30;
/// Boundary for each further image.
pub const IMAGE_ALIGN: u64 = 2 << 20;
/// Bytes of a page.
pub const PAGE: u64 = 4096;
