//! Inode numbers and status of files that no directory holds.

use ampoule_kbase::{FileType, Stat, platform};
use core::sync::atomic::{AtomicU64, Ordering};

/// The unnamed devices that such files live on (`st_dev`).
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u64)]
pub enum Device {
    /// Sockets.
    Sockets = 8,
    /// Pipes.
    Pipes = 13,
    /// eventfd and its kin.
    Anonymous = 14,
}

/// A number that no other nameless file has.
pub fn next_ino() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(1000);
    NEXT.fetch_add(1, Ordering::Relaxed)
}

/// The status of a nameless file owned by whoever calls.
pub fn stat(device: Device, ino: u64, file_type: Option<FileType>, permissions: u32) -> Stat {
    let caller = platform().caller();
    let now = platform().realtime_ns() as i64;
    Stat {
        dev: device as u64,
        ino,
        mode: file_type.map_or(0, |t| t as u32) | permissions,
        nlink: 1,
        uid: caller.fsuid,
        gid: caller.fsgid,
        blksize: 4096,
        atime_ns: now,
        mtime_ns: now,
        ctime_ns: now,
        ..Stat::default()
    }
}

/// `st_dev` of `/dev/pts`.
pub const DEVPTS: u64 = 24;
