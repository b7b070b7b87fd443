//! Names of jobs, file transfers and the streams that belong to them.

use core::fmt;
use core::num::NonZeroU32;
use serde::{Deserialize, Serialize};

/// A job, as named by the host in [`crate::StartJob`]. Free for reuse once the job exited or failed to start.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct JobId(NonZeroU32);

/// A file transfer, as named by the host. Free for reuse once the transfer ended either way.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct FileId(NonZeroU32);

macro_rules! id {
    ($name:ident, $label:literal) => {
        impl $name {
            /// The id with this number; `None` for zero, which names nothing.
            pub const fn new(number: u32) -> Option<Self> {
                match NonZeroU32::new(number) {
                    Some(number) => Some(Self(number)),
                    None => None,
                }
            }

            /// The number, never zero.
            pub const fn get(self) -> u32 {
                self.0.get()
            }
        }

        impl fmt::Display for $name {
            fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, concat!($label, " {}"), self.0)
            }
        }
    };
}
id!(JobId, "job");
id!(FileId, "file");

/// One flow of bytes. Stdin flows to the guest, stdout and stderr to the host, a file either way: to the guest after
/// [`crate::PutFile`], to the host after [`crate::GetFile`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub enum Stream {
    /// Standard input of a job (or the input side of its terminal).
    Stdin(JobId),
    /// Standard output of a job (or everything its terminal shows).
    Stdout(JobId),
    /// Standard error of a job; never used by a job on a terminal.
    Stderr(JobId),
    /// The content of a file.
    File(FileId),
}

impl fmt::Display for Stream {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Stream::Stdin(job) => write!(f, "stdin of {job}"),
            Stream::Stdout(job) => write!(f, "stdout of {job}"),
            Stream::Stderr(job) => write!(f, "stderr of {job}"),
            Stream::File(file) => write!(f, "content of {file}"),
        }
    }
}
