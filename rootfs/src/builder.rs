//! [`ImageBuilder`]: takes entries in any order, stores file data at once, writes the metadata at the end.

use std::io::{self, Read};
use std::ops::ControlFlow;

use crate::data::DataArea;
use crate::error::{Error, PathProblem, printable};
use crate::layout;
use crate::options::{Options, Owners};
use crate::output::Output;
use crate::tree::{FileData, Kind, Meta, Names, Node, NodeId, Special, Tree};
use crate::write;

/// How far a build has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// Entries added.
    pub entries: u64,
    /// Bytes of file data read.
    pub bytes: u64,
}

/// Called for each entry and each mebibyte of data; `Break` ends the build with [`Error::Cancelled`].
pub type ProgressFn<'p> = dyn FnMut(Progress) -> ControlFlow<()> + 'p;

/// What was built.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ImageInfo {
    /// Length of the image in bytes, a multiple of 4096.
    pub bytes: u64,
    /// Inodes of all kinds.
    pub inodes: u64,
    /// Inodes of regular files.
    pub files: u64,
    /// SHA-256 over the tree (names, metadata, contents) and the kernel that it asks for, independent of where in the image things lie. Its first 16
    /// bytes, but for the version bits, are the image's UUID.
    pub digest: [u8; 32],
    /// Entries that had extended attributes, which were left out.
    pub without_xattrs: u64,
}

/// Permissions of the root and of parents that no entry names.
const DIRECTORY_PERMISSIONS: u16 = 0o755;
/// Longest symbolic link target (`PATH_MAX` without its NUL).
const TARGET_MAX: usize = 4095;

/// Builds one image.
///
/// ```
/// use ampoule_rootfs::{ImageBuilder, Meta, Options, Time};
///
/// let mut image = Vec::new();
/// let mut builder = ImageBuilder::new(&mut image, Options::default())?;
/// let meta = Meta { permissions: 0o755, uid: 0, gid: 0, mtime: Time::from_seconds(1_700_000_000) };
/// builder.file(b"/bin/hello", meta, &mut b"#!/bin/sh\necho hello\n".as_slice())?;
/// builder.symlink(b"/bin/hi", meta, b"hello")?;
/// let info = builder.finish()?;
/// assert_eq!(info.inodes, 4);
/// assert_eq!(info.bytes, image.len() as u64);
/// # Ok::<(), ampoule_rootfs::Error>(())
/// ```
pub struct ImageBuilder<'o> {
    options: Options,
    tree: Tree,
    data: DataArea<'o>,
    progress: Box<ProgressFn<'o>>,
    entries: u64,
    name_bytes: u64,
    without_xattrs: u64,
}

impl<'o> ImageBuilder<'o> {
    /// Starts an image, emptying `output`. The root directory is there, with permissions 0755.
    ///
    /// # Errors
    /// If the output cannot be emptied.
    pub fn new(output: &'o mut dyn Output, options: Options) -> Result<Self, Error> {
        Self::with_progress(output, options, Box::new(|_| ControlFlow::Continue(())))
    }

    /// Like [`ImageBuilder::new`], with somebody to tell.
    ///
    /// # Errors
    /// If the output cannot be emptied.
    pub fn with_progress(
        output: &'o mut dyn Output,
        options: Options,
        progress: Box<ProgressFn<'o>>,
    ) -> Result<Self, Error> {
        let data = DataArea::new(output, options.limits.image_bytes)?;
        let tree = Tree::new(missing_directory(&options));
        Ok(Self { options, tree, data, progress, entries: 0, name_bytes: 0, without_xattrs: 0 })
    }

    /// The options given.
    #[must_use]
    pub fn options(&self) -> &Options {
        &self.options
    }

    /// Adds a directory, or gives one that is there these permissions, owner and time. `/` is the root.
    ///
    /// # Errors
    /// Bad paths, limits, a parent that is no directory.
    pub fn directory(&mut self, path: &[u8], meta: Meta) -> Result<(), Error> {
        let parts = self.options.limits.components(path)?;
        let meta = self.meta(meta);
        self.count(1)?;
        self.count_names(path)?;
        let Some((name, parents)) = parts.split_last() else {
            self.tree.set_meta(Tree::ROOT, meta);
            return self.tick();
        };
        let parent = self.parent(parents)?;
        match self.tree.find(&parts) {
            Some(there) if self.tree.names(there).is_some() => self.tree.set_meta(there, meta),
            _ => {
                self.tree.insert(parent, name, Node { meta, kind: Kind::Directory(Names::new()) });
            }
        }
        self.tick()
    }

    /// Adds a regular file with all that `content` gives, in place of anything but a directory with entries.
    ///
    /// # Errors
    /// Bad paths, limits, a parent that is no directory, and failures to read or write.
    pub fn file(&mut self, path: &[u8], meta: Meta, content: &mut dyn Read) -> Result<(), Error> {
        self.add_file(path, meta, content).map(drop)
    }

    /// [`ImageBuilder::file`], returning what further links need.
    pub(crate) fn add_file(
        &mut self,
        path: &[u8],
        meta: Meta,
        content: &mut dyn Read,
    ) -> Result<NodeId, Error> {
        // The path first: nothing is read for one that is refused.
        let (parts, parent) = self.place(path)?;
        let data = self.append(path, content)?;
        self.put(&parts, parent, meta, Kind::File(data))
    }

    /// Adds a symbolic link, in place of anything but a directory with entries. The target is never followed.
    ///
    /// # Errors
    /// Bad paths, limits, a parent that is no directory, a target that is empty or longer than 4095 bytes.
    pub fn symlink(&mut self, path: &[u8], meta: Meta, target: &[u8]) -> Result<(), Error> {
        self.add_symlink(path, meta, target).map(drop)
    }

    pub(crate) fn add_symlink(&mut self, path: &[u8], meta: Meta, target: &[u8]) -> Result<NodeId, Error> {
        let (parts, parent) = self.place(path)?;
        if target.is_empty() || target.len() > TARGET_MAX {
            return Err(Error::path(path, PathProblem::Target));
        }
        if target.contains(&0) {
            return Err(Error::path(path, PathProblem::Nul));
        }
        self.count_names(target)?;
        self.put(&parts, parent, meta, Kind::Symlink(target.into()))
    }

    /// Adds a device, named pipe or socket, in place of anything but a directory with entries.
    ///
    /// # Errors
    /// Bad paths, limits, a parent that is no directory.
    pub fn special(&mut self, path: &[u8], meta: Meta, special: Special) -> Result<(), Error> {
        self.add_special(path, meta, special).map(drop)
    }

    pub(crate) fn add_special(&mut self, path: &[u8], meta: Meta, special: Special) -> Result<NodeId, Error> {
        let (parts, parent) = self.place(path)?;
        self.put(&parts, parent, meta, Kind::Special(special))
    }

    /// Adds another name of what is at `target`, which must be there and no directory.
    ///
    /// # Errors
    /// Bad paths (of either), limits, a parent that is no directory, a target that is not there.
    pub fn hard_link(&mut self, path: &[u8], target: &[u8]) -> Result<(), Error> {
        let refuse = |problem| Error::BadLink { path: printable(path), target: printable(target), problem };
        let parts = self.options.limits.components(target)?;
        let Some(node) = self.tree.find(&parts) else {
            return Err(refuse("there is no such entry before it"));
        };
        if self.tree.names(node).is_some() {
            return Err(refuse("that is a directory"));
        }
        self.add_link(path, node)
    }

    /// Adds another name of a node that is no directory.
    pub(crate) fn add_link(&mut self, path: &[u8], node: NodeId) -> Result<(), Error> {
        let (parts, parent) = self.place(path)?;
        if let Some(name) = parts.last() {
            self.tree.link(parent, name, node);
        }
        self.tick()
    }

    /// Notes that an entry had extended attributes.
    pub(crate) fn note_xattrs(&mut self) {
        self.without_xattrs += 1;
    }

    /// Fails if `size` more bytes of data would be too many.
    pub(crate) fn reserve(&self, size: u64) -> Result<(), Error> {
        self.data.reserve(size)
    }

    /// Device and inode number of the output, if it is a file.
    pub(crate) fn output_identity(&mut self) -> Option<(u64, u64)> {
        self.data.output().identity()
    }

    /// Writes the metadata and the superblock. Until this returns, the output is not an image.
    ///
    /// # Errors
    /// If the image would be too big, or cannot be written.
    pub fn finish(mut self) -> Result<ImageInfo, Error> {
        let plan = layout::plan(&self.tree, self.data.end(), &self.options)?;
        self.data.finish(&|digest| plan.uses(digest))?;
        write::metadata(&self.tree, &plan, self.data.output()).map_err(Error::Output)?;
        Ok(ImageInfo {
            bytes: plan.bytes(),
            inodes: plan.inodes(),
            files: plan.files(),
            digest: plan.digest(),
            without_xattrs: self.without_xattrs,
        })
    }

    /// Checks a path for something that is no directory; returns its components (at least one) and its parent.
    fn place<'p>(&mut self, path: &'p [u8]) -> Result<(Vec<&'p [u8]>, NodeId), Error> {
        let parts = self.options.limits.components(path)?;
        let Some((_, parents)) = parts.split_last() else {
            return Err(Error::path(path, PathProblem::Root));
        };
        self.count(1)?;
        self.count_names(path)?;
        let parent = self.parent(parents)?;
        let there = self.tree.find(&parts).and_then(|there| self.tree.names(there));
        if there.is_some_and(|names| !names.is_empty()) {
            return Err(Error::ReplacesDirectory { path: printable(path) });
        }
        Ok((parts, parent))
    }

    fn parent(&mut self, parents: &[&[u8]]) -> Result<NodeId, Error> {
        let (parent, made) = self.tree.directory(parents, missing_directory(&self.options))?;
        self.count(made)?;
        Ok(parent)
    }

    fn put(&mut self, parts: &[&[u8]], parent: NodeId, meta: Meta, kind: Kind) -> Result<NodeId, Error> {
        let meta = self.meta(meta);
        // `place` returns at least one component.
        let name = parts.last().copied().unwrap_or_default();
        let id = self.tree.insert(parent, name, Node { meta, kind });
        self.tick()?;
        Ok(id)
    }

    fn append(&mut self, path: &[u8], content: &mut dyn Read) -> Result<FileData, Error> {
        let (entries, progress) = (self.entries, &mut self.progress);
        let failed = |error: io::Error| Error::io("read", path, error);
        self.data.append(content, &failed, &mut |bytes| progress(Progress { entries, bytes }))
    }

    fn meta(&self, mut meta: Meta) -> Meta {
        meta.permissions &= 0o7777;
        meta.mtime = self.options.times.apply(meta.mtime);
        if let Owners::Fixed { uid, gid } = self.options.owners {
            (meta.uid, meta.gid) = (uid, gid);
        }
        meta
    }

    fn count(&mut self, more: u64) -> Result<(), Error> {
        let limit = self.options.limits.entries;
        self.entries = self.entries.saturating_add(more);
        if self.entries > limit { Err(Error::Limit { what: "entries", limit }) } else { Ok(()) }
    }

    fn count_names(&mut self, name: &[u8]) -> Result<(), Error> {
        let limit = self.options.limits.name_bytes;
        self.name_bytes = self.name_bytes.saturating_add(name.len() as u64);
        if self.name_bytes > limit { Err(Error::Limit { what: "bytes of names", limit }) } else { Ok(()) }
    }

    fn tick(&mut self) -> Result<(), Error> {
        let progress = Progress { entries: self.entries, bytes: self.data.bytes_read() };
        if (self.progress)(progress).is_break() { Err(Error::Cancelled) } else { Ok(()) }
    }
}

fn missing_directory(options: &Options) -> Meta {
    let (uid, gid) = match options.owners {
        Owners::Source => (0, 0),
        Owners::Fixed { uid, gid } => (uid, gid),
    };
    Meta { permissions: DIRECTORY_PERMISSIONS, uid, gid, mtime: options.times.default_time() }
}
