//! The frame: a 12-byte header, then a body.
//!
//! ```text
//!  byte  0      1        2     3     4..8            8..12
//!       +------+--------+-----+-----+---------------+---------------+
//!       | 0xa9 | version| kind|  0  | body length   | id            |   integers little endian
//!       +------+--------+-----+-----+---------------+---------------+
//!  kind 0: message, id 0, the body is postcard.   kind 1 stdin, 2 stdout, 3 stderr (id: job), 4 file (id: file):
//!  the body is 1 to MAX_DATA raw bytes of that stream.
//! ```

use crate::error::Error;
use crate::ids::{FileId, JobId, Stream};
use crate::message::Message;

/// The version of the protocol, in every frame.
pub const VERSION: u8 = 3;
/// First byte of every frame.
pub const MAGIC: u8 = 0xa9;
/// Length of a frame header in bytes.
pub const HEADER_LEN: usize = 12;
/// Most bytes of a stream in one frame.
pub const MAX_DATA: usize = 64 * 1024;

const KIND_MESSAGE: u8 = 0;
const KIND_STDIN: u8 = 1;
const KIND_STDOUT: u8 = 2;
const KIND_STDERR: u8 = 3;
const KIND_FILE: u8 = 4;

/// A decoded frame. Data borrows the bytes it was decoded from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame<'a, M> {
    /// A message.
    Message(M),
    /// Bytes of a stream, never empty.
    Data {
        /// The stream.
        stream: Stream,
        /// The bytes.
        bytes: &'a [u8],
    },
}

/// A valid header.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Header {
    /// `None`: the body is a message.
    stream: Option<Stream>,
    /// Length of the body in bytes, within the limit for its kind.
    pub(crate) body_len: usize,
}

impl Header {
    /// Reads the header at the start of `bytes`; `None` if it is not all there. The parts that are there are checked,
    /// so that a peer that speaks something else is told at its first byte.
    pub(crate) fn parse<M: Message>(bytes: &[u8]) -> Result<Option<Self>, Error> {
        match bytes.first() {
            Some(&MAGIC) | None => {}
            Some(&found) => return Err(Error::BadMagic { found }),
        }
        match bytes.get(1) {
            Some(&VERSION) | None => {}
            Some(&found) => return Err(Error::BadVersion { found }),
        }
        let Some(&[_, _, kind, zero, l0, l1, l2, l3, i0, i1, i2, i3]) = bytes.first_chunk::<HEADER_LEN>()
        else {
            return Ok(None);
        };
        if zero != 0 {
            return Err(Error::BadHeader { field: "reserved", value: zero.into() });
        }
        let id = u32::from_le_bytes([i0, i1, i2, i3]);
        let stream = stream_of(kind, id)?;
        if stream.is_some_and(|stream| !M::carries(stream)) {
            return Err(Error::BadKind { kind });
        }
        let max = if stream.is_some() { MAX_DATA } else { M::MAX_BODY };
        let len = u32::from_le_bytes([l0, l1, l2, l3]);
        match usize::try_from(len) {
            Ok(0) if stream.is_some() => Err(Error::EmptyData),
            Ok(body_len) if body_len <= max => Ok(Some(Self { stream, body_len })),
            _ => Err(Error::TooLong { len: usize::try_from(len).unwrap_or(usize::MAX), max }),
        }
    }
}

fn stream_of(kind: u8, id: u32) -> Result<Option<Stream>, Error> {
    let bad_id = Error::BadHeader { field: "id", value: id };
    let job = |stream: fn(JobId) -> Stream| JobId::new(id).map(stream);
    let stream = match kind {
        KIND_MESSAGE if id == 0 => return Ok(None),
        KIND_MESSAGE => None,
        KIND_STDIN => job(Stream::Stdin),
        KIND_STDOUT => job(Stream::Stdout),
        KIND_STDERR => job(Stream::Stderr),
        KIND_FILE => FileId::new(id).map(Stream::File),
        _ => return Err(Error::BadKind { kind }),
    };
    stream.map(Some).ok_or(bad_id)
}

/// Decodes the frame at the start of `bytes`: the frame and its length in bytes, or `None` if it is not all there.
///
/// This is the whole decoder, without state: what [`crate::Decoder`] runs on its buffer, and what a fuzzer calls.
pub fn decode<M: Message>(bytes: &[u8]) -> Result<Option<(Frame<'_, M>, usize)>, Error> {
    let Some(header) = Header::parse::<M>(bytes)? else { return Ok(None) };
    let end = HEADER_LEN + header.body_len;
    let Some(body) = bytes.get(HEADER_LEN..end) else { return Ok(None) };
    let frame = match header.stream {
        Some(stream) => Frame::Data { stream, bytes: body },
        None => Frame::Message(decode_message(body)?),
    };
    Ok(Some((frame, end)))
}

fn decode_message<M: Message>(body: &[u8]) -> Result<M, Error> {
    let (message, rest) = postcard::take_from_bytes(body).map_err(Error::Malformed)?;
    match rest.len() {
        0 => Ok(message),
        extra => Err(Error::TrailingBytes { extra }),
    }
}

/// The header of a frame with `len` bytes of `stream`; the bytes themselves are to follow it on the wire.
///
/// An error says that `len` is zero or more than [`MAX_DATA`].
pub fn data_header(stream: Stream, len: usize) -> Result<[u8; HEADER_LEN], Error> {
    let (kind, id) = match stream {
        Stream::Stdin(job) => (KIND_STDIN, job.get()),
        Stream::Stdout(job) => (KIND_STDOUT, job.get()),
        Stream::Stderr(job) => (KIND_STDERR, job.get()),
        Stream::File(file) => (KIND_FILE, file.get()),
    };
    match len {
        0 => Err(Error::EmptyData),
        _ => header(kind, len, MAX_DATA, id),
    }
}

/// The header of a frame with a message of `len` encoded bytes.
pub(crate) fn message_header<M: Message>(len: usize) -> Result<[u8; HEADER_LEN], Error> {
    header(KIND_MESSAGE, len, M::MAX_BODY, 0)
}

fn header(kind: u8, len: usize, max: usize, id: u32) -> Result<[u8; HEADER_LEN], Error> {
    let too_long = Error::TooLong { len, max };
    let [l0, l1, l2, l3] = match u32::try_from(len) {
        Ok(length) if len <= max => length.to_le_bytes(),
        _ => return Err(too_long),
    };
    let [i0, i1, i2, i3] = id.to_le_bytes();
    Ok([MAGIC, VERSION, kind, 0, l0, l1, l2, l3, i0, i1, i2, i3])
}
