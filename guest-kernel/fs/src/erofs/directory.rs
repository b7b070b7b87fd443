//! Directories: blocks of sorted entries, sorted among themselves.
//!
//! ```text
//!   block:  entry 0 | entry 1 | ... | name 0 | name 1 | ...     an entry: nid (8) | name offset (2) | type (1) | 0
//!           the name offset of entry 0 tells how many entries there are
//! ```

use super::inode::Layout;
use super::superblock::{le16, le64};
use super::{DiskInode, Erofs, Extent};
use ampoule_kbase::{Errno, FileType, Result};
use core::cmp::Ordering;

const ENTRY_SIZE: usize = 12;

/// One directory entry.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RawEntry<'a> {
    /// Inode number.
    pub nid: u64,
    /// The type, if the entry has a valid one.
    pub file_type: Option<FileType>,
    /// The name, which may be anything.
    pub name: &'a [u8],
}

/// One block of a directory.
struct Block<'a> {
    bytes: &'a [u8],
    count: usize,
}

impl<'a> Block<'a> {
    fn new(bytes: &'a [u8]) -> Result<Self> {
        let mut block = Self { bytes, count: 1 };
        let (_, names_start, _) = block.raw(0)?;
        block.count = names_start / ENTRY_SIZE;
        if block.count == 0 || names_start > bytes.len() { Err(Errno::EIO) } else { Ok(block) }
    }

    /// Inode, offset of the name, and type of an entry.
    fn raw(&self, index: usize) -> Result<(u64, usize, u8)> {
        let at = index.checked_mul(ENTRY_SIZE).ok_or(Errno::EIO)?;
        let raw = self.bytes.get(at..).and_then(|rest| rest.first_chunk::<ENTRY_SIZE>()).ok_or(Errno::EIO)?;
        Ok((le64(raw, 0), usize::from(le16(raw, 8)), raw[10]))
    }

    fn entry(&self, index: usize) -> Result<RawEntry<'a>> {
        let (nid, start, file_type) = self.raw(index)?;
        let name = if index + 1 < self.count {
            let (_, end, _) = self.raw(index + 1)?;
            self.bytes.get(start..end).ok_or(Errno::EIO)?
        } else {
            let rest = self.bytes.get(start..).ok_or(Errno::EIO)?;
            let end = rest.iter().position(|byte| *byte == 0).unwrap_or(rest.len());
            rest.get(..end).ok_or(Errno::EIO)?
        };
        Ok(RawEntry { nid, file_type: decode_type(file_type), name })
    }
}

fn decode_type(code: u8) -> Option<FileType> {
    Some(match code {
        1 => FileType::Regular,
        2 => FileType::Directory,
        3 => FileType::CharDevice,
        4 => FileType::BlockDevice,
        5 => FileType::Fifo,
        6 => FileType::Socket,
        7 => FileType::Symlink,
        _ => return None,
    })
}

impl Erofs {
    fn directory_block(&self, directory: &DiskInode, index: u64) -> Result<Block<'_>> {
        // Flat directories are never longer than the image, which bounds every loop over them.
        if matches!(directory.layout, Layout::Chunks { .. }) {
            return Err(Errno::EIO);
        }
        let offset = index.checked_mul(self.block_size()).ok_or(Errno::EIO)?;
        let length = self.block_size().min(directory.size.saturating_sub(offset));
        match self.extent(directory, offset)? {
            Extent::Data(bytes, _) => {
                let length = usize::try_from(length).map_err(|_| Errno::EIO)?;
                Block::new(bytes.get(..length).ok_or(Errno::EIO)?)
            }
            Extent::Hole(_) => Err(Errno::EIO),
        }
    }

    fn directory_blocks(&self, directory: &DiskInode) -> u64 {
        directory.size.div_ceil(self.block_size())
    }

    /// Finds `name` in a directory.
    pub fn lookup(&self, directory: &DiskInode, name: &[u8]) -> Result<Option<RawEntry<'_>>> {
        // The last block whose first name is not greater than `name`.
        let (mut low, mut high) = (0, self.directory_blocks(directory));
        while low < high {
            let middle = low + (high - low) / 2;
            if self.directory_block(directory, middle)?.entry(0)?.name <= name {
                low = middle + 1;
            } else {
                high = middle;
            }
        }
        let Some(block) = low.checked_sub(1) else { return Ok(None) };
        find_in_block(&self.directory_block(directory, block)?, name)
    }

    /// The entry at `position`, or the first one after it, and the position behind that; none at the end. Positions are
    /// opaque, and 0 is the start. Entries with a name that no file can have (and `.` and `..`) are left out.
    pub fn entry(&self, directory: &DiskInode, position: u64) -> Result<Option<(RawEntry<'_>, u64)>> {
        let per_block = self.block_size();
        let (mut block_index, mut index) = (position / per_block, position % per_block);
        while block_index < self.directory_blocks(directory) {
            let block = self.directory_block(directory, block_index)?;
            while index < block.count as u64 {
                let entry = block.entry(index as usize)?;
                index += 1;
                if is_file_name(entry.name) {
                    return Ok(Some((entry, block_index * per_block + index)));
                }
            }
            block_index += 1;
            index = 0;
        }
        Ok(None)
    }
}

fn find_in_block<'a>(block: &Block<'a>, name: &[u8]) -> Result<Option<RawEntry<'a>>> {
    let (mut low, mut high) = (0, block.count);
    while low < high {
        let middle = low + (high - low) / 2;
        let entry = block.entry(middle)?;
        match entry.name.cmp(name) {
            Ordering::Equal => return Ok(Some(entry)),
            Ordering::Less => low = middle + 1,
            Ordering::Greater => high = middle,
        }
    }
    Ok(None)
}

fn is_file_name(name: &[u8]) -> bool {
    (1..=255).contains(&name.len())
        && name != b"."
        && name != b".."
        && !name.contains(&b'/')
        && !name.contains(&0)
}
