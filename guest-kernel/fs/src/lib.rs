//! File systems of the guest kernel: path resolution, mounts, the root (a memory file system on top of an EROFS image),
//! tmpfs, `/dev`, `/proc`, `/sys`, file locks.
//!
//! ```text
//!   system calls  ->  Context (root, cwd, umask)  --walk-->  Location (mount + inode)  --open-->  OpenFile
//!                                                                |
//!                          dyn Inode:   volume (tmpfs, overlay, EROFS, /dev, /sys)  |  proc
//! ```
//!
//! | module | what it is |
//! |---|---|
//! | [`vfs`] | the [`Inode`] trait, mounts, [`Context`] with the operations behind the system calls |
//! | [`erofs`] | reads an image in memory |
//! | [`volume`] | the one writable file system: tmpfs, and copy-on-write over an image or a table |
//! | [`dev`] | `/dev` and its memory devices |
//! | [`proc`] | `/proc`, on top of the kernel's [`proc::Processes`] |
//! | [`locks`] | `flock(2)` and record locks |
//! | [`special`] | what the kernel installs: FIFOs, device drivers, images |
//!
//! Nothing blocks, and no lock is held while user memory is copied or a hook of the kernel is called.
#![no_std]

extern crate alloc;
#[cfg(test)]
extern crate std;

pub mod dev;
pub mod erofs;
pub mod locks;
#[cfg(test)]
mod oracle;
pub mod proc;
pub mod special;
#[cfg(test)]
mod testing;
pub mod vfs;
pub mod volume;

pub use special::{Slot, SpecialFiles, install};
pub use vfs::{
    Attributes, Changes, Context, FileSystem, Inode, Kind, Location, Mount, NewNode, Opening, RenameMode,
    Statfs, Target, VfsFile, location,
};
pub use volume::{Limits, Volume, set_most};
