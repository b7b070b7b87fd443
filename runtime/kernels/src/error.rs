//! What can be wrong with a kernel.

use std::io;
use std::path::PathBuf;
use thiserror::Error;

/// Why there is no kernel.
#[derive(Debug, Error)]
#[non_exhaustive]
pub enum Error {
    /// A file cannot be read or written.
    #[error("cannot {what} {}: {error}", .path.display())]
    File {
        /// Do what.
        what: &'static str,
        /// With which file.
        path: PathBuf,
        /// Why.
        error: io::Error,
    },
    /// Neither of the formats that are known.
    #[error("{what} is neither an ELF kernel (vmlinux) nor a Linux boot image for x86-64 (vmlinuz)")]
    NotAKernel {
        /// The file.
        what: String,
    },
    /// A boot image that contradicts itself.
    #[error("{what} is damaged: {problem}")]
    Damaged {
        /// The file.
        what: String,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// A compression that is not known.
    #[error("{what} is compressed in a way that is not known here (gzip, xz, zstd and lz4 are)")]
    Compression {
        /// The file.
        what: String,
    },
    /// What was compressed is not intact.
    #[error("cannot decompress {what}: {error}")]
    Decompress {
        /// The file.
        what: String,
        /// Why.
        error: io::Error,
    },
    /// More than there may be.
    #[error("{what} is too large: more than {limit} bytes")]
    TooLarge {
        /// Which thing.
        what: String,
        /// How much there may be.
        limit: u64,
    },
    /// A package that is none.
    #[error("{what} is no Debian package with a kernel: {problem}")]
    Package {
        /// The file.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A module that the guest needs is not there.
    #[error("{what} has neither a module {module} nor is it built in: a guest cannot mount its root")]
    NoModule {
        /// The kernel.
        what: String,
        /// The module.
        module: String,
    },
    /// A bad name.
    #[error("{0:?} is no name for a kernel: use lower-case letters, digits and, inside, `.`, `_` and `-`")]
    Name(String),
    /// No such kernel.
    #[error("there is no kernel {0} in the local store (see `ampoule kernel list`)")]
    NotStored(String),
    /// No place for the store.
    #[error("neither XDG_DATA_HOME nor HOME says where kernels are stored")]
    NoHome,
}

impl Error {
    /// For `map_err` after work on a file.
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::File { what, path: path.into(), error }
    }
}
