//! What can be wrong with a kernel.

use std::io;
use std::path::PathBuf;
use std::process::ExitStatus;
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
    /// What a kernel is built with is not installed.
    #[error("a kernel cannot be built here without {tools}: install them with `apt-get install {packages}`")]
    NoTools {
        /// What is missing.
        tools: String,
        /// Debian's packages of it.
        packages: String,
    },
    /// No source was named, and none is installed.
    #[error("there is no source of Linux in {}: install it with `apt-get install linux-source`, or name one with --source", .0.display())]
    NoSource(PathBuf),
    /// A source that is none.
    #[error("{what} is not usable as the source of Linux: {problem}")]
    Source {
        /// The file or directory.
        what: String,
        /// What is wrong with it.
        problem: String,
    },
    /// A configuration that cannot be understood.
    #[error("{what}, line {line}: neither a comment nor `CONFIG_NAME=value`: {text:?}")]
    Fragment {
        /// The file.
        what: String,
        /// Which line, from 1.
        line: usize,
        /// The line.
        text: String,
    },
    /// Options that the source does not know, or whose conditions do not hold.
    #[error("the source of Linux does not give what the configuration asks for:{}", indented(.0))]
    Dropped(Vec<String>),
    /// A step of the build failed.
    #[error("`make {target}` failed ({status}); all that it wrote is in {}; it ends with{}", .log.display(), indented(.tail))]
    Make {
        /// Which step.
        target: &'static str,
        /// How it ended.
        status: ExitStatus,
        /// All of its output.
        log: PathBuf,
        /// The end of it.
        tail: Vec<String>,
    },
    /// The user does not want it any more.
    #[error("interrupted")]
    Interrupted,
    /// No place for the store.
    #[error("neither XDG_DATA_HOME nor HOME says where kernels are stored")]
    NoHome,
}

/// Lines, each below the sentence.
fn indented(lines: &[String]) -> String {
    lines.iter().map(|line| format!("\n  | {line}")).collect()
}

impl Error {
    /// For `map_err` after work on a file.
    pub(crate) fn file(what: &'static str, path: impl Into<PathBuf>) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::File { what, path: path.into(), error }
    }
}
