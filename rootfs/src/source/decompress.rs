//! Recognises compressed streams by their first bytes and decodes them, in pure Rust and with bounded memory.

use std::io::{self, BufReader, Cursor, Read};

use crate::error::Error;

/// Longest magic number looked for.
const PEEK: usize = 6;

/// `stream`, uncompressed.
pub(super) fn open<'s>(mut stream: Box<dyn Read + 's>) -> Result<Box<dyn Read + 's>, Error> {
    let mut magic = Vec::new();
    let failed = |error| Error::io("read", b"the archive", error);
    stream.by_ref().take(PEEK as u64).read_to_end(&mut magic).map_err(failed)?;
    let kind = Compression::of(&magic);
    let whole: Box<dyn Read + 's> = Box::new(Cursor::new(magic).chain(stream));
    match kind {
        Compression::None => Ok(whole),
        kind => decoder(kind, Box::new(BufReader::with_capacity(128 << 10, whole))),
    }
}

/// How a stream is compressed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
    Xz,
    /// Known, but never read.
    Other(&'static str),
}

impl Compression {
    fn of(magic: &[u8]) -> Self {
        match magic {
            [0x1f, 0x8b, ..] => Self::Gzip,
            [0x28, 0xb5, 0x2f, 0xfd, ..] | [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Self::Zstd,
            [0xfd, b'7', b'z', b'X', b'Z', 0] => Self::Xz,
            [b'B', b'Z', b'h', ..] => Self::Other("bzip2"),
            [0x04, 0x22, 0x4d, 0x18, ..] => Self::Other("lz4"),
            [0x1f, 0x9d, ..] => Self::Other("compress"),
            [b'L', b'Z', b'I', b'P', ..] => Self::Other("lzip"),
            _ => Self::None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::None => "nothing",
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
            Self::Xz => "xz",
            Self::Other(name) => name,
        }
    }
}

#[cfg(not(feature = "tar-compression"))]
fn decoder<'s>(kind: Compression, _: Box<dyn io::BufRead + 's>) -> Result<Box<dyn Read + 's>, Error> {
    Err(Error::Compression(kind.name()))
}

#[cfg(feature = "tar-compression")]
fn decoder<'s>(kind: Compression, stream: Box<dyn io::BufRead + 's>) -> Result<Box<dyn Read + 's>, Error> {
    /// Memory for an xz dictionary, in KiB: twice what `xz -9` needs.
    const XZ_MEMORY_KIB: u32 = 128 << 10;
    Ok(match kind {
        Compression::Gzip => Box::new(flate2::bufread::MultiGzDecoder::new(stream)),
        Compression::Zstd => Box::new(zstd::Frames::new(stream)),
        Compression::Xz => Box::new(lzma_rust2::XzReader::new_mem_limit(stream, true, XZ_MEMORY_KIB)),
        Compression::None | Compression::Other(_) => return Err(Error::Compression(kind.name())),
    })
}

#[cfg(feature = "tar-compression")]
mod zstd {
    //! All frames of a zstd stream, with their checksums checked; the decoder by itself does one frame and checks none.

    use std::io::{self, BufRead, Read};

    use ruzstd::decoding::errors::{FrameDecoderError, ReadFrameHeaderError};
    use ruzstd::decoding::{BlockDecodingStrategy, FrameDecoder};

    pub(super) struct Frames<R> {
        stream: R,
        decoder: FrameDecoder,
    }

    impl<R: BufRead> Frames<R> {
        pub(super) fn new(stream: R) -> Self {
            Self { stream, decoder: FrameDecoder::new() }
        }

        /// Goes on to the next frame; false at the stream's end.
        fn next_frame(&mut self) -> io::Result<bool> {
            loop {
                if self.stream.fill_buf()?.is_empty() {
                    return Ok(false);
                }
                match self.decoder.init(&mut self.stream) {
                    Ok(()) => return Ok(true),
                    Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                        length,
                        ..
                    })) => self.skip(length)?,
                    Err(error) => return Err(io::Error::other(error)),
                }
            }
        }

        fn skip(&mut self, length: u32) -> io::Result<()> {
            let length = u64::from(length);
            match io::copy(&mut self.stream.by_ref().take(length), &mut io::sink())? {
                skipped if skipped == length => Ok(()),
                _ => Err(io::ErrorKind::UnexpectedEof.into()),
            }
        }

        fn check(&self) -> io::Result<()> {
            let stored = self.decoder.get_checksum_from_data();
            if stored.is_none() || stored == self.decoder.get_calculated_checksum() {
                return Ok(());
            }
            Err(io::Error::new(io::ErrorKind::InvalidData, "a zstd frame does not have its checksum"))
        }
    }

    impl<R: BufRead> Read for Frames<R> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            while !buffer.is_empty() {
                if self.decoder.can_collect() > 0 {
                    return self.decoder.read(buffer);
                }
                if !self.decoder.is_finished() {
                    let some = BlockDecodingStrategy::UptoBlocks(1);
                    self.decoder.decode_blocks(&mut self.stream, some).map_err(io::Error::other)?;
                } else {
                    self.check()?;
                    if !self.next_frame()? {
                        return Ok(0);
                    }
                }
            }
            Ok(0)
        }
    }
}
