//! `/dev`, `/dev/pts` and `/sys`: tables that a volume makes writable, and the memory devices.

mod memory;
mod tables;
#[cfg(test)]
mod tests;

pub use memory::{Memory, MemoryDevice};

use crate::special::{SpecialFile, special};
use crate::vfs::{FileSystem, Kind, NewNode};
use crate::volume::{Limits, Personality, Volume};
use alloc::format;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, File, Once, Result};

/// A device number as `makedev(3)` makes it.
pub const fn device_number(major: u32, minor: u32) -> u64 {
    let (major, minor) = (major as u64, minor as u64);
    minor & 0xff | (major & 0xfff) << 8 | (minor & 0xffff_ff00) << 12 | (major & 0xffff_f000) << 32
}

/// The major and minor number of a device.
pub const fn split_device_number(device: u64) -> (u32, u32) {
    let major = device >> 8 & 0xfff | device >> 32 & 0xffff_f000;
    let minor = device & 0xff | device >> 12 & 0xffff_ff00;
    (major as u32, minor as u32)
}

/// Opens a character device: memory devices here, all others are the kernel's.
pub(crate) fn open(device: u64, flags: u32, place: &Arc<dyn File>) -> Result<SpecialFile> {
    match MemoryDevice::from_number(device) {
        Some(kind) => Ok(SpecialFile::from(Memory::open(kind, place.clone()))),
        None => special()?.open_char_device(device, flags, place),
    }
}

/// Limits of file systems that hold no data to speak of.
const SMALL: Limits = Limits { bytes: 1 << 20, inodes: 1 << 14, ..Limits::NONE };

fn shared(cell: &'static Once<Arc<Volume>>, make: impl FnOnce() -> Result<Arc<Volume>>) -> Arc<Volume> {
    if cell.get().is_none() {
        // A table can be made a volume at any time: there is nothing in it that could be wrong.
        cell.set(make().unwrap_or_else(|_| Volume::tmpfs(SMALL)));
    }
    cell.get().map_or_else(|| Volume::tmpfs(SMALL), Arc::clone)
}

/// The file system of `/dev`; there is one.
pub fn devfs() -> Arc<Volume> {
    static CELL: Once<Arc<Volume>> = Once::new();
    shared(&CELL, || Volume::over_table(&tables::DEV, Personality::DEVTMPFS, SMALL))
}

/// The file system of `/dev/pts`; there is one.
pub fn devpts() -> Arc<Volume> {
    static CELL: Once<Arc<Volume>> = Once::new();
    shared(&CELL, || Volume::over_table(&tables::PTS, Personality::DEVPTS, SMALL))
}

/// The file system of `/sys`; there is one.
pub fn sysfs() -> Arc<Volume> {
    static CELL: Once<Arc<Volume>> = Once::new();
    shared(&CELL, || Volume::over_table(&tables::SYS, Personality::SYSFS, Limits::NONE))
}

/// Shows the slave of a pseudo-terminal as `/dev/pts/N`.
pub fn add_pts(number: u32, uid: u32, gid: u32, permissions: u32) -> Result<()> {
    let device = device_number(136 + number / 256, number % 256);
    let node = NewNode { kind: Kind::CharDevice(device), permissions, uid, gid };
    devpts().root().create(format!("{number}").as_bytes(), &node)?;
    Ok(())
}

/// Takes `/dev/pts/N` away again.
pub fn remove_pts(number: u32) {
    // Nobody else can remove it but root, who knows best.
    let _ = devpts().root().unlink(format!("{number}").as_bytes());
}

/// The number of a pseudo-terminal from that of its slave.
pub fn pts_number(device: u64) -> Result<u32> {
    match split_device_number(device) {
        (major @ 136..=143, minor @ 0..256) => Ok((major - 136) * 256 + minor),
        _ => Err(Errno::ENXIO),
    }
}
