//! Loads a guest as the Linux x86 64-bit boot protocol says.
//!
//! Source: Documentation/arch/x86/boot.rst and zero-page.rst of Linux.

mod acpi;
mod cmdline;
mod initrd;
mod kernel;
mod params;
mod state;

pub use cmdline::Cmdline;
pub use initrd::Initrd;
pub use kernel::Kernel;
#[cfg(feature = "fuzzing")]
pub use kernel::Segment;
pub use state::{initial_regs, initial_sregs, write_tables};

use crate::error::Error;
use crate::memory::{Images, Ram};

/// What Linux finds in memory beyond what every kernel does.
#[derive(Clone, Copy, Debug)]
pub struct LinuxData {
    /// Its initramfs.
    pub initrd: Initrd,
    /// Address of the first ACPI table.
    pub acpi: u64,
}

impl LinuxData {
    /// Writes the ACPI tables of a machine with this many devices.
    pub fn write(ram: &Ram, devices: usize, initrd: Initrd) -> Result<Self, Error> {
        Ok(Self { initrd, acpi: acpi::write(ram, devices)? })
    }
}

/// Writes all that the kernel finds in memory when it starts, besides itself.
pub fn write_boot_data(
    ram: &Ram,
    images: &Images,
    cmdline: &Cmdline,
    linux: Option<LinuxData>,
) -> Result<(), Error> {
    write_tables(ram)?;
    cmdline.write(ram)?;
    params::write(ram, images, cmdline, linux)
}
