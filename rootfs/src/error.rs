//! The one error type of this crate, and how it shows hostile names.

use std::fmt;
use std::io;

/// Why an image could not be built, opened or listed.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A system call on a source failed.
    #[error("cannot {action} {path}: {source}")]
    Io {
        /// What was tried, as a verb: "open", "read" ...
        action: &'static str,
        /// The file, made safe to print.
        path: String,
        /// The system's answer.
        source: io::Error,
    },
    /// What an image asks for as its kernel is no name of one.
    #[error(
        "the name of an image's kernel has 1 to {} lowercase letters, digits, '.', '_' and '-', and begins and ends with a \
         letter or digit",
        crate::KernelName::MAX
    )]
    KernelName,
    /// The image could not be written.
    #[error("cannot write the image: {0}")]
    Output(#[source] io::Error),
    /// The image could not be read.
    #[error("cannot read the image: {0}")]
    Input(#[source] io::Error),
    /// A path that no image can hold.
    #[error("bad path {path}: {problem}")]
    BadPath {
        /// The path, made safe to print.
        path: String,
        /// What is wrong with it.
        problem: PathProblem,
    },
    /// A path leads through something that is not a directory.
    #[error("cannot add {path}: {parent} is {what}, not a directory")]
    ParentNotDirectory {
        /// The path that was to be added.
        path: String,
        /// Its nearest parent that is no directory.
        parent: String,
        /// What that parent is.
        what: &'static str,
    },
    /// A directory that is not empty would be replaced by something else.
    #[error("cannot add {path}: it is already a directory that is not empty")]
    ReplacesDirectory {
        /// The path that was to be added.
        path: String,
    },
    /// A hard link to something that is not (yet) in the image, or is a directory.
    #[error("cannot link {path} to {target}: {problem}")]
    BadLink {
        /// The link.
        path: String,
        /// What it names.
        target: String,
        /// What is wrong with that.
        problem: &'static str,
    },
    /// A limit of [`Limits`](crate::Limits) or of the format was reached.
    #[error("the source has more than {limit} {what}")]
    Limit {
        /// What there is too much of, with its unit.
        what: &'static str,
        /// How much would have been allowed.
        limit: u64,
    },
    /// The tar stream is not one, or is damaged.
    #[error("not a valid tar archive (at byte {offset}): {problem}")]
    BadTar {
        /// Where the damaged header begins, in the uncompressed stream.
        offset: u64,
        /// What is wrong.
        problem: &'static str,
    },
    /// The archive is compressed in a way that this build cannot read.
    #[error("the archive is compressed with {0}, which this build cannot read")]
    Compression(&'static str),
    /// A source that is neither a directory nor a file.
    #[error("{path} is neither a directory nor a tar archive")]
    BadSource {
        /// The source, made safe to print.
        path: String,
    },
    /// An image was to be put where something else than a file is.
    #[error("{path} is there already and is no regular file")]
    NotReplaceable {
        /// The place, made safe to print.
        path: String,
    },
    /// A file turned into something else between being listed and being opened.
    #[error("{path} was replaced while it was read")]
    Changed {
        /// The file, made safe to print.
        path: String,
    },
    /// The busybox given for the default image does not serve.
    #[error("{path} cannot be the default image's busybox: {problem}")]
    BadBusybox {
        /// The file, made safe to print.
        path: String,
        /// What is wrong.
        problem: String,
    },
    /// The file is not an image that ampoule can boot.
    #[error("not a usable image: {0}")]
    BadImage(ImageProblem),
    /// The progress callback asked to stop.
    #[error("cancelled")]
    Cancelled,
}

/// What is wrong with a path.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum PathProblem {
    /// A `..` component.
    #[error("it has a \"..\" component")]
    Parent,
    /// A NUL byte.
    #[error("it has a NUL byte")]
    Nul,
    /// A component of more than 255 bytes.
    #[error("a component is longer than 255 bytes")]
    LongName,
    /// More bytes than [`Limits::path_bytes`](crate::Limits::path_bytes).
    #[error("it is longer than {0} bytes")]
    Long(usize),
    /// More components than [`Limits::depth`](crate::Limits::depth).
    #[error("it is more than {0} levels deep")]
    Deep(usize),
    /// The root where only something below it can be.
    #[error("it names the root")]
    Root,
    /// A symbolic link's target that is empty or has more than 4095 bytes.
    #[error("its symbolic link target is empty or longer than 4095 bytes")]
    Target,
}

/// What is wrong with an image file.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum ImageProblem {
    /// Not even a superblock fits.
    #[error("the file has only {0} bytes, too few for an EROFS superblock")]
    TooShort(u64),
    /// Another kind of file.
    #[error("it is {0}, not an EROFS image")]
    Foreign(&'static str),
    /// The superblock was damaged.
    #[error("the superblock's checksum does not match: the file is damaged")]
    Checksum,
    /// A block size other than 4 KiB.
    #[error("its block size is 2^{0} bytes, only 4096 is supported")]
    BlockSize(u8),
    /// Features of EROFS that the guest kernel does not have.
    #[error("it needs EROFS features {0} (compression, chunks or several devices); build it uncompressed")]
    Features(FeatureBits),
    /// The file ends before the file system does.
    #[error("it is truncated: {have} bytes of {need}")]
    Truncated {
        /// Length of the file in bytes.
        have: u64,
        /// Length that the superblock tells, in bytes.
        need: u64,
    },
    /// A part of a file that does not begin at a page.
    #[error("it begins at byte {0}, which is no multiple of 4096, and cannot be mapped")]
    Unaligned(u64),
    /// An inode whose data is stored in a way that the guest kernel does not read.
    #[error("an inode's data is compressed or in chunks; build it uncompressed")]
    DataLayout,
    /// The tree is not the one that the UUID stands for.
    #[error("its content does not match its UUID: it is damaged, or was not built by ampoule")]
    Digest,
    /// A structure contradicts itself.
    #[error("it is damaged: {0}")]
    Damaged(&'static str),
}

/// EROFS "incompatible" feature bits, shown in hexadecimal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct FeatureBits(pub u32);

impl fmt::Display for FeatureBits {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#x}", self.0)
    }
}

impl From<ImageProblem> for Error {
    fn from(problem: ImageProblem) -> Self {
        Self::BadImage(problem)
    }
}

impl Error {
    /// Wraps the failure of `action` on `path`.
    pub(crate) fn io(action: &'static str, path: &[u8], source: impl Into<io::Error>) -> Self {
        Self::Io { action, path: printable(path), source: source.into() }
    }

    /// A bad path.
    pub(crate) fn path(path: &[u8], problem: PathProblem) -> Self {
        Self::BadPath { path: printable(path), problem }
    }
}

/// A name from a hostile source as text that a terminal shows and does not obey.
#[must_use]
pub fn printable(name: &[u8]) -> String {
    const MAX_CHARS: usize = 512;
    match name {
        b"" => "\"\"".to_owned(),
        name => ampoule_text::line(&String::from_utf8_lossy(name), MAX_CHARS),
    }
}

#[cfg(test)]
mod tests {
    use super::printable;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(printable(b"a\x1b[31mb"), "a\\u{1b}[31mb");
        assert_eq!(printable("\u{202e}gpj.exe".as_bytes()), "\\u{202e}gpj.exe");
        assert_eq!(printable(b"ok/\xc3\xa9"), "ok/\u{e9}");
        assert_eq!(printable(b""), "\"\"");
        assert_eq!(printable(&[b'x'; 600]).len(), 515);
    }
}
