//! Walks an image's tree: to list it, and to check that its content is the one its UUID stands for.
//!
//! The image is hostile: a directory that occurs twice, names that are none, and trees that are too deep or too large
//! end the walk with an error.

use std::collections::{HashMap, HashSet};
use std::ops::ControlFlow;

use sha2::{Digest as _, Sha256};

use crate::digest::TreeDigest;
use crate::error::{Error, ImageProblem, PathProblem};
use crate::image::{Image, Input, Located, damaged};
use crate::ondisk::{BLOCK, DIRENT, get_u16, get_u64, mode, uuid};
use crate::options::{Limits, Time};
use crate::tree::{DeviceNumber, Digest, FileData, Meta, Special};

/// Longest link target that is read, in bytes.
const TARGET_MAX: u64 = BLOCK;

/// What an entry is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ListedKind {
    /// A directory.
    Directory,
    /// A regular file.
    File,
    /// A symbolic link, with its target.
    Symlink(Vec<u8>),
    /// A device, named pipe or socket.
    Special(Special),
}

/// One name in an image.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ListedEntry {
    /// Path from the root, with a leading slash. Hostile bytes: show it with [`printable`](crate::printable).
    pub path: Vec<u8>,
    /// What it is.
    pub kind: ListedKind,
    /// Permissions, owner, time.
    pub meta: Meta,
    /// Length in bytes.
    pub size: u64,
    /// Number of names (for a directory: 2 and one for each directory in it).
    pub links: u32,
    /// Node id: equal for the names of one inode.
    pub nid: u64,
}

impl<I: Input> Image<I> {
    /// Calls `visit` for each entry below the root and the root itself, in sorted depth-first order, until it breaks.
    /// `limits` bounds the depth and the number of entries.
    ///
    /// # Errors
    /// If the image is damaged, exceeds the limits or cannot be read.
    pub fn list(
        &self,
        limits: &Limits,
        visit: &mut dyn FnMut(ListedEntry) -> ControlFlow<()>,
    ) -> Result<(), Error> {
        let mut lister = Lister { visit };
        self.walk(limits, &mut lister)
    }

    /// Reads the whole image and computes the digest of its tree, as
    /// [`ImageInfo::digest`](crate::ImageInfo::digest) has it.
    ///
    /// # Errors
    /// If the image is damaged, exceeds the limits or cannot be read.
    pub fn digest(&self, limits: &Limits) -> Result<[u8; 32], Error> {
        let left = limits.image_bytes;
        let mut hasher = Hasher { image: self, digest: TreeDigest::new(), seen: HashMap::new(), left };
        self.walk(limits, &mut hasher)?;
        hasher.digest.kernel(self.kernel());
        Ok(hasher.digest.finish())
    }

    /// Checks that the image's content is the one that its UUID stands for.
    ///
    /// # Errors
    /// [`ImageProblem::Digest`] if not; those of [`Image::digest`].
    pub fn verify(&self, limits: &Limits) -> Result<(), Error> {
        let found = uuid(&self.digest(limits)?);
        if found == self.raw_uuid() { Ok(()) } else { Err(ImageProblem::Digest.into()) }
    }

    fn walk(&self, limits: &Limits, visitor: &mut dyn Visitor) -> Result<(), Error> {
        let mut walk =
            Walk { image: self, limits, visitor, path: Vec::new(), seen: HashSet::new(), entries: 0 };
        let root = self.root()?;
        walk.entry(b"", root, 0).map(drop)
    }

    fn describe(&self, located: &Located) -> Result<ListedKind, Error> {
        let inode = located.inode();
        let number = || DeviceNumber::decode(inode.block_or_device);
        Ok(match inode.mode & mode::TYPE {
            mode::DIRECTORY => ListedKind::Directory,
            mode::FILE => ListedKind::File,
            mode::SYMLINK if inode.size > TARGET_MAX => return Err(damaged("a link target is too long")),
            mode::SYMLINK => {
                let mut target = vec![0; usize::try_from(inode.size).unwrap_or(0)];
                self.data(located, &mut target, 0)?;
                ListedKind::Symlink(target)
            }
            mode::FIFO => ListedKind::Special(Special::Fifo),
            mode::SOCKET => ListedKind::Special(Special::Socket),
            mode::CHAR => ListedKind::Special(Special::CharDevice(number())),
            mode::BLOCK => ListedKind::Special(Special::BlockDevice(number())),
            _ => return Err(damaged("an inode has no file type")),
        })
    }
}

/// What a walk tells; an `Ok(Break)` ends it.
trait Visitor {
    fn entry(&mut self, path: &[u8], name: &[u8], located: &Located, kind: ListedKind) -> Visited;
    fn end_directory(&mut self);
}

type Visited = Result<ControlFlow<()>, Error>;

struct Walk<'w, I> {
    image: &'w Image<I>,
    limits: &'w Limits,
    visitor: &'w mut dyn Visitor,
    path: Vec<u8>,
    /// Directories that were entered: none may occur twice, or the tree would be no tree.
    seen: HashSet<u64>,
    entries: u64,
}

impl<I: Input> Walk<'_, I> {
    /// Recurses at most `Limits::depth` deep.
    fn entry(&mut self, name: &[u8], located: Located, depth: usize) -> Visited {
        self.entries += 1;
        if self.entries > self.limits.entries {
            return Err(Error::Limit { what: "entries", limit: self.limits.entries });
        }
        let kind = self.image.describe(&located)?;
        let directory = kind == ListedKind::Directory;
        if self.visitor.entry(&self.path, name, &located, kind)?.is_break() {
            return Ok(ControlFlow::Break(()));
        }
        if !directory {
            return Ok(ControlFlow::Continue(()));
        }
        if depth > self.limits.depth {
            return Err(Error::path(&self.path, PathProblem::Deep(self.limits.depth)));
        }
        if !self.seen.insert(located.nid) {
            return Err(damaged("a directory has two names"));
        }
        let done = self.directory(&located, depth)?;
        self.visitor.end_directory();
        Ok(done)
    }

    fn directory(&mut self, located: &Located, depth: usize) -> Visited {
        let size = located.inode().size;
        let mut offset = 0;
        while offset < size {
            let mut block = vec![0; usize::try_from((size - offset).min(BLOCK)).unwrap_or(0)];
            self.image.data(located, &mut block, offset)?;
            offset += BLOCK;
            for (name, nid) in block_entries(&block)? {
                if name == b"." || name == b".." {
                    continue;
                }
                let child = self.image.inode(nid)?;
                let length = self.path.len();
                self.path.push(b'/');
                self.path.extend(name);
                if self.entry(name, child, depth + 1)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                self.path.truncate(length);
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The names and node ids in one block of a directory.
fn block_entries(block: &[u8]) -> Result<Vec<(&[u8], u64)>, Error> {
    const BAD: &str = "a directory block is malformed";
    let table = usize::from(get_u16(block, 8));
    if table < DIRENT || table % DIRENT != 0 || table > block.len() {
        return Err(damaged(BAD));
    }
    let entry = |index: usize| block.get(index * DIRENT..(index + 1) * DIRENT).unwrap_or_default();
    let count = table / DIRENT;
    let mut entries = Vec::with_capacity(count);
    for index in 0..count {
        let start = usize::from(get_u16(entry(index), 8));
        let end = if index + 1 < count { usize::from(get_u16(entry(index + 1), 8)) } else { block.len() };
        let mut name = block.get(start..end).ok_or_else(|| damaged(BAD))?;
        if index + 1 == count {
            name = name.split(|&byte| byte == 0).next().unwrap_or_default();
        }
        let sound = start >= table && (1..=255).contains(&name.len());
        if !sound || name.contains(&b'/') || name.contains(&0) {
            return Err(damaged("a directory has a name that is none"));
        }
        entries.push((name, get_u64(entry(index), 0)));
    }
    Ok(entries)
}

fn meta(located: &Located) -> Meta {
    let inode = located.inode();
    let mtime = Time { seconds: inode.mtime.seconds, nanoseconds: inode.mtime.nanoseconds };
    Meta { permissions: inode.mode & !mode::TYPE, uid: inode.uid, gid: inode.gid, mtime }
}

struct Lister<'v> {
    visit: &'v mut dyn FnMut(ListedEntry) -> ControlFlow<()>,
}

impl Visitor for Lister<'_> {
    fn entry(&mut self, path: &[u8], _: &[u8], located: &Located, kind: ListedKind) -> Visited {
        let path = if path.is_empty() { b"/".to_vec() } else { path.to_vec() };
        let inode = located.inode();
        let (size, links, nid) = (inode.size, inode.links, located.nid);
        Ok((self.visit)(ListedEntry { path, kind, meta: meta(located), size, links, nid }))
    }

    fn end_directory(&mut self) {}
}

struct Hasher<'i, I> {
    image: &'i Image<I>,
    digest: TreeDigest,
    seen: HashMap<u64, u64>,
    /// Bytes that may still be read: files may overlap, so their sum is not bounded by the image.
    left: u64,
}

impl<I: Input> Hasher<'_, I> {
    fn file(&mut self, located: &Located) -> Result<FileData, Error> {
        let size = located.inode().size;
        let too_much = Error::Limit { what: "bytes of data", limit: self.left };
        self.left = self.left.checked_sub(size).ok_or(too_much)?;
        let mut hash = Sha256::new();
        let mut chunk = vec![0; 256 << 10];
        let mut offset = 0;
        while offset < size {
            let count = usize::try_from(size - offset).unwrap_or(usize::MAX).min(chunk.len());
            let bytes = chunk.get_mut(..count).unwrap_or_default();
            self.image.data(located, bytes, offset)?;
            hash.update(&*bytes);
            offset += count as u64;
        }
        let digest: Digest = hash.finalize().into();
        Ok(FileData { size, block: 0, digest })
    }
}

impl<I: Input> Visitor for Hasher<'_, I> {
    fn entry(&mut self, _: &[u8], name: &[u8], located: &Located, kind: ListedKind) -> Visited {
        let meta = meta(located);
        if kind != ListedKind::Directory {
            let next = self.seen.len() as u64;
            if let Some(&nth) = self.seen.get(&located.nid) {
                self.digest.again(name, nth);
                return Ok(ControlFlow::Continue(()));
            }
            self.seen.insert(located.nid, next);
        }
        match kind {
            ListedKind::Directory => self.digest.directory(name, &meta),
            ListedKind::File => {
                let data = self.file(located)?;
                self.digest.file(name, &meta, &data);
            }
            ListedKind::Symlink(target) => self.digest.symlink(name, &meta, &target),
            ListedKind::Special(special) => self.digest.special(name, &meta, special),
        }
        Ok(ControlFlow::Continue(()))
    }

    fn end_directory(&mut self) {
        self.digest.end_directory();
    }
}
