//! The superblock: where everything else is.

use super::Image;
use ampoule_kbase::{Errno, Result};

const OFFSET: u64 = 1024;
const SIZE: usize = 128;
const MAGIC: u32 = 0xE0F5_E1E2;
/// Features that change the format: compressed data is padded with zeros in front; files in chunks. The first says
/// nothing about uncompressed files.
const KNOWN_FEATURES: u32 = 0x1 | 0x4;

/// An image whose superblock makes sense.
#[derive(Debug)]
pub struct Erofs {
    pub(super) image: Image,
    /// Log2 of the block size, 9 to 16.
    pub(super) block_bits: u8,
    /// Byte offset of inode 0.
    pub(super) meta: u64,
    root: u64,
    /// The modification time of compact inodes, nanoseconds since 1970.
    pub(super) build_time_ns: i64,
    inodes: u64,
    blocks: u32,
}

/// Little-endian fields of an on-disk structure at constant offsets.
pub(super) fn le16<const N: usize>(bytes: &[u8; N], at: usize) -> u16 {
    u16::from_le_bytes([bytes[at], bytes[at + 1]])
}

pub(super) fn le32<const N: usize>(bytes: &[u8; N], at: usize) -> u32 {
    u32::from(le16(bytes, at)) | u32::from(le16(bytes, at + 2)) << 16
}

pub(super) fn le64<const N: usize>(bytes: &[u8; N], at: usize) -> u64 {
    u64::from(le32(bytes, at)) | u64::from(le32(bytes, at + 4)) << 32
}

/// Nanoseconds since 1970, as far as they can be told.
pub(super) fn time_ns(seconds: u64, nanoseconds: u32) -> i64 {
    i64::try_from(seconds).unwrap_or(0).saturating_mul(1_000_000_000).saturating_add(i64::from(nanoseconds))
}

impl Erofs {
    /// Checks the superblock and the root inode. `EINVAL`: not an EROFS image, or with features that are not read here.
    pub fn new(image: Image) -> Result<Self> {
        let raw = image.array::<SIZE>(OFFSET).map_err(|_| Errno::EINVAL)?;
        let block_bits = raw[12];
        let features = le32(&raw, 80);
        let extra_devices = le16(&raw, 86);
        let directory_block_bits = raw[90];
        let supported = le32(&raw, 0) == MAGIC
            && (9..=16).contains(&block_bits)
            && features & !KNOWN_FEATURES == 0
            && extra_devices == 0
            && directory_block_bits == 0;
        if !supported {
            return Err(Errno::EINVAL);
        }
        let erofs = Self {
            block_bits,
            meta: u64::from(le32(&raw, 40)) << block_bits,
            root: u64::from(le16(&raw, 14)),
            build_time_ns: time_ns(le64(&raw, 24), le32(&raw, 32)),
            inodes: le64(&raw, 16),
            blocks: le32(&raw, 36),
            image,
        };
        let root = erofs.inode(erofs.root).map_err(|_| Errno::EINVAL)?;
        if root.mode & 0o170_000 == 0o040_000 { Ok(erofs) } else { Err(Errno::EINVAL) }
    }

    /// The number of the root inode.
    pub fn root(&self) -> u64 {
        self.root
    }

    /// Inodes in the image, as it says itself.
    pub fn inode_count(&self) -> u64 {
        self.inodes
    }

    /// Blocks in the image, as it says itself, and their size in bytes.
    pub fn blocks(&self) -> (u64, u64) {
        (u64::from(self.blocks), self.block_size())
    }

    /// The image.
    pub fn image(&self) -> &Image {
        &self.image
    }

    /// A number that is higher than that of any inode.
    pub fn inode_limit(&self) -> u64 {
        self.image.len() / 32 + 1
    }

    pub(super) fn block_size(&self) -> u64 {
        1 << self.block_bits
    }
}
