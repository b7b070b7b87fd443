//! Decompresses what kernels and modules are compressed with: in pure Rust, up to a limit.

use crate::Error;
use std::io::{self, BufRead, BufReader, Cursor, Read};

/// Memory for an xz dictionary, in KiB: twice what `xz -9` needs.
const XZ_MEMORY_KIB: u32 = 128 << 10;
/// What the kernel's build writes as lz4: frames of an older format, in blocks that decompress to at most this.
const LZ4_LEGACY_MAGIC: [u8; 4] = [0x02, 0x21, 0x4c, 0x18];
const LZ4_LEGACY_BLOCK: usize = 8 << 20;

/// Whether these first bytes are those of a compression that is known.
pub fn is_compressed(bytes: &[u8]) -> bool {
    !matches!(Compression::of(bytes), Compression::Unknown)
}

enum Compression {
    Gzip,
    Xz,
    Zstd,
    Lz4Legacy,
    Unknown,
}

impl Compression {
    fn of(bytes: &[u8]) -> Self {
        match bytes {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0xfd, b'7', b'z', b'X', b'Z', 0, ..] => Self::Xz,
            [0x28, 0xb5, 0x2f, 0xfd, ..] => Self::Zstd,
            _ if bytes.starts_with(&LZ4_LEGACY_MAGIC) => Self::Lz4Legacy,
            _ => Self::Unknown,
        }
    }
}

/// A stream as what it decompresses to.
pub fn reader<'a>(what: &str, stream: impl BufRead + 'a) -> Result<Box<dyn Read + 'a>, Error> {
    let mut stream = stream;
    let magic = stream.fill_buf().map_err(|error| Error::Decompress { what: what.into(), error })?;
    Ok(match Compression::of(magic) {
        Compression::Gzip => Box::new(flate2::bufread::GzDecoder::new(stream)),
        Compression::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(stream, false, XZ_MEMORY_KIB)),
        Compression::Zstd => Box::new(
            ruzstd::decoding::StreamingDecoder::new(stream)
                .map_err(|error| Error::Decompress { what: what.into(), error: io::Error::other(error) })?,
        ),
        Compression::Lz4Legacy => Box::new(Lz4Legacy::new(stream)),
        Compression::Unknown => return Err(Error::Compression { what: what.into() }),
    })
}

/// All that `bytes` decompress to: at most `limit` bytes. What follows the compressed stream is not looked at.
pub fn decompress(what: &str, bytes: &[u8], limit: u64) -> Result<Vec<u8>, Error> {
    read_up_to(what, reader(what, BufReader::new(Cursor::new(bytes)))?, limit)
}

/// All of a stream: at most `limit` bytes.
pub fn read_up_to(what: &str, stream: impl Read, limit: u64) -> Result<Vec<u8>, Error> {
    let mut content = Vec::new();
    stream
        .take(limit.saturating_add(1))
        .read_to_end(&mut content)
        .map_err(|error| Error::Decompress { what: what.into(), error })?;
    match content.len() as u64 > limit {
        true => Err(Error::TooLarge { what: what.into(), limit }),
        false => Ok(content),
    }
}

/// The legacy lz4 format: a magic number, then blocks, each behind its length.
struct Lz4Legacy<R> {
    stream: R,
    block: Cursor<Vec<u8>>,
    started: bool,
}

impl<R: BufRead> Lz4Legacy<R> {
    fn new(stream: R) -> Self {
        Self { stream, block: Cursor::default(), started: false }
    }

    /// The next block; none at the end, which is a length that no block can have.
    fn next(&mut self) -> io::Result<Option<Vec<u8>>> {
        if !self.started {
            self.stream.read_exact(&mut [0; LZ4_LEGACY_MAGIC.len()])?;
            self.started = true;
        }
        let mut len = [0; 4];
        match self.stream.read_exact(&mut len) {
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => return Ok(None),
            result => result?,
        }
        let len = u32::from_le_bytes(len);
        let fits =
            |len: &usize| *len > 0 && *len <= lz4_flex::block::get_maximum_output_size(LZ4_LEGACY_BLOCK);
        let Some(len) = usize::try_from(len).ok().filter(fits) else { return Ok(None) };
        let mut compressed = Vec::new();
        if self.stream.by_ref().take(len as u64).read_to_end(&mut compressed)? < len {
            // The kernel's build appends the length of the whole in the place of a block's.
            return Ok(None);
        }
        lz4_flex::block::decompress(&compressed, LZ4_LEGACY_BLOCK).map(Some).map_err(io::Error::other)
    }
}

impl<R: BufRead> Read for Lz4Legacy<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            match self.block.read(buffer)? {
                0 if !buffer.is_empty() => match self.next()? {
                    Some(block) => self.block = Cursor::new(block),
                    None => return Ok(0),
                },
                len => return Ok(len),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Write;

    fn gzip(content: &[u8]) -> Vec<u8> {
        let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
        encoder.write_all(content).unwrap();
        encoder.finish().unwrap()
    }

    #[test]
    fn what_follows_the_stream_is_left_alone() {
        let mut bytes = gzip(b"content");
        bytes.extend([1, 2, 3, 4]);
        assert_eq!(decompress("test", &bytes, 7).unwrap(), b"content");
    }

    #[test]
    fn a_bomb_stops_at_the_limit() {
        let bomb = gzip(&vec![0; 1 << 20]);
        assert!(matches!(decompress("bomb", &bomb, 1000), Err(Error::TooLarge { limit: 1000, .. })));
    }

    #[test]
    fn legacy_lz4_is_read_block_by_block() {
        let mut bytes = LZ4_LEGACY_MAGIC.to_vec();
        for block in [&b"first "[..], b"second"] {
            let block = lz4_flex::block::compress(block);
            bytes.extend(u32::try_from(block.len()).unwrap().to_le_bytes());
            bytes.extend(block);
        }
        bytes.extend(12u32.to_le_bytes());
        assert_eq!(decompress("test", &bytes, 100).unwrap(), b"first second");
    }

    #[test]
    fn what_is_damaged_or_unknown_is_refused() {
        assert!(matches!(decompress("test", b"nothing", 100), Err(Error::Compression { .. })));
        let whole = gzip(&[7; 1000]);
        for magic in [&b"\x1f\x8b"[..], b"\xfd7zXZ\0", b"\x28\xb5\x2f\xfd"] {
            let mut bytes = magic.to_vec();
            bytes.extend([0xff; 64]);
            assert!(decompress("test", &bytes, 100).is_err());
        }
        assert!(decompress("test", &whole[..whole.len() / 2], 10_000).is_err());
    }
}
