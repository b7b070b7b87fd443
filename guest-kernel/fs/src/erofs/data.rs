//! The bytes of a file, where they lie in the image.

use super::inode::Layout;
use super::superblock::le32;
use super::{DiskInode, Erofs};
use ampoule_kbase::{Errno, Result};

/// A run of a file's bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Extent<'a> {
    /// These, which start at this offset of the image.
    Data(&'a [u8], u64),
    /// So many zeros.
    Hole(u64),
}

/// No block: a hole.
const NULL_BLOCK: u32 = u32::MAX;

impl Erofs {
    /// The longest run of bytes from `offset` on that lie together; an empty hole at or after the end.
    pub fn extent(&self, inode: &DiskInode, offset: u64) -> Result<Extent<'_>> {
        let Some(left) = inode.size.checked_sub(offset).filter(|left| *left > 0) else {
            return Ok(Extent::Hole(0));
        };
        match inode.layout {
            Layout::Plain => self.data((u64::from(inode.block) << self.block_bits).checked_add(offset), left),
            Layout::Inline => self.inline(inode, offset, left),
            Layout::Chunks { bits, entry_size } => self.chunk(inode, offset, left, bits, entry_size),
        }
    }

    fn data(&self, start: Option<u64>, length: u64) -> Result<Extent<'_>> {
        let start = start.ok_or(Errno::EIO)?;
        Ok(Extent::Data(self.image.bytes(start, length)?, start))
    }

    fn inline(&self, inode: &DiskInode, offset: u64, left: u64) -> Result<Extent<'_>> {
        let tail = (inode.size - 1) >> self.block_bits << self.block_bits;
        match offset.checked_sub(tail) {
            Some(into_tail) => self.data(inode.behind.checked_add(into_tail), left),
            None => self.data((u64::from(inode.block) << self.block_bits).checked_add(offset), tail - offset),
        }
    }

    fn chunk(
        &self,
        inode: &DiskInode,
        offset: u64,
        left: u64,
        bits: u8,
        entry_size: u64,
    ) -> Result<Extent<'_>> {
        let index = offset >> bits;
        let within = offset - (index << bits);
        let length = left.min((1 << bits) - within);
        let map = inode.behind.next_multiple_of(entry_size);
        let at = index.checked_mul(entry_size).and_then(|at| at.checked_add(map)).ok_or(Errno::EIO)?;
        let block = if entry_size == 8 {
            let entry = self.image.array::<8>(at)?;
            if entry[2] != 0 || entry[3] != 0 {
                // On another device.
                return Err(Errno::EIO);
            }
            le32(&entry, 4)
        } else {
            le32(&self.image.array::<4>(at)?, 0)
        };
        if block == NULL_BLOCK {
            return Ok(Extent::Hole(length));
        }
        self.data((u64::from(block) << self.block_bits).checked_add(within), length)
    }

    /// The target of a symbolic link, of at most 4095 bytes.
    pub fn link_target(&self, inode: &DiskInode) -> Result<&[u8]> {
        match self.extent(inode, 0)? {
            Extent::Data(bytes, _) if bytes.len() as u64 == inode.size && bytes.len() < 4096 => Ok(bytes),
            _ => Err(Errno::EIO),
        }
    }
}
