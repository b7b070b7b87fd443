//! The bytes of EROFS: superblock, inodes, directory entries. Source: Linux, `fs/erofs/erofs_fs.h` and
//! Documentation/filesystems/erofs.rst. All numbers are little-endian.
//!
//! Only what uncompressed images on one device need is here: flat inodes, with their data in blocks of their own
//! (plain) or, if it is short, right behind the inode (inline).

use crate::error::ImageProblem;
use crate::kernel_name::{KernelName, VOLUME_NAME};
use crate::options::Time;
use crate::tree::Digest;

/// Size of a block, in bytes; that of a page, so that guests can map file data.
pub(crate) const BLOCK: u64 = 4096;
/// log2 of [`BLOCK`].
const BLOCK_BITS: u8 = 12;
/// Where the superblock begins in the image.
pub(crate) const SUPERBLOCK_OFFSET: u64 = 1024;
/// Length of the superblock that we write and read.
pub(crate) const SUPERBLOCK_LENGTH: usize = 128;
const MAGIC: u32 = 0xe0f5_e1e2;
/// Compatible feature: the superblock has a checksum.
const SB_CHECKSUM: u32 = 1;
/// Compatible feature: inodes have modification times (not change times).
const MTIME: u32 = 2;
/// A node id is its inode's distance from the metadata area in units of this many bytes.
pub(crate) const SLOT: u64 = 32;
/// Length of a directory entry, without its name.
pub(crate) const DIRENT: usize = 12;

/// The type bits of `st_mode`.
pub(crate) mod mode {
    pub(crate) const TYPE: u16 = 0o170_000;
    pub(crate) const FIFO: u16 = 0o010_000;
    pub(crate) const CHAR: u16 = 0o020_000;
    pub(crate) const DIRECTORY: u16 = 0o040_000;
    pub(crate) const BLOCK: u16 = 0o060_000;
    pub(crate) const FILE: u16 = 0o100_000;
    pub(crate) const SYMLINK: u16 = 0o120_000;
    pub(crate) const SOCKET: u16 = 0o140_000;
}

/// The file type in a directory entry (the numbers of `FT_*` in Linux).
pub(crate) fn dirent_type(mode: u16) -> u8 {
    match mode & mode::TYPE {
        mode::FILE => 1,
        mode::DIRECTORY => 2,
        mode::CHAR => 3,
        mode::BLOCK => 4,
        mode::FIFO => 5,
        mode::SOCKET => 6,
        mode::SYMLINK => 7,
        _ => 0,
    }
}

/// The superblock, as far as we use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Superblock {
    /// Node id of the root directory.
    pub(crate) root: u16,
    /// Number of inodes.
    pub(crate) inodes: u64,
    /// Time of all compact inodes.
    pub(crate) time: Time,
    /// Number of blocks of the image.
    pub(crate) blocks: u32,
    /// First block of the metadata area.
    pub(crate) meta_block: u32,
    /// Identity of the image.
    pub(crate) uuid: [u8; 16],
    /// The kernel that the image asks for.
    pub(crate) kernel: Option<KernelName>,
}

/// Writes `value` at `offset`. The offsets are constants of this file; one that does not fit is a bug in it.
fn put(bytes: &mut [u8], offset: usize, value: &[u8]) {
    bytes[offset..offset + value.len()].copy_from_slice(value);
}

/// The `N` bytes at `offset`, zeros if they are not there (the callers check the length first).
fn get<const N: usize>(bytes: &[u8], offset: usize) -> [u8; N] {
    bytes.get(offset..).and_then(|rest| rest.first_chunk()).copied().unwrap_or([0; N])
}

pub(crate) fn get_u16(bytes: &[u8], offset: usize) -> u16 {
    u16::from_le_bytes(get(bytes, offset))
}

pub(crate) fn get_u32(bytes: &[u8], offset: usize) -> u32 {
    u32::from_le_bytes(get(bytes, offset))
}

pub(crate) fn get_u64(bytes: &[u8], offset: usize) -> u64 {
    u64::from_le_bytes(get(bytes, offset))
}

impl Superblock {
    /// The whole first block of an image.
    pub(crate) fn to_block(self) -> Vec<u8> {
        let mut block = vec![0; BLOCK as usize];
        let at = SUPERBLOCK_OFFSET as usize;
        put(&mut block, at, &MAGIC.to_le_bytes());
        put(&mut block, at + 8, &(SB_CHECKSUM | MTIME).to_le_bytes());
        put(&mut block, at + 12, &[BLOCK_BITS]);
        put(&mut block, at + 14, &self.root.to_le_bytes());
        put(&mut block, at + 16, &self.inodes.to_le_bytes());
        put(&mut block, at + 24, &self.time.seconds.to_le_bytes());
        put(&mut block, at + 32, &self.time.nanoseconds.to_le_bytes());
        put(&mut block, at + 36, &self.blocks.to_le_bytes());
        put(&mut block, at + 40, &self.meta_block.to_le_bytes());
        put(&mut block, at + 48, &self.uuid);
        if let Some(kernel) = self.kernel {
            put(&mut block, at + 64, &kernel.to_volume_name());
        }
        let checksum = crc32c(&block[at..]);
        put(&mut block, at + 4, &checksum.to_le_bytes());
        block
    }

    /// Reads and checks the superblock in an image's first block.
    pub(crate) fn from_block(block: &[u8]) -> Result<Self, ImageProblem> {
        let bytes = block.get(SUPERBLOCK_OFFSET as usize..).unwrap_or_default();
        if bytes.len() < SUPERBLOCK_LENGTH {
            return Err(ImageProblem::TooShort(block.len() as u64));
        }
        if get_u32(bytes, 0) != MAGIC {
            return Err(ImageProblem::Foreign(guess(block)));
        }
        let bits = get::<1>(bytes, 12)[0];
        if bits != BLOCK_BITS {
            return Err(ImageProblem::BlockSize(bits));
        }
        if get_u32(bytes, 8) & SB_CHECKSUM != 0 && block.len() >= BLOCK as usize {
            let mut zeroed = bytes.to_vec();
            put(&mut zeroed, 4, &[0; 4]);
            if crc32c(&zeroed) != get_u32(bytes, 4) {
                return Err(ImageProblem::Checksum);
            }
        }
        let incompatible = get_u32(bytes, 80);
        if incompatible != 0 {
            return Err(ImageProblem::Features(crate::error::FeatureBits(incompatible)));
        }
        let kernel = KernelName::from_volume_name(&get::<VOLUME_NAME>(bytes, 64))
            .map_err(|_| ImageProblem::Damaged("what it names as its kernel is no name"))?;
        let seconds = i64::from_le_bytes(get(bytes, 24));
        Ok(Self {
            root: get_u16(bytes, 14),
            inodes: get_u64(bytes, 16),
            time: Time { seconds, nanoseconds: get_u32(bytes, 32) },
            blocks: get_u32(bytes, 36),
            meta_block: get_u32(bytes, 40),
            uuid: get(bytes, 48),
            kernel,
        })
    }
}

/// What a file that is not EROFS is, by its first block.
fn guess(block: &[u8]) -> &'static str {
    const TAR: &[u8] = b"ustar";
    match block {
        [0x7f, b'E', b'L', b'F', ..] => "an ELF program",
        [0x1f, 0x8b, ..] => "gzip data",
        [0x28, 0xb5, 0x2f, 0xfd, ..] => "zstd data",
        [0xfd, b'7', b'z', b'X', b'Z', ..] => "xz data",
        [b'h', b's', b'q', b's', ..] => "a squashfs image",
        [b'Q', b'F', b'I', 0xfb, ..] => "a qcow2 image",
        _ if block.get(257..262) == Some(TAR) => "a tar archive",
        _ if get_u16(block, 1024 + 56) == 0xef53 => "an ext4 image",
        _ => "something else",
    }
}

/// Where an inode's data lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Layout {
    /// In whole blocks.
    Plain,
    /// What does not fill a block, behind the inode; the rest in whole blocks.
    Inline,
}

/// An inode as it is stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Inode {
    pub(crate) layout: Layout,
    pub(crate) mode: u16,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
    pub(crate) links: u32,
    pub(crate) size: u64,
    pub(crate) mtime: Time,
    /// First data block, or a device's number.
    pub(crate) block_or_device: u32,
    /// For `stat` on 32-bit systems.
    pub(crate) number: u32,
}

/// The two forms of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Form {
    /// 32 bytes: 16-bit owner and links, 32-bit size, the superblock's time.
    Compact,
    /// 64 bytes.
    Extended,
}

impl Form {
    pub(crate) fn length(self) -> usize {
        match self {
            Self::Compact => 32,
            Self::Extended => 64,
        }
    }
}

impl Inode {
    /// The smallest form that holds this inode, in an image with this time.
    pub(crate) fn form(&self, time: Time) -> Form {
        let small = u16::try_from(self.uid).is_ok()
            && u16::try_from(self.gid).is_ok()
            && u16::try_from(self.links).is_ok()
            && u32::try_from(self.size).is_ok();
        if small && self.mtime == time { Form::Compact } else { Form::Extended }
    }

    /// Writes it to the start of `place`, which must be as long as its form.
    pub(crate) fn write(&self, form: Form, place: &mut [u8]) {
        let layout: u16 = match self.layout {
            Layout::Plain => 0,
            Layout::Inline => 2 << 1,
        };
        let version: u16 = match form {
            Form::Compact => 0,
            Form::Extended => 1,
        };
        put(place, 0, &(layout | version).to_le_bytes());
        put(place, 4, &self.mode.to_le_bytes());
        put(place, 16, &self.block_or_device.to_le_bytes());
        put(place, 20, &self.number.to_le_bytes());
        match form {
            Form::Compact => {
                // `form` chose this because the low halves are all there is.
                put(place, 6, &self.links.to_le_bytes()[..2]);
                put(place, 8, &self.size.to_le_bytes()[..4]);
                put(place, 24, &self.uid.to_le_bytes()[..2]);
                put(place, 26, &self.gid.to_le_bytes()[..2]);
            }
            Form::Extended => {
                put(place, 8, &self.size.to_le_bytes());
                put(place, 24, &self.uid.to_le_bytes());
                put(place, 28, &self.gid.to_le_bytes());
                put(place, 32, &self.mtime.seconds.to_le_bytes());
                put(place, 40, &self.mtime.nanoseconds.to_le_bytes());
                put(place, 44, &self.links.to_le_bytes());
            }
        }
    }
}

/// An inode that was read, and where what belongs to it lies.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct StoredInode {
    pub(crate) inode: Inode,
    /// Bytes from the inode's start to its inline data: itself and its extended attributes.
    pub(crate) header: u64,
}

impl StoredInode {
    /// Reads an inode from `bytes`: 64, or 32 if there are no more in the image. `time` is that of compact inodes.
    pub(crate) fn read(bytes: &[u8], time: Time) -> Result<Self, ImageProblem> {
        let format = get_u16(bytes, 0);
        let form = if format & 1 == 0 { Form::Compact } else { Form::Extended };
        if bytes.len() < form.length() {
            return Err(ImageProblem::Damaged("an inode lies outside of the image"));
        }
        let layout = match format >> 1 {
            0 => Layout::Plain,
            2 => Layout::Inline,
            _ => return Err(ImageProblem::DataLayout),
        };
        let xattrs = match u64::from(get_u16(bytes, 2)) {
            0 => 0,
            count => 12 + 4 * (count - 1),
        };
        let (links, size, uid, gid, mtime) = match form {
            Form::Compact => (
                u32::from(get_u16(bytes, 6)),
                u64::from(get_u32(bytes, 8)),
                u32::from(get_u16(bytes, 24)),
                u32::from(get_u16(bytes, 26)),
                time,
            ),
            Form::Extended => {
                let seconds = i64::from_le_bytes(get(bytes, 32));
                let mtime = Time { seconds, nanoseconds: get_u32(bytes, 40) };
                (get_u32(bytes, 44), get_u64(bytes, 8), get_u32(bytes, 24), get_u32(bytes, 28), mtime)
            }
        };
        let (mode, number) = (get_u16(bytes, 4), get_u32(bytes, 20));
        let block_or_device = get_u32(bytes, 16);
        let inode = Inode { layout, mode, uid, gid, links, size, mtime, block_or_device, number };
        Ok(Self { inode, header: form.length() as u64 + xattrs })
    }
}

/// CRC-32C as the kernel computes it here: starting from all ones, not inverted at the end.
fn crc32c(bytes: &[u8]) -> u32 {
    const POLYNOMIAL: u32 = 0x82f6_3b78;
    bytes.iter().fold(!0, |crc, &byte| {
        (0..8).fold(crc ^ u32::from(byte), |crc, _| (crc >> 1) ^ (POLYNOMIAL & (crc & 1).wrapping_neg()))
    })
}

/// An image's UUID, from its content's digest: version 8 (RFC 9562), "custom".
pub(crate) fn uuid(digest: &Digest) -> [u8; 16] {
    let mut uuid = get::<16>(digest, 0);
    uuid[6] = (uuid[6] & 0x0f) | 0x80;
    uuid[8] = (uuid[8] & 0x3f) | 0x80;
    uuid
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn crc32c_has_its_check_value() {
        assert_eq!(!crc32c(b"123456789"), 0xe306_9283);
    }

    #[test]
    fn inodes_survive_their_encoding() {
        let time = Time::from_seconds(7);
        let small = Inode {
            layout: Layout::Inline,
            mode: mode::SYMLINK | 0o777,
            uid: 65535,
            gid: 1,
            links: 2,
            size: 9,
            mtime: time,
            block_or_device: 3,
            number: 4,
        };
        let large = Inode { uid: 65536, size: 1 << 40, mtime: Time { seconds: -1, nanoseconds: 5 }, ..small };
        for (inode, form) in [(small, Form::Compact), (large, Form::Extended)] {
            assert_eq!(inode.form(time), form);
            let mut bytes = vec![0; form.length()];
            inode.write(form, &mut bytes);
            let read = StoredInode::read(&bytes, time).expect("an inode");
            assert_eq!(read, StoredInode { inode, header: form.length() as u64 });
        }
    }

    #[test]
    fn superblock_survives_its_encoding() {
        let superblock = Superblock {
            root: 36,
            inodes: 7,
            time: Time { seconds: -5, nanoseconds: 9 },
            blocks: 3,
            meta_block: 2,
            uuid: uuid(&[0xff; 32]),
            kernel: "debian".parse().ok(),
        };
        let mut block = superblock.to_block();
        assert_eq!(Superblock::from_block(&block), Ok(superblock));
        block[1024 + 36] ^= 1;
        assert_eq!(Superblock::from_block(&block), Err(ImageProblem::Checksum));
    }
}
