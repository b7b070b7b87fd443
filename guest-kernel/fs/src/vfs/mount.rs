//! The tree of mounts, and [`Location`]: a file by the mount through which it is seen.

use super::{Attributes, FileSystem, Inode};
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Mutex, Result, Stat};
use core::sync::atomic::{AtomicU32, Ordering};

bitflags::bitflags! {
    /// Flags of one mount, with the values of `mount(2)`.
    #[derive(Clone, Copy, Debug, PartialEq, Eq)]
    pub struct MountFlags: u32 {
        /// Nothing may be changed.
        const READ_ONLY = 1;
        /// Set-user-ID bits mean nothing.
        const NO_SETUID = 2;
        /// Devices cannot be opened.
        const NO_DEVICES = 4;
        /// Nothing may be executed.
        const NO_EXECUTE = 8;
        /// Symbolic links are not followed.
        const NO_SYMLINKS = 256;
        /// Access times are not kept.
        const NO_ACCESS_TIME = 1024;
    }
}

/// A mount point: a file of the mount that another one lies on.
type Point = (Weak<Mount>, Arc<dyn Inode>);
/// A mount on a file, whose inode number comes first.
type Child = (u64, Arc<dyn Inode>, Arc<Mount>);

/// One mount of a file system, or of a part of it (a bind mount).
pub struct Mount {
    /// For `mountinfo`.
    pub(super) id: u32,
    /// The file system.
    pub(super) fs: Arc<dyn FileSystem>,
    /// What is seen at the mount point.
    pub(super) root: Arc<dyn Inode>,
    /// What was given as the source.
    pub(super) source: Box<[u8]>,
    flags: AtomicU32,
    /// Where it is mounted; none: the root of the tree, or no longer mounted.
    at: Mutex<Option<Point>>,
    /// Mounts on directories of this mount, and where.
    children: Mutex<Vec<Child>>,
}

impl Mount {
    /// The root of a new tree of mounts.
    pub fn new_root(fs: Arc<dyn FileSystem>, source: &[u8], flags: MountFlags) -> Arc<Self> {
        let root = fs.root();
        Self::new(fs, root, source, flags)
    }

    pub(super) fn new(
        fs: Arc<dyn FileSystem>,
        root: Arc<dyn Inode>,
        source: &[u8],
        flags: MountFlags,
    ) -> Arc<Self> {
        static NEXT: AtomicU32 = AtomicU32::new(21);
        Arc::new(Self {
            id: NEXT.fetch_add(1, Ordering::Relaxed),
            fs,
            root,
            source: source.into(),
            flags: AtomicU32::new(flags.bits()),
            at: Mutex::new(None),
            children: Mutex::new(Vec::new()),
        })
    }

    /// The mount's own root directory (or file, for a bind mount of one).
    pub fn root(self: &Arc<Self>) -> Location {
        Location { mount: self.clone(), inode: self.root.clone() }
    }

    /// The file system.
    pub fn file_system(&self) -> &Arc<dyn FileSystem> {
        &self.fs
    }

    /// The flags.
    pub fn flags(&self) -> MountFlags {
        MountFlags::from_bits_truncate(self.flags.load(Ordering::Relaxed))
    }

    pub(super) fn set_flags(&self, flags: MountFlags) {
        self.flags.store(flags.bits(), Ordering::Relaxed);
    }

    /// `EROFS` if nothing may be changed.
    pub fn check_writable(&self) -> Result<()> {
        if self.flags().contains(MountFlags::READ_ONLY) || self.fs.read_only() {
            Err(Errno::EROFS)
        } else {
            Ok(())
        }
    }

    /// Where this is mounted.
    pub(super) fn mount_point(&self) -> Option<Location> {
        let at = self.at.lock().clone()?;
        Some(Location { mount: at.0.upgrade()?, inode: at.1 })
    }

    /// The topmost mount on `inode` of this mount.
    pub(super) fn child_on(&self, inode: &dyn Inode) -> Option<Arc<Mount>> {
        let children = self.children.lock();
        if children.is_empty() {
            return None;
        }
        let ino = inode.ino();
        children.iter().rev().find(|(at, ..)| *at == ino).map(|(.., mount)| mount.clone())
    }

    /// All mounts on this one, oldest first.
    pub(super) fn children(&self) -> Vec<Arc<Mount>> {
        self.children.lock().iter().map(|(.., mount)| mount.clone()).collect()
    }

    /// Hangs `mount` on `place`.
    pub(super) fn attach(mount: Arc<Mount>, place: &Location) {
        *mount.at.lock() = Some((Arc::downgrade(&place.mount), place.inode.clone()));
        place.mount.children.lock().push((place.inode.ino(), place.inode.clone(), mount));
    }

    /// Takes this mount out of the tree.
    pub(super) fn detach(self: &Arc<Self>) {
        let at = self.at.lock().take();
        if let Some(parent) = at.and_then(|(parent, _)| parent.upgrade()) {
            parent.children.lock().retain(|(.., mount)| !Arc::ptr_eq(mount, self));
        }
    }

    /// Whether there are mounts on this one.
    pub(super) fn has_children(&self) -> bool {
        !self.children.lock().is_empty()
    }
}

/// A file and the mount through which it was reached.
#[derive(Clone)]
pub struct Location {
    pub(crate) mount: Arc<Mount>,
    pub(crate) inode: Arc<dyn Inode>,
}

impl PartialEq for Location {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.mount, &other.mount) && self.inode.ino() == other.inode.ino()
    }
}

impl Location {
    /// The inode.
    pub fn inode(&self) -> &Arc<dyn Inode> {
        &self.inode
    }

    /// The mount.
    pub fn mount(&self) -> &Arc<Mount> {
        &self.mount
    }

    /// Type, permissions and owner.
    pub fn attributes(&self) -> Attributes {
        self.inode.attributes()
    }

    /// Status.
    pub fn stat(&self) -> Stat {
        self.inode.stat()
    }

    /// Another inode of the same mount.
    pub(super) fn with(&self, inode: Arc<dyn Inode>) -> Self {
        Self { mount: self.mount.clone(), inode }
    }

    /// Whether this is the root of its mount.
    pub(super) fn is_mount_root(&self) -> bool {
        self.inode.ino() == self.mount.root.ino()
    }

    /// Whether something is mounted here.
    pub(super) fn is_mount_point(&self) -> bool {
        self.mount.child_on(&*self.inode).is_some()
    }

    /// What is seen here: the root of the topmost mount on this file, if there is one.
    pub(super) fn covered(mut self) -> Self {
        while let Some(mount) = self.mount.child_on(&*self.inode) {
            let inode = mount.root.clone();
            self = Self { mount, inode };
        }
        self
    }

    /// The place that this one lies in after leaving mounts of which it is the root.
    pub(super) fn uncovered(mut self) -> Self {
        while self.is_mount_root() {
            match self.mount.mount_point() {
                Some(point) => self = point,
                None => break,
            }
        }
        self
    }

    /// The directory above, where `root` is its own parent.
    pub(super) fn parent(&self, root: &Location) -> Result<Location> {
        let mut at = self.clone();
        while at != *root {
            if !at.is_mount_root() {
                let parent = at.inode.parent().ok_or(Errno::ENOENT)?;
                return Ok(at.with(parent).covered());
            }
            match at.mount.mount_point() {
                Some(point) => at = point,
                None => break,
            }
        }
        Ok(at.covered())
    }
}
