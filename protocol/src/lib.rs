//! The wire protocol between the ampoule host and the agent in a guest.
//!
//! One byte stream (the control connection, which the agent opens to host vsock port [`CONTROL_PORT`]) carries
//! frames both ways: a fixed 12-byte header, then a body. A body is either one postcard-encoded message
//! ([`HostMessage`] or [`GuestMessage`]) or the raw bytes of a stream, which serde never touches.
//!
//! - [`message`]: what the two sides say; [`job`], [`filter`] and [`file`] hold the larger payloads.
//! - [`Stream`], [`JobId`], [`FileId`]: what a data frame belongs to.
//! - [`frame`]: the header and a pure [`frame::decode`]; [`Decoder`] and [`Encoder`] are its streaming forms.
//! - [`window`]: credit. A sender never sends more stream bytes than the receiver granted.
//! - [`bounded`]: strings and lists that cannot be longer than the protocol allows.
//!
//! Everything here is `no_std`, does no I/O, and treats its input as hostile: no input makes it panic, or hold more
//! than a small multiple of the bytes that were really received. `docs/protocol.md` has the format on one page.
#![no_std]
#![forbid(unsafe_code)]

extern crate alloc;

pub mod bounded;
pub mod decoder;
pub mod encoder;
pub mod error;
pub mod file;
pub mod filter;
pub mod frame;
pub mod ids;
pub mod job;
pub mod message;
pub mod window;

pub use bounded::{CBytes, EnvVar, List, Text};
pub use decoder::Decoder;
pub use encoder::Encoder;
pub use error::Error;
pub use file::{FileDone, FileFailed, FileStep, GetFile, PutFile};
pub use filter::{Filter, Instruction};
pub use frame::{Frame, HEADER_LEN, MAX_DATA, VERSION, decode};
pub use ids::{FileId, JobId, Stream};
pub use job::{
    Exited, Input, Principal, Resource, Rlimit, StartFailed, StartJob, StartStep, Status, Stdio, TtySize,
    Usage, User,
};
pub use message::{BootPhase, ByeReason, GuestMessage, Hello, HostMessage, LogLevel, Message, SignalTarget};
pub use window::{INITIAL_WINDOW, MAX_WINDOW, ReceiveWindow, SendWindow};

/// The host vsock port that the agent connects to as soon as it runs.
pub const CONTROL_PORT: u32 = 1024;
