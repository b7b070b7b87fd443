//! Reads EROFS images that are mapped in memory (the format: `Documentation/filesystems/erofs.rst` of Linux and its
//! `erofs_fs.h`). Uncompressed layouts only: plain, with an inlined tail, and in chunks.
//!
//! ```text
//!   0      1024         meta_blkaddr << block bits
//!   | ...  | superblock | ... | inode (32 or 64 bytes) | xattrs | inlined tail or chunk map | ...
//!                               ^ meta + nid * 32
//! ```
//!
//! An image is hostile: each access is checked against its end, and each loop is bounded by a size in it that was. What is
//! wrong gives `EIO`; nothing is remembered between calls, so there is nothing to confuse.

mod data;
mod directory;
mod image;
mod inode;
mod superblock;
#[cfg(test)]
mod tests;

pub use data::Extent;
pub use directory::RawEntry;
pub use image::Image;
pub use inode::DiskInode;
pub use superblock::Erofs;
