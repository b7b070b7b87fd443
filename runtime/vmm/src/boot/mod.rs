//! Loads a guest as the Linux x86 64-bit boot protocol says.
//!
//! Source: Documentation/arch/x86/boot.rst and zero-page.rst of Linux.

mod cmdline;
mod kernel;
mod params;
mod state;

pub use cmdline::Cmdline;
pub use kernel::Kernel;
pub use state::{initial_regs, initial_sregs, write_tables};

use crate::error::Error;
use crate::memory::{Images, Ram};

/// Writes all that the kernel finds in memory when it starts, besides itself.
pub fn write_boot_data(ram: &Ram, images: &Images, cmdline: &Cmdline) -> Result<(), Error> {
    write_tables(ram)?;
    cmdline.write(ram)?;
    params::write(ram, images, cmdline)
}
