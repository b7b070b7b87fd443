//! Everything that can be wrong with bytes, values or credit.

use crate::ids::Stream;
use thiserror::Error;

/// A violation of the protocol, or a value that the protocol cannot carry.
///
/// After any error from decoding, the connection is of no more use: the position in the byte stream is lost.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Error {
    /// The first header byte is not the protocol's magic: this is not an ampoule stream.
    #[error("not an ampoule frame: first byte {found:#04x}")]
    BadMagic {
        /// The byte in the place of the magic.
        found: u8,
    },
    /// The peer speaks another version.
    #[error("protocol version {found}, expected {}", crate::frame::VERSION)]
    BadVersion {
        /// The peer's version.
        found: u8,
    },
    /// A frame kind that this version does not have, or that may not flow in this direction.
    #[error("frame kind {kind} is unknown or flows the other way")]
    BadKind {
        /// The kind byte.
        kind: u8,
    },
    /// A reserved header field is not zero, or an id is zero where it may not be (or the reverse).
    #[error("header field `{field}` has the invalid value {value}")]
    BadHeader {
        /// Name of the field.
        field: &'static str,
        /// Its value.
        value: u32,
    },
    /// A frame announces a body beyond the limit of its kind.
    #[error("frame body of {len} bytes is longer than the {max} allowed")]
    TooLong {
        /// Announced body length in bytes.
        len: usize,
        /// The limit in bytes.
        max: usize,
    },
    /// A data frame without data.
    #[error("empty data frame")]
    EmptyData,
    /// The body is not a valid message.
    #[error("malformed message: {0}")]
    Malformed(postcard::Error),
    /// A valid message is followed by more bytes in the same frame.
    #[error("{extra} bytes after the end of a message")]
    TrailingBytes {
        /// Number of surplus bytes.
        extra: usize,
    },
    /// A sender sent more stream bytes than it was granted.
    #[error("{stream}: {len} bytes sent with a credit of {credit}")]
    CreditExceeded {
        /// The stream.
        stream: Stream,
        /// Bytes in the offending frame.
        len: usize,
        /// Bytes that were still granted.
        credit: u32,
    },
    /// A receiver granted more than [`crate::MAX_WINDOW`] in total.
    #[error("{stream}: a grant of {bytes} bytes makes the window larger than {}", crate::window::MAX_WINDOW)]
    WindowOverflow {
        /// The stream.
        stream: Stream,
        /// Bytes granted.
        bytes: u32,
    },
    /// A value to be sent breaks a rule of the protocol.
    #[error("{what}: {problem}")]
    InvalidValue {
        /// What kind of value.
        what: &'static str,
        /// What is wrong with it.
        problem: &'static str,
    },
}
