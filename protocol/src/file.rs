//! Files copied into and out of a guest.

use crate::bounded::{CBytes, Text};
use crate::ids::FileId;
use serde::{Deserialize, Serialize};

/// Write a file in the guest. Its content follows as `Stream::File` data and an `Eof`; answered by `FileDone` or
/// `FileFailed`. The file appears under its name complete or not at all.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PutFile {
    /// The name for this transfer.
    pub file: FileId,
    /// Absolute path; missing parent directories are created.
    pub path: CBytes,
    /// Permission bits, at most 0o7777.
    pub mode: u16,
}

/// Read a regular file of the guest. Answered by its content as `Stream::File` data and then `FileDone`, or by
/// `FileFailed`, which can also come after some of the content.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct GetFile {
    /// The name for this transfer.
    pub file: FileId,
    /// Absolute path; symbolic links are followed.
    pub path: CBytes,
    /// The length in bytes up to which the host takes it. One that is longer is refused at once (`Open`, `EFBIG`); one
    /// that grows meanwhile is the host's to stop.
    pub limit: u64,
}

/// A transfer is complete. Its id is free again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileDone {
    /// The transfer.
    pub file: FileId,
    /// Length of the file as transferred, in bytes.
    pub bytes: u64,
    /// Permission bits of the file.
    pub mode: u16,
}

/// A transfer failed. Its id is free again; a sender may still have data under way, which is to be ignored.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileFailed {
    /// The transfer.
    pub file: FileId,
    /// What the agent was doing.
    pub step: FileStep,
    /// The Linux errno, or 0 if it was no system call that failed.
    pub errno: u16,
    /// One clause for people; may be empty.
    pub message: Text,
}

/// The steps of a transfer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum FileStep {
    /// Taking the request: the id is in use, the path is not absolute, or there are too many transfers.
    Accept,
    /// Creating parent directories.
    Parents,
    /// Opening or creating the file, or it is not a regular file, or longer than asked for.
    Open,
    /// Reading.
    Read,
    /// Writing.
    Write,
    /// Giving the complete file its name and mode.
    Commit,
    /// The host closed the stream.
    Closed,
}
