//! [`Image`]: an image file that was checked, ready to be mapped or listed.

use std::fs::File;
use std::io;
use std::os::unix::fs::FileExt;

use crate::error::{Error, ImageProblem};
use crate::kernel_name::KernelName;
use crate::ondisk::{
    BLOCK, Inode, Layout, SLOT, SUPERBLOCK_LENGTH, SUPERBLOCK_OFFSET, StoredInode, Superblock,
};
use crate::options::Time;

/// Something an image can be read from.
pub trait Input {
    /// Fills `bytes` with what is at `offset`.
    ///
    /// # Errors
    /// What the medium answers; `UnexpectedEof` if there is not so much.
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()>;

    /// Its length in bytes.
    ///
    /// # Errors
    /// What the medium answers.
    fn length(&self) -> io::Result<u64>;
}

impl Input for File {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        self.read_exact_at(bytes, offset)
    }

    fn length(&self) -> io::Result<u64> {
        self.metadata().map(|metadata| metadata.len())
    }
}

impl Input for &[u8] {
    fn read_at(&self, bytes: &mut [u8], offset: u64) -> io::Result<()> {
        let start = usize::try_from(offset).ok();
        let found = start.and_then(|start| self.get(start..)?.get(..bytes.len()));
        bytes.copy_from_slice(found.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }

    fn length(&self) -> io::Result<u64> {
        Ok(self.len() as u64)
    }
}

/// An image whose superblock is sound: EROFS with 4 KiB blocks, uncompressed, on one device, all there.
///
/// What lies behind the superblock is checked as far as it is read, by [`Image::list`] and [`Image::verify`].
#[derive(Debug)]
pub struct Image<I> {
    input: I,
    /// Where the image begins in the input.
    start: u64,
    superblock: Superblock,
}

impl<I: Input> Image<I> {
    /// Checks the image that begins at the start of `input`; more may follow it there.
    ///
    /// # Errors
    /// [`Error::BadImage`] if it is none that ampoule can boot, [`Error::Input`] if it cannot be read.
    pub fn open(input: I) -> Result<Self, Error> {
        let length = input.length().map_err(Error::Input)?;
        Self::open_range(input, 0, length)
    }

    /// Checks the image in the `length` bytes of `input` from byte `start` on.
    ///
    /// # Errors
    /// Those of [`Image::open`], and a start that is no multiple of 4096.
    pub fn open_range(input: I, start: u64, length: u64) -> Result<Self, Error> {
        let available = input.length().map_err(Error::Input)?.saturating_sub(start);
        let length = length.min(available);
        if !start.is_multiple_of(BLOCK) {
            return Err(ImageProblem::Unaligned(start).into());
        }
        if length < SUPERBLOCK_OFFSET + SUPERBLOCK_LENGTH as u64 {
            return Err(ImageProblem::TooShort(length).into());
        }
        let mut block = vec![0; usize::try_from(length.min(BLOCK)).unwrap_or(0)];
        input.read_at(&mut block, start).map_err(Error::Input)?;
        let superblock = Superblock::from_block(&block)?;
        let need = u64::from(superblock.blocks) * BLOCK;
        if length < need {
            return Err(ImageProblem::Truncated { have: length, need }.into());
        }
        let image = Self { input, start, superblock };
        // The root is what a boot fails without.
        image.root().map(|_| image)
    }

    /// Length of the image in bytes, a multiple of 4096. The input may be longer.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        u64::from(self.superblock.blocks) * BLOCK
    }

    /// Number of inodes, as the superblock tells.
    #[must_use]
    pub fn inodes(&self) -> u64 {
        self.superblock.inodes
    }

    /// The UUID, as RFC 9562 writes it. For images that ampoule built it stands for the content.
    #[must_use]
    pub fn uuid(&self) -> String {
        let mut text = String::with_capacity(36);
        for (at, byte) in self.superblock.uuid.iter().enumerate() {
            if matches!(at, 4 | 6 | 8 | 10) {
                text.push('-');
            }
            text.push_str(&format!("{byte:02x}"));
        }
        text
    }

    /// The kernel that the image asks for, if it asks for one.
    #[must_use]
    pub fn kernel(&self) -> Option<KernelName> {
        self.superblock.kernel
    }

    /// What the image was read from.
    pub fn into_inner(self) -> I {
        self.input
    }

    pub(crate) fn raw_uuid(&self) -> [u8; 16] {
        self.superblock.uuid
    }

    pub(crate) fn time(&self) -> Time {
        self.superblock.time
    }

    /// The root directory.
    pub(crate) fn root(&self) -> Result<Located, Error> {
        let root = self.inode(u64::from(self.superblock.root))?;
        if root.is_directory() { Ok(root) } else { Err(damaged("its root is not a directory")) }
    }

    /// The inode with a node id.
    pub(crate) fn inode(&self, nid: u64) -> Result<Located, Error> {
        let outside = || damaged("an inode lies outside of the image");
        let meta = u64::from(self.superblock.meta_block) * BLOCK;
        let position =
            nid.checked_mul(SLOT).and_then(|offset| offset.checked_add(meta)).ok_or_else(outside)?;
        let there = self.bytes().checked_sub(position).ok_or_else(outside)?.min(64);
        let mut bytes = vec![0; usize::try_from(there).unwrap_or(0)];
        self.read(&mut bytes, position)?;
        let stored = StoredInode::read(&bytes, self.time())?;
        let located = Located { nid, position, stored };
        located.check(self.bytes())?;
        Ok(located)
    }

    /// Reads `bytes` at `offset` of an inode's data, which must have so much.
    pub(crate) fn data(&self, inode: &Located, bytes: &mut [u8], offset: u64) -> Result<(), Error> {
        let (mut bytes, mut offset) = (bytes, offset);
        let tail = inode.tail_start();
        if offset < tail {
            let count = usize::try_from(tail - offset).unwrap_or(usize::MAX).min(bytes.len());
            let (plain, rest) = bytes.split_at_mut(count);
            self.read(plain, u64::from(inode.stored.inode.block_or_device) * BLOCK + offset)?;
            offset += plain.len() as u64;
            bytes = rest;
        }
        if bytes.is_empty() {
            return Ok(());
        }
        self.read(bytes, inode.position + inode.stored.header + (offset - tail))
    }

    /// Reads inside the image. Positions were checked against its length, so their sums are small.
    fn read(&self, bytes: &mut [u8], position: u64) -> Result<(), Error> {
        if position.saturating_add(bytes.len() as u64) > self.bytes() {
            return Err(damaged("some data lies outside of the image"));
        }
        self.input.read_at(bytes, self.start + position).map_err(Error::Input)
    }
}

/// An inode and where it is; its data was found to lie inside the image.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Located {
    pub(crate) nid: u64,
    position: u64,
    stored: StoredInode,
}

impl Located {
    pub(crate) fn inode(&self) -> &Inode {
        &self.stored.inode
    }

    pub(crate) fn is_directory(&self) -> bool {
        self.inode().mode & crate::ondisk::mode::TYPE == crate::ondisk::mode::DIRECTORY
    }

    /// Whether there is data, rather than a device number.
    fn has_data(&self) -> bool {
        use crate::ondisk::mode;
        matches!(self.inode().mode & mode::TYPE, mode::DIRECTORY | mode::FILE | mode::SYMLINK)
    }

    /// Bytes of data in blocks; what follows is inline.
    fn tail_start(&self) -> u64 {
        let inode = self.inode();
        match inode.layout {
            Layout::Plain => inode.size,
            Layout::Inline => inode.size.div_ceil(BLOCK).saturating_sub(1) * BLOCK,
        }
    }

    fn check(&self, image_bytes: u64) -> Result<(), Error> {
        if !self.has_data() {
            return Ok(());
        }
        let outside = || damaged("an inode's data lies outside of the image");
        let inode = self.inode();
        let (size, tail) = (inode.size, self.tail_start());
        let blocks_end = (u64::from(inode.block_or_device) * BLOCK).checked_add(tail).ok_or_else(outside)?;
        if tail > 0 && blocks_end > image_bytes {
            return Err(outside());
        }
        let inline_end = (self.position % BLOCK) + self.stored.header + (size - tail);
        if inode.layout == Layout::Inline && inline_end > BLOCK {
            return Err(damaged("an inode's inline data crosses a block"));
        }
        if self.position + self.stored.header + (size - tail) > image_bytes { Err(outside()) } else { Ok(()) }
    }
}

pub(crate) fn damaged(problem: &'static str) -> Error {
    ImageProblem::Damaged(problem).into()
}
