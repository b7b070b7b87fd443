//! What the agent said, after it was checked.

use ampoule_protocol::{
    ByeReason, Exited, FileDone, FileFailed, FileId, Hello, JobId, LogLevel, StartFailed, Stream, Text,
};

/// Something that happened in the guest. Data borrows the connection's buffer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event<'a> {
    /// The agent is up.
    Hello(Hello),
    /// A job runs.
    Started {
        /// The job.
        job: JobId,
        /// Its process id in the guest.
        pid: u32,
    },
    /// A job did not start; it is over.
    StartFailed(StartFailed),
    /// A job wrote something. To be answered by [`Session::consumed`](super::Session::consumed) as it is passed on.
    Output {
        /// Stdout or stderr of a job.
        stream: Stream,
        /// What it wrote.
        bytes: &'a [u8],
    },
    /// A job's output stream is complete.
    OutputEnd(Stream),
    /// A job takes more input again.
    InputRoom(JobId),
    /// A job wants no more input.
    InputClosed(JobId),
    /// A job is over.
    Exited(Exited),
    /// A piece of a file that is being read.
    FileData {
        /// The transfer.
        file: FileId,
        /// The next bytes of the file.
        bytes: &'a [u8],
    },
    /// A file that is being written takes more data again.
    FileRoom(FileId),
    /// A transfer is complete.
    FileDone(FileDone),
    /// A transfer failed.
    FileFailed(FileFailed),
    /// The agent answered a ping.
    Pong,
    /// The agent has something to tell.
    Log {
        /// How bad it is.
        level: LogLevel,
        /// What it is.
        text: Text,
    },
    /// The agent ends, and its machine with it.
    Bye(ByeReason),
}
