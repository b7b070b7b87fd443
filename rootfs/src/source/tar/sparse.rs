//! Files of which an archive stores only the parts that are not zero.

use std::io::{self, Read};

/// Where the stored parts belong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SparseMap {
    segments: Vec<(u64, u64)>,
    size: u64,
}

/// Most segments that a file may have.
pub(super) const MAX_SEGMENTS: usize = 1 << 20;

impl SparseMap {
    /// A map of a file of `size` bytes, of which `stored` are stored. `None` if the segments (offset and length) are not
    /// in order, overlap, or do not fit these sizes.
    pub(super) fn new(segments: Vec<(u64, u64)>, size: u64, stored: u64) -> Option<Self> {
        let mut end = 0;
        let mut total: u64 = 0;
        for &(offset, length) in &segments {
            if offset < end {
                return None;
            }
            end = offset.checked_add(length)?;
            total = total.checked_add(length)?;
        }
        (end <= size && total == stored).then_some(Self { segments, size })
    }

    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// The whole file, its holes as zeros.
    pub(super) fn expand<R: Read>(&self, stored: R) -> Expand<'_, R> {
        Expand { stored, segments: &self.segments, size: self.size, at: 0 }
    }
}

/// A sparse file's content.
pub(super) struct Expand<'m, R> {
    stored: R,
    /// Segments that are not wholly read.
    segments: &'m [(u64, u64)],
    size: u64,
    at: u64,
}

impl<R: Read> Read for Expand<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some((&(offset, length), rest)) = self.segments.split_first() {
            if self.at < offset + length {
                break;
            }
            self.segments = rest;
        }
        let next = self.segments.first().copied();
        let (stored, end) = match next {
            Some((offset, length)) if self.at >= offset => (true, offset + length),
            Some((offset, _)) => (false, offset),
            None => (false, self.size),
        };
        let wanted = usize::try_from(end - self.at).unwrap_or(usize::MAX).min(buffer.len());
        let place = buffer.get_mut(..wanted).unwrap_or_default();
        let count = if stored {
            self.stored.read(place)?
        } else {
            place.fill(0);
            wanted
        };
        if stored && count == 0 && wanted > 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        self.at += count as u64;
        Ok(count)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn holes_become_zeros() {
        let map = SparseMap::new(vec![(0, 0), (2, 3), (5, 1), (9, 0)], 9, 4).expect("a good map");
        let mut content = Vec::new();
        map.expand(b"abcd".as_slice()).read_to_end(&mut content).expect("enough is stored");
        assert_eq!(content, b"\0\0abcd\0\0\0");
        assert!(map.expand(b"abc".as_slice()).read_to_end(&mut Vec::new()).is_err());
    }

    #[test]
    fn maps_that_contradict_themselves_are_refused() {
        assert_eq!(SparseMap::new(vec![(0, 4), (3, 1)], 10, 5), None);
        assert_eq!(SparseMap::new(vec![(8, 4)], 10, 4), None);
        assert_eq!(SparseMap::new(vec![(0, 4)], 10, 5), None);
        assert_eq!(SparseMap::new(vec![(u64::MAX, 2)], u64::MAX, 2), None);
    }
}
