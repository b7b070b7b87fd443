//! The data area: file contents, block after block from block 1 on, in the order in which they are read.
//!
//! Equal contents are stored once. Blocks of zeros are not written, so that a sparse file makes a sparse image. What
//! was stored and is not used in the end (a tar may replace a file by a later one) is zeroed by [`DataArea::finish`].

use std::collections::HashMap;
use std::io::{self, Read};
use std::ops::ControlFlow;

use sha2::{Digest as _, Sha256};

use crate::error::Error;
use crate::ondisk::BLOCK;
use crate::output::Output;
use crate::tree::{Digest, FileData};

/// How much is read and written at a time.
const CHUNK: usize = 1 << 20;
/// Images have 32-bit block numbers.
const MAX_BLOCKS: u64 = u32::MAX as u64;

/// A stretch of blocks that holds one content.
#[derive(Debug, Clone, Copy)]
struct Extent {
    block: u32,
    size: u64,
}

pub(crate) struct DataArea<'o> {
    output: &'o mut dyn Output,
    /// Where the next content goes; a multiple of the block size.
    end: u64,
    /// Nothing was ever written from here on: zeros need not be written.
    untouched: u64,
    /// Bound on `end` and on all that is read, in bytes.
    limit: u64,
    /// Bytes of content read so far, stored twice or not.
    read: u64,
    known: HashMap<Digest, Extent>,
    buffer: Vec<u8>,
}

/// What to do about the source's failure to read: [`Error::Io`] with the source's path.
pub(crate) type ReadFailed<'a> = &'a dyn Fn(io::Error) -> Error;

impl<'o> DataArea<'o> {
    pub(crate) fn new(output: &'o mut dyn Output, limit: u64) -> Result<Self, Error> {
        output.set_len(0).map_err(Error::Output)?;
        let limit = limit.min(MAX_BLOCKS * BLOCK);
        Ok(Self {
            output,
            end: BLOCK,
            untouched: 0,
            limit,
            read: 0,
            known: HashMap::new(),
            buffer: vec![0; CHUNK],
        })
    }

    pub(crate) fn output(&mut self) -> &mut dyn Output {
        self.output
    }

    /// First byte after the data.
    pub(crate) fn end(&self) -> u64 {
        self.end
    }

    /// Bytes of content read so far.
    pub(crate) fn bytes_read(&self) -> u64 {
        self.read
    }

    /// Fails if `size` more bytes would be too many: before they are read.
    pub(crate) fn reserve(&self, size: u64) -> Result<(), Error> {
        let fits = |used: u64| used.checked_add(size).is_some_and(|sum| sum <= self.limit);
        if fits(self.read) && fits(self.end) { Ok(()) } else { Err(self.too_big()) }
    }

    fn too_big(&self) -> Error {
        Error::Limit { what: "bytes of data", limit: self.limit }
    }

    /// Stores what `content` gives until its end. `tick` is called after each chunk.
    pub(crate) fn append(
        &mut self,
        content: &mut dyn Read,
        failed: ReadFailed<'_>,
        tick: &mut dyn FnMut(u64) -> ControlFlow<()>,
    ) -> Result<FileData, Error> {
        let start = self.end;
        let mut size = 0;
        let mut hash = Sha256::new();
        loop {
            let count = fill(&mut self.buffer, content).map_err(failed)?;
            self.reserve(count as u64)?;
            self.read += count as u64;
            let first = size == 0;
            size += count as u64;
            hash.update(self.buffer.get(..count).unwrap_or_default());
            let last = count < self.buffer.len();
            if first && last {
                // Small: look before writing.
                return self.store_small(size, hash.finalize().into());
            }
            self.write(count)?;
            if tick(self.read).is_break() {
                return Err(Error::Cancelled);
            }
            if last {
                break;
            }
        }
        let digest = hash.finalize().into();
        if let Some(extent) = self.known.get(&digest) {
            self.end = start;
            return Ok(FileData { size, block: extent.block, digest });
        }
        self.remember(start, size, digest)
    }

    fn store_small(&mut self, size: u64, digest: Digest) -> Result<FileData, Error> {
        if size == 0 {
            return Ok(FileData { size, block: 0, digest });
        }
        if let Some(extent) = self.known.get(&digest) {
            return Ok(FileData { size, block: extent.block, digest });
        }
        let start = self.end;
        self.write(usize::try_from(size).map_err(|_| self.too_big())?)?;
        self.remember(start, size, digest)
    }

    fn remember(&mut self, start: u64, size: u64, digest: Digest) -> Result<FileData, Error> {
        let block = u32::try_from(start / BLOCK).map_err(|_| self.too_big())?;
        self.known.insert(digest, Extent { block, size });
        Ok(FileData { size, block, digest })
    }

    /// Writes the buffer's first `count` bytes, padded to whole blocks, at the end.
    fn write(&mut self, count: usize) -> Result<(), Error> {
        let padded = count.next_multiple_of(BLOCK as usize);
        self.buffer.get_mut(count..padded).unwrap_or_default().fill(0);
        let bytes = self.buffer.get(..padded).unwrap_or_default();
        write_sparse(self.output, bytes, self.end, self.untouched).map_err(Error::Output)?;
        self.end += padded as u64;
        self.untouched = self.untouched.max(self.end);
        if self.end > self.limit { Err(self.too_big()) } else { Ok(()) }
    }

    /// Zeroes every content for which `used` says that no file has it any more.
    pub(crate) fn finish(&mut self, used: &dyn Fn(&Digest) -> bool) -> Result<(), Error> {
        let output = &mut *self.output;
        let dead = self.known.iter().filter(|(digest, _)| !used(digest));
        for (_, extent) in dead {
            let length = extent.size.next_multiple_of(BLOCK);
            output.zero(u64::from(extent.block) * BLOCK, length).map_err(Error::Output)?;
        }
        Ok(())
    }
}

/// Reads until `buffer` is full or the content ends.
fn fill(buffer: &mut [u8], content: &mut dyn Read) -> io::Result<usize> {
    let mut count = 0;
    while let Some(rest) = buffer.get_mut(count..).filter(|rest| !rest.is_empty()) {
        match content.read(rest) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(count)
}

/// Writes whole blocks at `at`, leaving out those that are zero where nothing was written before (`untouched` on).
fn write_sparse(output: &mut dyn Output, bytes: &[u8], at: u64, untouched: u64) -> io::Result<()> {
    let block = BLOCK as usize;
    let hole = |index: usize, block: &[u8]| {
        at + index as u64 * BLOCK >= untouched && block.iter().all(|&byte| byte == 0)
    };
    let mut run_start = 0;
    for (index, content) in bytes.chunks(block).enumerate() {
        if hole(index, content) {
            write_run(output, bytes, run_start * block..index * block, at)?;
            run_start = index + 1;
        }
    }
    write_run(output, bytes, run_start * block..bytes.len(), at)
}

fn write_run(output: &mut dyn Output, bytes: &[u8], run: std::ops::Range<usize>, at: u64) -> io::Result<()> {
    let offset = at + run.start as u64;
    match bytes.get(run) {
        Some(run) if !run.is_empty() => output.write_at(run, offset),
        _ => Ok(()),
    }
}
