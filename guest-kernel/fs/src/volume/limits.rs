//! How much a volume may hold.

use ampoule_kbase::{Errno, PAGE_SIZE, Result, platform};
use core::sync::atomic::{AtomicU64, Ordering};

/// What no volume may have more of: bytes and names.
static MOST: [AtomicU64; 2] = [const { AtomicU64::new(u64::MAX) }; 2];

/// From now on no volume is made, or made larger, beyond this.
pub fn set_most(bytes: u64, inodes: u64) {
    MOST[0].store(bytes, Ordering::Relaxed);
    MOST[1].store(inodes, Ordering::Relaxed);
}

/// Sizes of a volume, and the attributes of its root directory, as `mount -o` gives them (`tmpfs(5)`).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Limits {
    /// Bytes of file contents; whole pages count.
    pub bytes: u64,
    /// Names that may be made: files, directories, and further links.
    pub inodes: u64,
    /// Permissions of the root directory, if there is no lower layer.
    pub root_mode: u32,
    /// Its owner.
    pub root_uid: u32,
    /// Its group.
    pub root_gid: u32,
}

impl Limits {
    /// Nothing at all.
    pub const NONE: Self = Self { bytes: 0, inodes: 0, root_mode: 0o1777, root_uid: 0, root_gid: 0 };

    /// What Linux takes by default: half of the RAM, and one name for each two pages of RAM.
    pub fn half_of_memory() -> Self {
        let (pages, _) = platform().pages();
        Self { bytes: pages / 2 * PAGE_SIZE as u64, inodes: pages / 2, ..Self::NONE }.bounded()
    }

    /// From the options of `mount(2)`; `EINVAL` for those that do not exist.
    pub fn parse(data: &[u8]) -> Result<Self> {
        Self::half_of_memory().changed_by(data)
    }

    /// The limits, with options applied.
    pub fn changed_by(mut self, data: &[u8]) -> Result<Self> {
        for option in data.split(|byte| *byte == b',').filter(|option| !option.is_empty()) {
            let (name, value) = match option.iter().position(|byte| *byte == b'=') {
                Some(at) => {
                    (&option[..at], core::str::from_utf8(&option[at + 1..]).map_err(|_| Errno::EINVAL)?)
                }
                None => (option, ""),
            };
            match name {
                b"size" => self.bytes = unlimited(size(value)?).next_multiple_of(PAGE_SIZE as u64),
                b"nr_blocks" => self.bytes = unlimited(size(value)?.saturating_mul(PAGE_SIZE as u64)),
                b"nr_inodes" => self.inodes = unlimited(size(value)?),
                b"mode" => self.root_mode = number(value, 8)? & 0o7777,
                b"uid" => self.root_uid = number(value, 10)?,
                b"gid" => self.root_gid = number(value, 10)?,
                b"huge" | b"mpol" | b"inode32" | b"inode64" | b"noswap" => {}
                _ => return Err(Errno::EINVAL),
            }
        }
        Ok(self.bounded())
    }

    /// Cut to what no volume may have more of.
    fn bounded(self) -> Self {
        let [bytes, inodes] = MOST.each_ref().map(|most| most.load(Ordering::Relaxed));
        Self { bytes: self.bytes.min(bytes), inodes: self.inodes.min(inodes), ..self }
    }
}

fn number(text: &str, radix: u32) -> Result<u32> {
    u32::from_str_radix(text, radix).map_err(|_| Errno::EINVAL)
}

/// 0 stands for no limit; a large number will do, which further arithmetic cannot overflow.
fn unlimited(value: u64) -> u64 {
    const MANY: u64 = 1 << 50;
    if value == 0 { MANY } else { value.min(MANY) }
}

/// A number with a suffix of `k`, `m`, `g` or `%` (of RAM).
fn size(text: &str) -> Result<u64> {
    let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
    let value: u64 = digits.parse().map_err(|_| Errno::EINVAL)?;
    let factor = match text.get(digits.len()..) {
        Some("") => 1,
        Some("k" | "K") => 1 << 10,
        Some("m" | "M") => 1 << 20,
        Some("g" | "G") => 1 << 30,
        Some("%") => platform().pages().0 * PAGE_SIZE as u64 / 100,
        _ => return Err(Errno::EINVAL),
    };
    value.checked_mul(factor).ok_or(Errno::EINVAL)
}
