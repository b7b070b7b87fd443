//! `path_resolution(7)`: from a path to a [`Location`], or to the directory of its last component.

use super::{Access, Attributes, Context, Credentials, Inode, Location, MountFlags, Target};
use alloc::borrow::Cow;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, FileType, Result};
use core::ops::Range;

/// Bytes of a path, the final zero byte included.
const PATH_MAX: usize = 4096;
/// Bytes of one name.
const NAME_MAX: usize = 255;
/// Symbolic links followed in one resolution.
const LINKS_MAX: u32 = 40;

/// Whether a symbolic link in the last place is followed. In any other place it always is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Follow {
    /// Yes.
    Last,
    /// No: the link itself is meant, unless a slash follows it.
    Never,
}

/// What the last component of a path is.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(super) enum Last {
    /// There is none: the path was only slashes.
    None,
    /// `.`
    Dot,
    /// `..`
    DotDot,
    /// A name: see [`Walk::name`].
    Name,
}

/// A path with a position in it.
struct Text<'a> {
    bytes: Cow<'a, [u8]>,
    at: usize,
}

impl Text<'_> {
    /// The next component; none at the end.
    fn next(&mut self) -> Option<Range<usize>> {
        let rest = self.bytes.get(self.at..)?;
        let start = self.at + rest.iter().position(|byte| *byte != b'/')?;
        let name = self.bytes.get(start..)?;
        let end = start + name.iter().position(|byte| *byte == b'/').unwrap_or(name.len());
        self.at = end;
        Some(start..end)
    }

    /// Whether nothing but slashes is left.
    fn exhausted(&self) -> bool {
        self.bytes.get(self.at..).is_none_or(|rest| rest.iter().all(|byte| *byte == b'/'))
    }

    /// Whether anything, a slash at least, is left.
    fn has_rest(&self) -> bool {
        self.at < self.bytes.len()
    }
}

/// A resolution under way.
pub(super) struct Walk<'a> {
    context: &'a Context,
    pub(super) credentials: Credentials,
    /// Where it is now.
    pub(super) at: Location,
    /// Its attributes, if they are known already.
    attributes: Option<Attributes>,
    text: Text<'a>,
    /// Paths whose symbolic link is being followed; none of them is exhausted.
    outer: Vec<Text<'a>>,
    links: u32,
    name: Range<usize>,
    /// A slash follows the last component: it has to be a directory.
    pub(super) wants_directory: bool,
}

impl<'a> Walk<'a> {
    /// Starts at `base`, or at the root if the path is absolute. `ENOENT` for the empty path.
    pub(super) fn new(context: &'a Context, base: &Location, path: &'a [u8]) -> Result<Self> {
        if path.is_empty() {
            return Err(Errno::ENOENT);
        }
        if path.len() >= PATH_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        Ok(Self {
            context,
            credentials: Credentials::current(),
            at: if path.starts_with(b"/") { context.root.clone() } else { base.clone() },
            attributes: None,
            text: Text { bytes: Cow::Borrowed(path), at: 0 },
            outer: Vec::new(),
            links: 0,
            name: 0..0,
            wants_directory: false,
        })
    }

    /// The last component, when [`go_to_last`](Self::go_to_last) said that it is a name.
    pub(super) fn name(&self) -> &[u8] {
        self.text.bytes.get(self.name.clone()).unwrap_or_default()
    }

    /// Goes on to the directory of the last component, which is then known to be searchable.
    pub(super) fn go_to_last(&mut self) -> Result<Last> {
        loop {
            let Some(name) = self.text.next() else {
                match self.outer.pop() {
                    Some(text) => self.text = text,
                    None => return Ok(Last::None),
                }
                continue;
            };
            self.check_search()?;
            let is_last = self.outer.is_empty() && self.text.exhausted();
            self.wants_directory |= is_last && self.text.has_rest();
            let bytes = self.text.bytes.get(name.clone()).unwrap_or_default();
            match (bytes, is_last) {
                (b".", true) => return Ok(Last::Dot),
                (b"..", true) => return Ok(Last::DotDot),
                (_, true) => {
                    self.name = name;
                    return Ok(Last::Name);
                }
                (b".", false) => {}
                (b"..", false) => self.go_to(self.at.parent(&self.context.root)?),
                (_, false) => {
                    self.name = name;
                    self.enter()?;
                }
            }
        }
    }

    /// The entry called [`name`](Self::name) in the directory that was reached.
    pub(super) fn child(&self) -> Result<Location> {
        self.child_uncovered().map(Location::covered)
    }

    /// The entry itself, even if something is mounted on it.
    pub(super) fn child_uncovered(&self) -> Result<Location> {
        Ok(self.at.with(self.lookup()?))
    }

    fn lookup(&self) -> Result<Arc<dyn Inode>> {
        let name = self.name();
        if name.len() > NAME_MAX {
            return Err(Errno::ENAMETOOLONG);
        }
        self.at.inode.lookup(name)
    }

    /// Follows a symbolic link that was found in the directory that was reached: to its target, or to the point where
    /// the rest of the path goes on from there.
    pub(super) fn follow(&mut self, link: &Location) -> Result<()> {
        self.links += 1;
        if self.links > LINKS_MAX || link.mount.flags().contains(MountFlags::NO_SYMLINKS) {
            return Err(Errno::ELOOP);
        }
        match link.inode.target()? {
            Target::Jump(location) => self.go_to(location),
            Target::Path(path) if path.is_empty() => return Err(Errno::ENOENT),
            Target::Path(path) => {
                if path.starts_with(b"/") {
                    self.go_to(self.context.root.clone());
                }
                let text = Text { bytes: Cow::Owned(path), at: 0 };
                let outer = core::mem::replace(&mut self.text, text);
                if !outer.exhausted() {
                    self.outer.push(outer);
                }
            }
        }
        Ok(())
    }

    fn go_to(&mut self, location: Location) {
        self.at = location;
        self.attributes = None;
    }

    /// Goes to the entry called [`name`](Self::name), or to where it leads.
    fn enter(&mut self) -> Result<()> {
        let inode = self.lookup()?;
        let attributes = inode.attributes();
        if attributes.file_type() == FileType::Symlink {
            let link = self.at.with(inode);
            return self.follow(&link);
        }
        if self.at.mount.child_on(&*inode).is_some() {
            self.go_to(self.at.with(inode).covered());
        } else {
            self.at.inode = inode;
            self.attributes = Some(attributes);
        }
        Ok(())
    }

    fn check_search(&mut self) -> Result<()> {
        let attributes = self.attributes.take().unwrap_or_else(|| self.at.attributes());
        if !attributes.is_directory() {
            return Err(Errno::ENOTDIR);
        }
        self.credentials.check(&attributes, Access::EXECUTE)
    }

    /// Goes to a last component that is not a name.
    pub(super) fn finish_dots(&mut self, last: Last) -> Result<()> {
        if last == Last::DotDot {
            self.go_to(self.at.parent(&self.context.root)?);
        }
        Ok(())
    }

    /// Goes to the end of the path.
    pub(super) fn finish(mut self, follow: Follow) -> Result<Location> {
        loop {
            let last = self.go_to_last()?;
            if last != Last::Name {
                self.finish_dots(last)?;
                break;
            }
            let child = self.child()?;
            let is_link = child.attributes().file_type() == FileType::Symlink;
            if !is_link || (follow == Follow::Never && !self.wants_directory) {
                self.go_to(child);
                break;
            }
            self.follow(&child)?;
        }
        if self.wants_directory && !self.at.attributes().is_directory() {
            return Err(Errno::ENOTDIR);
        }
        Ok(self.at)
    }
}
