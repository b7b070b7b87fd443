//! One 512-byte tar header: POSIX ustar, GNU, and the older form without a magic number.

use crate::options::Time;

/// Size of a header, and what everything in an archive is padded to.
pub(super) const BLOCK: usize = 512;

/// A header as it stands in the archive, with a checksum that was right.
pub(super) struct Header([u8; BLOCK]);

/// The value of a numeric field that holds no number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct BadNumber;

impl Header {
    /// A header, if the checksum matches.
    pub(super) fn new(block: [u8; BLOCK]) -> Option<Self> {
        let header = Self(block);
        let stored = header.number(148, 8).ok()?;
        let summed = |index: usize| (148..156).contains(&index);
        let sum = |value: fn(u8) -> i64| -> i64 {
            block.iter().enumerate().map(|(i, &b)| if summed(i) { 32 } else { value(b) }).sum()
        };
        // Some old programs summed signed bytes.
        (stored == sum(i64::from) || stored == sum(|byte| i64::from(byte.cast_signed()))).then_some(header)
    }

    fn field(&self, offset: usize, length: usize) -> &[u8] {
        self.0.get(offset..offset + length).unwrap_or_default()
    }

    /// A field up to its first NUL.
    fn text(&self, offset: usize, length: usize) -> &[u8] {
        let field = self.field(offset, length);
        field.split(|&byte| byte == 0).next().unwrap_or_default()
    }

    /// A number: octal digits, or base 256 (big-endian two's complement) if the first bit is set.
    fn number(&self, offset: usize, length: usize) -> Result<i64, BadNumber> {
        number(self.field(offset, length))
    }

    fn unsigned(&self, offset: usize, length: usize) -> Result<u64, BadNumber> {
        u64::try_from(self.number(offset, length)?).map_err(|_| BadNumber)
    }

    pub(super) fn path(&self) -> Vec<u8> {
        let name = self.text(0, 100);
        // GNU archives ("ustar  ") keep other things where POSIX ones have the prefix.
        let prefix = if self.field(257, 6) == b"ustar\0" { self.text(345, 155) } else { b"" };
        if prefix.is_empty() { name.to_vec() } else { [prefix, b"/", name].concat() }
    }

    pub(super) fn permissions(&self) -> Result<u16, BadNumber> {
        u16::try_from(self.unsigned(100, 8)? & 0o7777).map_err(|_| BadNumber)
    }

    pub(super) fn uid(&self) -> Result<u64, BadNumber> {
        self.unsigned(108, 8)
    }

    pub(super) fn gid(&self) -> Result<u64, BadNumber> {
        self.unsigned(116, 8)
    }

    /// Bytes that follow the header.
    pub(super) fn size(&self) -> Result<u64, BadNumber> {
        self.unsigned(124, 12)
    }

    pub(super) fn mtime(&self) -> Result<Time, BadNumber> {
        self.number(136, 12).map(Time::from_seconds)
    }

    pub(super) fn kind(&self) -> u8 {
        self.field(156, 1).first().copied().unwrap_or(0)
    }

    pub(super) fn link(&self) -> Vec<u8> {
        self.text(157, 100).to_vec()
    }

    pub(super) fn device(&self) -> Result<(u64, u64), BadNumber> {
        Ok((self.unsigned(329, 8)?, self.unsigned(337, 8)?))
    }

    /// The sparse map in a GNU header: at most four segments, and whether more follow.
    pub(super) fn gnu_sparse(&self) -> Result<(Vec<(u64, u64)>, bool), BadNumber> {
        let more = self.field(482, 1) != [0];
        Ok((gnu_segments(self.field(386, 96))?, more))
    }

    /// The length of a GNU sparse file with its holes.
    pub(super) fn gnu_real_size(&self) -> Result<u64, BadNumber> {
        self.unsigned(483, 12)
    }
}

/// The segments in a block that continues a GNU sparse map, and whether more follow.
pub(super) fn gnu_sparse_more(block: &[u8; BLOCK]) -> Result<(Vec<(u64, u64)>, bool), BadNumber> {
    let (map, rest) = block.split_at(504);
    Ok((gnu_segments(map)?, rest.first().is_some_and(|&more| more != 0)))
}

/// Pairs of 12-byte offset and length; the first one without an offset ends the list.
fn gnu_segments(map: &[u8]) -> Result<Vec<(u64, u64)>, BadNumber> {
    let mut segments = Vec::new();
    for pair in map.chunks_exact(24) {
        let (offset, length) = pair.split_at(12);
        if offset.first() == Some(&0) {
            break;
        }
        let unsigned = |field| u64::try_from(number(field)?).map_err(|_| BadNumber);
        segments.push((unsigned(offset)?, unsigned(length)?));
    }
    Ok(segments)
}

fn number(field: &[u8]) -> Result<i64, BadNumber> {
    match field.first() {
        Some(&first) if first & 0x80 != 0 => base_256(field, first),
        _ => octal(field),
    }
}

fn base_256(field: &[u8], first: u8) -> Result<i64, BadNumber> {
    // The first bit only marks the form; the next one is the sign.
    let start: i128 = if first & 0x40 != 0 { -1 } else { 0 };
    let top = i128::from(first & 0x3f) | if start < 0 { -0x40 } else { 0 };
    let value = field.iter().skip(1).fold(top, |value, &byte| (value << 8) | i128::from(byte));
    i64::try_from(value).map_err(|_| BadNumber)
}

fn octal(field: &[u8]) -> Result<i64, BadNumber> {
    let text = field.split(|&byte| byte == 0).next().unwrap_or_default().trim_ascii();
    text.iter().try_fold(0i64, |value, &digit| match digit {
        b'0'..=b'7' => value.checked_mul(8).map(|value| value + i64::from(digit - b'0')).ok_or(BadNumber),
        _ => Err(BadNumber),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_of_every_form() {
        assert_eq!(number(b"0000644\0"), Ok(0o644));
        assert_eq!(number(b"   644 \0"), Ok(0o644));
        assert_eq!(number(b"\0\0\0\0"), Ok(0));
        assert_eq!(number(b"77777777777\0"), Ok(0o77777777777));
        assert_eq!(number(b"0000888\0"), Err(BadNumber));
        assert_eq!(number(b"\x80\0\0\0\0\0\0\0\0\0\x01\x02"), Ok(0x102));
        assert_eq!(number(b"\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xfe"), Ok(-2));
        assert_eq!(number(b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff"), Ok(i64::MAX));
        assert_eq!(number(b"\x80\0\0\0\x80\0\0\0\0\0\0\0"), Err(BadNumber));
        assert_eq!(number(b"\xbf\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff"), Err(BadNumber));
    }
}
