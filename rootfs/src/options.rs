//! What the caller may choose: limits, times, owners, a kernel.

use crate::error::{Error, PathProblem};
use crate::kernel_name::KernelName;

/// How much a source may ask for. Sources are hostile; every one of these is enforced while it is read.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Length of the image, and sum of the lengths of all files read, in bytes.
    pub image_bytes: u64,
    /// Names in the image (hard links and replaced entries count).
    pub entries: u64,
    /// Sum of the lengths of all paths and symbolic link targets read, in bytes: what is held in memory.
    pub name_bytes: u64,
    /// Length of a path inside the image, in bytes.
    pub path_bytes: usize,
    /// Components of a path inside the image.
    pub depth: usize,
}

impl Default for Limits {
    fn default() -> Self {
        Self { image_bytes: 64 << 30, entries: 1 << 20, name_bytes: 256 << 20, path_bytes: 4095, depth: 256 }
    }
}

/// A moment, in seconds and nanoseconds since 1970 (UTC).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Time {
    /// Whole seconds; negative before 1970.
    pub seconds: i64,
    /// Nanoseconds, 0 to 999,999,999.
    pub nanoseconds: u32,
}

impl Time {
    /// A whole second.
    #[must_use]
    pub fn from_seconds(seconds: i64) -> Self {
        Self { seconds, nanoseconds: 0 }
    }
}

/// Which modification times the image's inodes get.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Times {
    /// Those of the source.
    #[default]
    Source,
    /// Those of the source, but none later than this (what `SOURCE_DATE_EPOCH` asks for).
    Clamp(Time),
    /// This one for all.
    Fixed(Time),
}

impl Times {
    /// [`Times::Clamp`] to the variable `SOURCE_DATE_EPOCH`, where it is set to a number; else [`Times::Source`].
    #[must_use]
    pub fn from_env() -> Self {
        let seconds = std::env::var("SOURCE_DATE_EPOCH").ok().and_then(|text| text.trim().parse().ok());
        seconds.map_or(Self::Source, |seconds| Self::Clamp(Time::from_seconds(seconds)))
    }

    pub(crate) fn apply(self, time: Time) -> Time {
        match self {
            Self::Source => time,
            Self::Clamp(latest) => time.min(latest),
            Self::Fixed(fixed) => fixed,
        }
    }

    /// The time of an entry that the source does not name, such as a missing parent directory.
    pub(crate) fn default_time(self) -> Time {
        match self {
            Self::Source => Time::default(),
            Self::Clamp(time) | Self::Fixed(time) => time,
        }
    }
}

/// Who owns the image's inodes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Owners {
    /// Whoever owns them in the source.
    #[default]
    Source,
    /// This user and group own all.
    Fixed {
        /// User id.
        uid: u32,
        /// Group id.
        gid: u32,
    },
}

/// How to build an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Options {
    /// Bounds on the source.
    pub limits: Limits,
    /// Modification times.
    pub times: Times,
    /// Owners.
    pub owners: Owners,
    /// The kernel that the image asks for.
    pub kernel: Option<KernelName>,
}

impl Limits {
    /// `path` as its components: no leading or doubled slashes, no `.`; refuses `..`, NUL and what is too long.
    pub(crate) fn components<'p>(&self, path: &'p [u8]) -> Result<Vec<&'p [u8]>, Error> {
        const NAME_MAX: usize = 255;
        let refuse = |problem| Err(Error::path(path, problem));
        if path.contains(&0) {
            return refuse(PathProblem::Nul);
        }
        let mut parts = Vec::new();
        let mut bytes = 0;
        for part in path.split(|&byte| byte == b'/') {
            match part {
                b"" | b"." => continue,
                b".." => return refuse(PathProblem::Parent),
                _ if part.len() > NAME_MAX => return refuse(PathProblem::LongName),
                _ => {}
            }
            bytes += part.len() + 1;
            if bytes > self.path_bytes + 1 {
                return refuse(PathProblem::Long(self.path_bytes));
            }
            if parts.len() == self.depth {
                return refuse(PathProblem::Deep(self.depth));
            }
            parts.push(part);
        }
        Ok(parts)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problem(path: &[u8]) -> PathProblem {
        let limits = Limits { path_bytes: 600, depth: 4, ..Limits::default() };
        match limits.components(path) {
            Err(Error::BadPath { problem, .. }) => problem,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn paths_are_normalised() {
        let parts = Limits::default().components(b"//usr/./bin//x/").expect("a good path");
        assert_eq!(parts, [b"usr".as_slice(), b"bin", b"x"]);
        assert!(Limits::default().components(b"./").expect("the root").is_empty());
    }

    #[test]
    fn bad_paths_are_refused() {
        assert_eq!(problem(b"a/../b"), PathProblem::Parent);
        assert_eq!(problem(b".."), PathProblem::Parent);
        assert_eq!(problem(b"a\0b"), PathProblem::Nul);
        assert_eq!(problem(&[b'n'; 256]), PathProblem::LongName);
        assert_eq!(problem(b"a/b/c/d/e"), PathProblem::Deep(4));
        let long = [[b'n'; 250].as_slice(), &[b'm'; 250], &[b'o'; 250]].join(&b'/');
        assert_eq!(problem(&long), PathProblem::Long(600));
    }

    #[test]
    fn clamping_keeps_older_times() {
        let (old, new) = (Time::from_seconds(5), Time { seconds: 10, nanoseconds: 1 });
        let clamp = Times::Clamp(Time::from_seconds(10));
        assert_eq!(clamp.apply(old), old);
        assert_eq!(clamp.apply(new), Time::from_seconds(10));
        assert_eq!(Times::Fixed(old).apply(new), old);
    }
}
