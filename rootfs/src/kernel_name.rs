//! [`KernelName`]: the kernel that an image asks for, in the superblock's volume name.
//!
//! It is a name in the reader's own store of kernels, never a path: an image is hostile, and must not choose which file
//! of the host is read.

use std::fmt;
use std::str::FromStr;

use crate::error::Error;
use crate::text::is_plain_name;

/// Length of EROFS's volume name, in bytes.
pub(crate) const VOLUME_NAME: usize = 16;
/// What a volume name begins with that names a kernel.
const MARK: &[u8] = b"k:";

/// The name of a kernel: 1 to 14 lowercase letters, digits, `.`, `_` and `-`, the first and the last a letter or digit.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct KernelName {
    volume_name: [u8; VOLUME_NAME],
}

impl KernelName {
    /// The longest name, in bytes.
    pub const MAX: usize = VOLUME_NAME - MARK.len();

    /// As it is stored: padded with NUL.
    pub(crate) fn to_volume_name(self) -> [u8; VOLUME_NAME] {
        self.volume_name
    }

    /// The name in a volume name, if that is what it holds.
    pub(crate) fn from_volume_name(volume_name: &[u8; VOLUME_NAME]) -> Result<Option<Self>, Error> {
        let Some(padded) = volume_name.strip_prefix(MARK) else { return Ok(None) };
        let len = padded.iter().position(|&byte| byte == 0).unwrap_or(padded.len());
        let (name, padding) = padded.split_at(len);
        match padding.iter().all(|&byte| byte == 0) {
            true => Self::check(name).map(Some),
            false => Err(Error::KernelName),
        }
    }

    fn check(name: &[u8]) -> Result<Self, Error> {
        if !is_plain_name(name, Self::MAX) {
            return Err(Error::KernelName);
        }
        let mut volume_name = [0; VOLUME_NAME];
        for (to, from) in volume_name.iter_mut().zip(MARK.iter().chain(name)) {
            *to = *from;
        }
        Ok(Self { volume_name })
    }

    /// The name as text.
    #[must_use]
    pub fn as_str(&self) -> &str {
        let name = self.volume_name.strip_prefix(MARK).unwrap_or_default();
        // It was checked: ASCII, then the padding.
        std::str::from_utf8(name).unwrap_or_default().trim_end_matches('\0')
    }
}

impl FromStr for KernelName {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self, Error> {
        Self::check(name.as_bytes())
    }
}

impl fmt::Display for KernelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Debug for KernelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.as_str(), f)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_survive_their_encoding() {
        for name in ["debian", "a", "6.12-minimal_x", "abcdefghijklmn"] {
            let parsed: KernelName = name.parse().expect("a name");
            assert_eq!((parsed.as_str(), parsed.to_string().as_str()), (name, name));
            assert!(
                KernelName::from_volume_name(&parsed.to_volume_name()).is_ok_and(|read| read == Some(parsed))
            );
        }
    }

    #[test]
    fn what_is_no_name_is_refused() {
        for name in
            ["", "-a", "a-", ".", "..", "../x", "a/b", "Debian", "a b", "a\0", "\u{e4}", "abcdefghijklmno"]
        {
            assert!(name.parse::<KernelName>().is_err(), "{name:?}");
        }
        for stored in
            [b"k:\0\0\0\0\0\0\0\0\0\0\0\0\0\0", b"k:a\0b\0\0\0\0\0\0\0\0\0\0\0", b"k:../../etc/pas\0"]
        {
            assert!(KernelName::from_volume_name(stored).is_err(), "{stored:?}");
        }
    }

    #[test]
    fn other_volume_names_name_no_kernel() {
        for stored in [
            b"\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
            b"my-root\0\0\0\0\0\0\0\0\0",
            b"k\0\0\0\0\0\0\0\0\0\0\0\0\0\0\0",
        ] {
            assert!(KernelName::from_volume_name(stored).is_ok_and(|name| name.is_none()));
        }
    }
}
