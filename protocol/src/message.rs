//! What the two sides say to each other.

use crate::bounded::{List, Text};
use crate::file::{FileDone, FileFailed, GetFile, PutFile};
use crate::ids::{JobId, Stream};
use crate::job::{Exited, StartFailed, StartJob, TtySize};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

/// A message type, and with it a direction of flow.
pub trait Message: Serialize + DeserializeOwned {
    /// Longest encoded message in bytes.
    const MAX_BODY: usize;

    /// Whether data of this stream may flow in the direction of these messages.
    fn carries(stream: Stream) -> bool;
}

/// From the host to the agent. The host may send before it has seen the agent's `Hello`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum HostMessage {
    /// Start a job.
    Start(StartJob),
    /// No more data will follow on this stream (stdin or a file being put).
    Eof(Stream),
    /// The receiver can take this many more bytes of a stream that flows to the host.
    Credit {
        /// The stream.
        stream: Stream,
        /// Additional bytes.
        bytes: u32,
    },
    /// The receiver wants no more of this stream: the job's next write fails with `EPIPE`, its
    /// terminal hangs up, a transfer is given up.
    Close(Stream),
    /// Send a signal. Not an error if the job has just ended.
    Signal {
        /// The job.
        job: JobId,
        /// Linux signal number, 1 to 64.
        signo: u8,
        /// Who gets it.
        target: SignalTarget,
    },
    /// The terminal has a new size.
    Resize {
        /// The job.
        job: JobId,
        /// The new size.
        size: TtySize,
    },
    /// Write a file.
    PutFile(PutFile),
    /// Read a file.
    GetFile(GetFile),
    /// Set the wall clock, as after a restore from a snapshot. Unix time in nanoseconds.
    SetTime {
        /// Nanoseconds since 1970-01-01 UTC.
        unix_ns: u64,
    },
    /// Fresh random bytes for the guest's generator, as after a restore from a snapshot.
    AddEntropy([u8; 32]),
    /// Answered by `Pong` with the same token.
    Ping {
        /// Any number.
        token: u32,
    },
    /// End all jobs (SIGTERM, after the grace SIGKILL), report their `Exited`, say `Bye` and power off.
    Shutdown {
        /// Time between SIGTERM and SIGKILL in milliseconds; 0 kills at once.
        grace_ms: u32,
    },
}

/// From the agent to the host.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GuestMessage {
    /// The first message on every connection.
    Hello(Hello),
    /// A job runs: its command was executed.
    Started {
        /// The job.
        job: JobId,
        /// Its process id in the guest; also its session and process group id.
        pid: u32,
    },
    /// A job did not start.
    StartFailed(StartFailed),
    /// No more data will follow on this stream (stdout or stderr; a file ends with `FileDone`).
    Eof(Stream),
    /// The receiver can take this many more bytes of a stream that flows to the guest.
    Credit {
        /// The stream.
        stream: Stream,
        /// Additional bytes.
        bytes: u32,
    },
    /// The receiver wants no more of this stream: the job closed its standard input.
    Close(Stream),
    /// A job ended.
    Exited(Exited),
    /// A transfer is complete.
    FileDone(FileDone),
    /// A transfer failed.
    FileFailed(FileFailed),
    /// The answer to `Ping`.
    Pong {
        /// The token of the `Ping`.
        token: u32,
    },
    /// Something worth knowing that is no answer to anything.
    Log {
        /// How bad it is.
        level: LogLevel,
        /// What it is.
        text: Text,
    },
    /// The last message: the agent powers the machine off.
    Bye(ByeReason),
}

impl Message for HostMessage {
    // What one execve takes with the usual 8 MiB stack limit: a quarter of it.
    const MAX_BODY: usize = 2 << 20;

    fn carries(stream: Stream) -> bool {
        matches!(stream, Stream::Stdin(_) | Stream::File(_))
    }
}

impl Message for GuestMessage {
    const MAX_BODY: usize = 16 << 10;

    fn carries(stream: Stream) -> bool {
        matches!(stream, Stream::Stdout(_) | Stream::Stderr(_) | Stream::File(_))
    }
}

/// Who gets a signal.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum SignalTarget {
    /// The foreground process group of the job's terminal if it has one, else the job's process group.
    Group,
    /// The job's main process alone.
    Process,
}

/// Who the agent is and what it runs on.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Hello {
    /// Version of the agent, such as `0.1.0`.
    pub agent: Text,
    /// `sysname` of `uname(2)`.
    pub kernel: Text,
    /// `release` of `uname(2)`.
    pub release: Text,
    /// When things happened during boot, in order, as far as the kernel tells; then the agent's own start.
    pub boot: List<BootPhase, 0, 64>,
}

/// A moment during boot.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootPhase {
    /// What had just been reached.
    pub name: Text,
    /// When, in nanoseconds since the guest kernel's start.
    pub ns: u64,
}

/// How bad a log message is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum LogLevel {
    /// Something does not work.
    Error,
    /// Something is odd.
    Warning,
    /// Something happened.
    Info,
}

/// Why the agent powers off.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum ByeReason {
    /// The host asked for it.
    Shutdown,
    /// The host broke the protocol.
    ProtocolError(Text),
    /// The agent cannot go on.
    Fatal(Text),
}
