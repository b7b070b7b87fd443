//! What an agent can do wrong.

use ampoule_protocol::{FileId, JobId, Stream};
use thiserror::Error;

/// A breach of the protocol by the agent. The sandbox ends.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Violation {
    /// Bytes that are no frame, or credit that was not there.
    #[error(transparent)]
    Protocol(#[from] ampoule_protocol::Error),
    /// The connection ended in the middle of a frame.
    #[error("the connection ended within a frame")]
    Truncated,
    /// Something came before the agent said hello.
    #[error("its first message is not a hello")]
    NoHello,
    /// The agent said hello again.
    #[error("a second hello")]
    SecondHello,
    /// Something came after the agent said goodbye.
    #[error("a message after its goodbye")]
    AfterBye,
    /// It says that the host asked it to power off, which is not so.
    #[error("an end that nobody asked for")]
    UnaskedBye,
    /// A message about a job that was never started or is over.
    #[error("{what} for {job}, which does not exist")]
    UnknownJob {
        /// The kind of message.
        what: &'static str,
        /// The job it names.
        job: JobId,
    },
    /// A message about a transfer that was never begun or is over.
    #[error("{what} for {file}, which does not exist")]
    UnknownFile {
        /// The kind of message.
        what: &'static str,
        /// The transfer it names.
        file: FileId,
    },
    /// A message that does not fit the state of its job or transfer.
    #[error("{what} for {stream} in the wrong state")]
    WrongState {
        /// The kind of message.
        what: &'static str,
        /// The stream it is about.
        stream: Stream,
    },
    /// A message that does not fit the state of its job.
    #[error("{what} for {job} in the wrong state")]
    WrongJobState {
        /// The kind of message.
        what: &'static str,
        /// The job.
        job: JobId,
    },
    /// A transfer's length as reported is not the length that went over.
    #[error("{file} is said to have {reported} bytes, but {transferred} were transferred")]
    WrongLength {
        /// The transfer.
        file: FileId,
        /// What the agent says.
        reported: u64,
        /// What the host counted.
        transferred: u64,
    },
    /// An answer to a question that was not asked.
    #[error("an answer to a ping that was not sent")]
    WrongPong,
}
