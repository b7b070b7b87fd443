//! Inodes: compact (32 bytes) and extended (64 bytes).

use super::Erofs;
use super::superblock::{le16, le32, le64, time_ns};
use ampoule_kbase::{Errno, FileType, Result};

/// Where a file's data is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Layout {
    /// In consecutive blocks.
    Plain,
    /// In consecutive blocks, but what would be in the last one is behind the inode.
    Inline,
    /// In chunks of `1 << bits` bytes; behind the inode is a map with entries of `entry_size` bytes.
    Chunks { bits: u8, entry_size: u64 },
}

/// An inode as the image has it.
#[derive(Clone, Copy, Debug)]
pub struct DiskInode {
    /// Type (a valid one) and permissions.
    pub mode: u32,
    /// Owner.
    pub uid: u32,
    /// Group.
    pub gid: u32,
    /// Names.
    pub nlink: u32,
    /// Bytes.
    pub size: u64,
    /// Modification time, nanoseconds since 1970.
    pub mtime_ns: i64,
    /// The device number, of devices.
    pub rdev: u64,
    pub(super) layout: Layout,
    /// The first block, for flat layouts.
    pub(super) block: u32,
    /// Byte offset of what follows the inode and its extended attributes.
    pub(super) behind: u64,
}

/// Size of the extended attributes behind an inode.
fn xattr_size(count: u16) -> u64 {
    if count == 0 { 0 } else { 12 + (u64::from(count) - 1) * 4 }
}

impl Erofs {
    /// Reads inode `nid`.
    pub fn inode(&self, nid: u64) -> Result<DiskInode> {
        let offset = nid.checked_mul(32).and_then(|at| at.checked_add(self.meta)).ok_or(Errno::EIO)?;
        let head = self.image.array::<32>(offset)?;
        let format = le16(&head, 0);
        let extended = format & 1 != 0;
        let union = le32(&head, 16);
        let mode = u32::from(le16(&head, 4));
        let file_type = FileType::from_mode(mode).ok_or(Errno::EIO)?;
        let behind = offset + if extended { 64 } else { 32 } + xattr_size(le16(&head, 2));
        let layout = self.layout(format, union)?;
        let mut inode = DiskInode {
            mode,
            uid: u32::from(le16(&head, 24)),
            gid: u32::from(le16(&head, 26)),
            nlink: u32::from(le16(&head, 6)),
            size: u64::from(le32(&head, 8)),
            mtime_ns: self.build_time_ns,
            rdev: 0,
            layout,
            block: union,
            behind,
        };
        if extended {
            let raw = self.image.array::<64>(offset)?;
            inode.uid = le32(&raw, 24);
            inode.gid = le32(&raw, 28);
            inode.nlink = le32(&raw, 44);
            inode.size = le64(&raw, 8);
            inode.mtime_ns = time_ns(le64(&raw, 32), le32(&raw, 40));
        }
        if matches!(file_type, FileType::CharDevice | FileType::BlockDevice) {
            inode.rdev = u64::from(union);
        }
        // Offsets in files are signed in the system calls.
        if inode.size > i64::MAX as u64 { Err(Errno::EIO) } else { Ok(inode) }
    }

    fn layout(&self, format: u16, union: u32) -> Result<Layout> {
        match format >> 1 & 7 {
            0 => Ok(Layout::Plain),
            2 => Ok(Layout::Inline),
            4 => {
                let bits = self.block_bits + (union & 0x1f) as u8;
                Ok(Layout::Chunks { bits, entry_size: if union & 0x20 != 0 { 8 } else { 4 } })
            }
            _ => Err(Errno::EIO),
        }
    }
}
