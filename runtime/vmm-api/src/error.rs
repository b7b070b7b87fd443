//! What can be wrong with a configuration or a status.

use std::os::fd::RawFd;
use thiserror::Error;

/// An invalid configuration, or a status line that is none.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// Not the JSON of a configuration.
    #[error("the configuration is not valid: {0}")]
    ConfigSyntax(#[source] serde_json::Error),
    /// Not the JSON of a status.
    #[error("the status is not valid: {0}")]
    StatusSyntax(#[source] serde_json::Error),
    /// A status line that no VMM writes.
    #[error("the status has {len} bytes, more than {max}")]
    StatusTooLong {
        /// Its length.
        len: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// Too little or too much guest memory.
    #[error("{memory_mib} MiB of guest memory are not between {min} and {max} MiB")]
    Memory {
        /// What was asked for.
        memory_mib: u32,
        /// The least.
        min: u32,
        /// The most.
        max: u32,
    },
    /// A negative file descriptor.
    #[error("{what}: {fd} is not a file descriptor")]
    Fd {
        /// Whose.
        what: String,
        /// The number.
        fd: RawFd,
    },
    /// A descriptor that the VMM is to own has another use, too.
    #[error("{what}: file descriptor {fd} has another use already")]
    SharedFd {
        /// Whose.
        what: String,
        /// The number.
        fd: RawFd,
    },
    /// A slice of a file without bytes.
    #[error("{what} is empty")]
    Empty {
        /// Which slice.
        what: String,
    },
    /// A slice that ends beyond any file.
    #[error("{what}: {len} bytes at {offset} are more than a file can have")]
    Range {
        /// Which slice.
        what: String,
        /// Its offset in bytes.
        offset: u64,
        /// Its length in bytes.
        len: u64,
    },
    /// An image that cannot be mapped.
    #[error("{what}: the offset {offset} is not a multiple of {page} bytes", page = crate::PAGE_SIZE)]
    Unaligned {
        /// Which slice.
        what: String,
        /// Its offset in bytes.
        offset: u64,
    },
    /// Too many images or ports.
    #[error("{count} {what} are more than {max}")]
    TooMany {
        /// Of what.
        what: &'static str,
        /// How many there are.
        count: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// The same port twice.
    #[error("vsock port {port} is given twice")]
    DuplicatePort {
        /// The port.
        port: u32,
    },
    /// A command line that is too long.
    #[error("the command line has {len} bytes, more than {max}")]
    CmdlineTooLong {
        /// Its length.
        len: usize,
        /// The most that is allowed.
        max: usize,
    },
    /// A command line with a character that does not belong there.
    #[error("the command line has the character {character:?}; only printable ASCII is allowed")]
    CmdlineCharacter {
        /// The first such character.
        character: char,
    },
}
