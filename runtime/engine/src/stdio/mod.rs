//! The caller's own file descriptors as ends of a job's streams, without ever blocking on them.
//!
//! They are shared with other processes, so they cannot be made non-blocking: that would change them for everybody.
//! [`Source`] and [`Sink`] find another way for each kind of file (see [`Kind`]). A sink keeps what its file does not
//! take; how much that can be is bounded by the credit of the stream that feeds it.

mod kind;
mod log;
mod sink;
mod source;

pub use kind::Kind;
pub(crate) use log::LineEnd;
pub use log::Log;
pub use sink::{Sink, SinkState};
pub use source::{Piece, Source};
