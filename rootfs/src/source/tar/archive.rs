//! The sequence of entries in a tar stream, with the headers that extend others taken in.

use std::io::{self, Read};

use super::header::{BLOCK, BadNumber, Header, gnu_sparse_more};
use super::pax::{self, Records};
use super::sparse::{MAX_SEGMENTS, SparseMap};
use crate::error::Error;
use crate::options::Time;
use crate::tree::{DeviceNumber, Meta, Special};

/// Longest header extension (a pax header or a GNU long name), in bytes; extended attributes can be large.
const MAX_EXTENSION: u64 = 1 << 20;
/// Most header extensions before one entry.
const MAX_EXTENSIONS: usize = 32;
/// How far to read on after the archive's end, so that a decoder sees its own end and checks its sums.
const MAX_TRAILER: u64 = 1 << 20;

/// One member of an archive.
pub(super) struct Entry {
    pub(super) path: Vec<u8>,
    pub(super) meta: Meta,
    pub(super) kind: Kind,
    /// It has extended attributes.
    pub(super) xattrs: bool,
}

pub(super) enum Kind {
    /// The content is to be read with [`Archive::content`].
    File(Option<SparseMap>),
    HardLink(Vec<u8>),
    Symlink(Vec<u8>),
    Directory,
    Special(Special),
}

pub(super) struct Archive<R> {
    stream: R,
    /// Bytes read.
    offset: u64,
    /// Where the current entry's header began.
    header: u64,
    /// Bytes of the current entry's data that are not read yet.
    data: u64,
    /// Bytes that pad it.
    padding: u64,
    global: Records,
}

impl<R: Read> Archive<R> {
    pub(super) fn new(stream: R) -> Self {
        Self { stream, offset: 0, header: 0, data: 0, padding: 0, global: Records::default() }
    }

    /// The next entry; `None` at the end mark.
    pub(super) fn next(&mut self) -> Result<Option<Entry>, Error> {
        self.skip()?;
        let mut records = self.global.clone();
        let (mut long_name, mut long_link) = (None, None);
        for _ in 0..=MAX_EXTENSIONS {
            self.header = self.offset;
            let block = self.block()?;
            if block.iter().all(|&byte| byte == 0) {
                self.finish()?;
                return Ok(None);
            }
            let header = Header::new(block).ok_or_else(|| self.bad("a header has no valid checksum"))?;
            match header.kind() {
                b'x' => {
                    let text = self.extension(&header)?;
                    pax::parse(&text, &mut records).map_err(|problem| self.bad(problem))?;
                }
                b'g' => {
                    let text = self.extension(&header)?;
                    pax::parse(&text, &mut self.global).map_err(|problem| self.bad(problem))?;
                    records = self.global.clone();
                }
                b'L' => long_name = Some(self.name(&header)?),
                b'K' => long_link = Some(self.name(&header)?),
                // A volume label is no file.
                b'V' => self.data_follows(self.number(header.size())?)?,
                _ => {
                    records.path = records.path.or(long_name);
                    records.link = records.link.or(long_link);
                    return self.entry(&header, records).map(Some);
                }
            }
            self.skip()?;
        }
        Err(self.bad("too many headers extend one entry"))
    }

    fn entry(&mut self, header: &Header, records: Records) -> Result<Entry, Error> {
        let path =
            records.sparse.name.clone().or_else(|| records.path.clone()).unwrap_or_else(|| header.path());
        let meta = self.meta(header, &records)?;
        let link = || records.link.clone().unwrap_or_else(|| header.link());
        let kind = match header.kind() {
            b'0' | 0 | b'7' | b'S' => {
                let size = records.size.map_or_else(|| self.number(header.size()), Ok)?;
                self.data_follows(size)?;
                // The oldest archives have no other mark of a directory.
                if path.ends_with(b"/") {
                    Kind::Directory
                } else {
                    Kind::File(self.sparse_map(header, &records)?)
                }
            }
            b'1' => Kind::HardLink(link()),
            b'2' => Kind::Symlink(link()),
            b'3' => Kind::Special(Special::CharDevice(self.device(header)?)),
            b'4' => Kind::Special(Special::BlockDevice(self.device(header)?)),
            b'5' => Kind::Directory,
            b'6' => Kind::Special(Special::Fifo),
            b'M' => return Err(self.bad("it continues on another volume")),
            b'D' => return Err(self.bad("it is an incremental GNU dump")),
            _ => return Err(self.bad("an entry has an unknown type")),
        };
        Ok(Entry { path, meta, kind, xattrs: records.xattrs })
    }

    fn meta(&self, header: &Header, records: &Records) -> Result<Meta, Error> {
        let owner = |record: Option<u64>, field: Result<u64, BadNumber>| {
            let id = record.map_or_else(|| self.number(field), Ok)?;
            u32::try_from(id).map_err(|_| self.bad("an owner's number has more than 32 bits"))
        };
        let mtime: Time = records.mtime.map_or_else(|| self.number(header.mtime()), Ok)?;
        Ok(Meta {
            permissions: self.number(header.permissions())?,
            uid: owner(records.uid, header.uid())?,
            gid: owner(records.gid, header.gid())?,
            mtime,
        })
    }

    fn device(&self, header: &Header) -> Result<DeviceNumber, Error> {
        let (major, minor) = self.number(header.device())?;
        let number = u32::try_from(major).ok().zip(u32::try_from(minor).ok());
        number
            .and_then(|(major, minor)| DeviceNumber::new(major, minor))
            .ok_or_else(|| self.bad("a device's number is too large"))
    }

    /// The map of a sparse file, in whichever of GNU's four forms; `None` for other files.
    fn sparse_map(&mut self, header: &Header, records: &Records) -> Result<Option<SparseMap>, Error> {
        let (segments, size) = if header.kind() == b'S' {
            (self.gnu_map(header)?, self.number(header.gnu_real_size())?)
        } else if let Some(size) = records.sparse.size {
            let segments = match records.sparse.major {
                Some(1) => self.map_before_data()?,
                None | Some(0) => pairs(&records.sparse.map),
                Some(_) => return Err(self.bad("a sparse file has an unknown format")),
            };
            (segments, size)
        } else {
            return Ok(None);
        };
        let map = SparseMap::new(segments, size, self.data);
        map.map(Some).ok_or_else(|| self.bad("a sparse file's map contradicts itself"))
    }

    /// The GNU form: in the header and, if that is not enough, in blocks between it and the data.
    fn gnu_map(&mut self, header: &Header) -> Result<Vec<(u64, u64)>, Error> {
        let (mut segments, mut more) = self.number(header.gnu_sparse())?;
        while more {
            let block = self.block()?;
            let (next, again) = self.number(gnu_sparse_more(&block))?;
            segments.extend(next);
            if segments.len() > MAX_SEGMENTS {
                return Err(self.bad("a sparse file has too many parts"));
            }
            more = again;
        }
        Ok(segments)
    }

    /// The pax form 1.0: decimal lines before the data, padded to a block: a count, then offsets and lengths.
    fn map_before_data(&mut self) -> Result<Vec<(u64, u64)>, Error> {
        let mut numbers: Vec<u64> = Vec::new();
        let mut line = Vec::new();
        loop {
            self.data = self
                .data
                .checked_sub(BLOCK as u64)
                .ok_or_else(|| self.bad("a sparse file's map is cut off"))?;
            for byte in self.block()? {
                let wanted = numbers.first().map_or(1, |&count| count.saturating_mul(2).saturating_add(1));
                if numbers.len() as u64 == wanted {
                    break;
                }
                if wanted > 2 * MAX_SEGMENTS as u64 || line.len() > 20 {
                    return Err(self.bad("a sparse file's map is too large"));
                }
                match byte {
                    b'\n' => {
                        let number = pax::decimal(&line);
                        numbers.push(number.ok_or_else(|| self.bad("a sparse file's map is malformed"))?);
                        line.clear();
                    }
                    digit => line.push(digit),
                }
            }
            if let Some((&count, map)) = numbers.split_first()
                && map.len() as u64 == count.saturating_mul(2)
            {
                return Ok(pairs(map));
            }
        }
    }

    /// The data of a header that extends the next one.
    fn extension(&mut self, header: &Header) -> Result<Vec<u8>, Error> {
        let size = self.number(header.size())?;
        if size > MAX_EXTENSION {
            return Err(self.bad("an extended header is longer than 1 MiB"));
        }
        self.data_follows(size)?;
        let mut text = Vec::new();
        self.content().read_to_end(&mut text).map_err(read_failed)?;
        Ok(text)
    }

    /// A GNU long name: up to its NUL.
    fn name(&mut self, header: &Header) -> Result<Vec<u8>, Error> {
        let mut name = self.extension(header)?;
        name.truncate(name.iter().position(|&byte| byte == 0).unwrap_or(name.len()));
        Ok(name)
    }

    fn data_follows(&mut self, size: u64) -> Result<(), Error> {
        let padded = size.checked_next_multiple_of(BLOCK as u64);
        self.padding = padded.ok_or_else(|| self.bad("a size is too large"))? - size;
        self.data = size;
        Ok(())
    }

    /// The rest of the current entry's data.
    pub(super) fn content(&mut self) -> Content<'_, R> {
        Content { archive: self }
    }

    /// Bytes of the current entry's data that are stored and not read yet.
    pub(super) fn stored(&self) -> u64 {
        self.data
    }

    fn skip(&mut self) -> Result<(), Error> {
        let rest = self.data.saturating_add(self.padding);
        (self.data, self.padding) = (0, 0);
        let skipped = io::copy(&mut self.stream.by_ref().take(rest), &mut io::sink()).map_err(read_failed)?;
        self.offset = self.offset.saturating_add(skipped);
        if skipped == rest { Ok(()) } else { Err(self.truncated()) }
    }

    /// Reads to the stream's end, within reason.
    fn finish(&mut self) -> Result<(), Error> {
        let trailer = &mut self.stream.by_ref().take(MAX_TRAILER);
        io::copy(trailer, &mut io::sink()).map_err(read_failed).map(drop)
    }

    fn block(&mut self) -> Result<[u8; BLOCK], Error> {
        let mut block = [0; BLOCK];
        match self.stream.read_exact(&mut block) {
            Ok(()) => {
                self.offset += BLOCK as u64;
                Ok(block)
            }
            Err(error) if error.kind() == io::ErrorKind::UnexpectedEof => Err(self.truncated()),
            Err(error) => Err(read_failed(error)),
        }
    }

    fn truncated(&self) -> Error {
        self.bad(if self.offset == 0 {
            "it is empty"
        } else {
            "it ends without an end mark; is it truncated?"
        })
    }

    fn number<T>(&self, number: Result<T, BadNumber>) -> Result<T, Error> {
        number.map_err(|BadNumber| self.bad("a header holds no number where one should be"))
    }

    fn bad(&self, problem: &'static str) -> Error {
        Error::BadTar { offset: self.header, problem }
    }
}

fn read_failed(error: io::Error) -> Error {
    Error::io("read", b"the archive", error)
}

fn pairs(numbers: &[u64]) -> Vec<(u64, u64)> {
    numbers.chunks_exact(2).filter_map(|pair| Some((*pair.first()?, *pair.last()?))).collect()
}

/// Reads one entry's data.
pub(super) struct Content<'a, R> {
    archive: &'a mut Archive<R>,
}

impl<R: Read> Read for Content<'_, R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let archive = &mut *self.archive;
        let wanted = usize::try_from(archive.data).unwrap_or(usize::MAX).min(buffer.len());
        if wanted == 0 {
            // Not a question for the stream: some decoders take an empty buffer for their own end.
            return Ok(0);
        }
        let count = archive.stream.read(buffer.get_mut(..wanted).unwrap_or_default())?;
        if count == 0 {
            return Err(io::Error::new(io::ErrorKind::UnexpectedEof, "the archive ends inside this file"));
        }
        archive.data -= count as u64;
        archive.offset = archive.offset.saturating_add(count as u64);
        Ok(count)
    }
}
