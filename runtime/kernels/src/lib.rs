//! Stock Linux kernels for ampoule's guests: what turns a file or a package into a kernel that the VMM can load, with the
//! modules that it needs until the root is mounted, and where such kernels are kept.
//!
//! - [`Extracted`]: the ELF kernel of a file, which may be a compressed `vmlinuz` ([`extract`]).
//! - [`Package`]: a kernel and its modules, from a Debian package or from files of an installation.
//! - [`initramfs`]: the modules as an archive that the guest's first program loads.
//! - [`Store`]: kernels under names.
//! - [`build`]: a minimal kernel from the source of Linux.
//!
//! Every input is hostile: what it says of itself is checked, and it is decompressed up to a limit.
#![forbid(unsafe_code)]

mod ar;
pub mod build;
mod bzimage;
mod decompress;
mod elf;
mod error;
pub mod initramfs;
mod module;
mod package;
mod store;

pub use bzimage::{Extracted, extract, is_own};
pub use error::Error;
pub use package::Package;
pub use store::{Description, Name, Store, Stored};

/// Largest kernel, uncompressed, in bytes.
pub const MAX_KERNEL: u64 = 512 << 20;
/// Largest module, uncompressed, in bytes.
pub const MAX_MODULE: u64 = 64 << 20;
/// Most bytes of all modules that a guest loads before its root is there.
pub const MAX_MODULES: u64 = 256 << 20;
