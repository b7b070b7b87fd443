//! One file of a volume.

use super::entries::Entries;
use super::file::Contents;
use super::limits::Limits;
use super::lower::LowerRef;
use super::shared::{Shared, now_ns};
use crate::special::Slot;
use crate::vfs::{Attributes, Changes, Inode, Kind, NewNode, RenameMode, SetTime, Target, WriterChange};
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use ampoule_kbase::{DirEntry, Errno, FileType, Frame, Mutex, PAGE_SIZE, Result, Sink, Source, Stat};
use core::any::Any;
use core::sync::atomic::{AtomicI32, Ordering};

/// Where a node was last found.
pub(super) enum Place {
    /// It is a root, or was never in a directory.
    Nowhere,
    /// In this directory, under this key.
    In(Weak<Node>, u64),
    /// It was there, under this name.
    Removed(Arc<Node>, Box<[u8]>),
}

/// What only one type of file has.
pub(super) enum Body {
    Directory(Entries),
    File(Contents),
    Symlink(Box<[u8]>),
    /// A special file, or a symbolic link of the lower layer.
    Other,
}

pub(super) struct State {
    /// Type and permissions.
    pub mode: u32,
    pub uid: u32,
    pub gid: u32,
    pub nlink: u32,
    /// Bytes of contents, where [`Body`] does not tell.
    pub size: u64,
    pub atime_ns: i64,
    pub mtime_ns: i64,
    pub ctime_ns: i64,
    pub place: Place,
    /// It is no longer what the lower layer says.
    pub changed: bool,
    /// A file without a name may get one (`O_TMPFILE`).
    pub linkable: bool,
    pub body: Body,
}

impl State {
    pub fn entries(&self) -> Option<&Entries> {
        match &self.body {
            Body::Directory(entries) => Some(entries),
            _ => None,
        }
    }

    pub fn entries_mut(&mut self) -> Option<&mut Entries> {
        match &mut self.body {
            Body::Directory(entries) => Some(entries),
            _ => None,
        }
    }

    /// What was written has changed: the contents, or the entries.
    pub fn touch(&mut self) {
        let now = now_ns();
        self.mtime_ns = now;
        self.ctime_ns = now;
    }
}

/// What only special files have.
pub(super) struct Special {
    /// Major and minor, of devices.
    rdev: u64,
    /// The pipe, or the socket.
    slot: Slot,
}

/// A file, directory, or anything else in a [`super::Volume`].
pub struct Node {
    pub(super) shared: Arc<Shared>,
    me: Weak<Node>,
    ino: u64,
    pub(super) file_type: FileType,
    /// Where it comes from.
    pub(super) lower: Option<LowerRef>,
    /// It has several names in the lower layer.
    linked_below: bool,
    special: Option<Box<Special>>,
    /// Openings for writing, or (negative) executions.
    writers: AtomicI32,
    pub(super) state: Mutex<State>,
}

impl Node {
    fn assemble(shared: &Arc<Shared>, lower: Option<LowerRef>, rdev: u64, state: State) -> Result<Arc<Self>> {
        let file_type = FileType::from_mode(state.mode).ok_or(Errno::EIO)?;
        let special = match file_type {
            FileType::Regular | FileType::Directory | FileType::Symlink => None,
            _ => Some(Box::new(Special { rdev, slot: Slot::new() })),
        };
        Ok(Arc::new_cyclic(|me| Self {
            shared: shared.clone(),
            me: me.clone(),
            ino: lower.map_or_else(|| shared.next_ino(), LowerRef::ino),
            file_type,
            lower,
            linked_below: lower.is_some() && file_type != FileType::Directory && state.nlink > 1,
            special,
            writers: AtomicI32::new(0),
            state: Mutex::new(state),
        }))
    }

    /// A node that is not in the lower layer; without a place.
    pub(super) fn new(shared: &Arc<Shared>, node: &NewNode<'_>) -> Result<Arc<Self>> {
        let now = now_ns();
        let file_type = node.kind.file_type();
        let (body, size, rdev) = match node.kind {
            Kind::Regular => (Body::File(Contents::empty()), 0, 0),
            Kind::Directory => (Body::Directory(Entries::default()), 0, 0),
            Kind::Symlink(target) => (Body::Symlink(target.into()), target.len() as u64, 0),
            Kind::CharDevice(device) | Kind::BlockDevice(device) => (Body::Other, 0, device),
            Kind::Fifo | Kind::Socket => (Body::Other, 0, 0),
        };
        let state = State {
            mode: file_type as u32 | node.permissions,
            uid: node.uid,
            gid: node.gid,
            nlink: if file_type == FileType::Directory { 2 } else { 1 },
            size,
            atime_ns: now,
            mtime_ns: now,
            ctime_ns: now,
            place: Place::Nowhere,
            changed: true,
            linkable: false,
            body,
        };
        Self::assemble(shared, None, rdev, state)
    }

    /// The root directory of an empty volume.
    pub(super) fn new_root(shared: &Arc<Shared>, limits: &Limits) -> Arc<Self> {
        let node = NewNode {
            kind: Kind::Directory,
            permissions: limits.root_mode,
            uid: limits.root_uid,
            gid: limits.root_gid,
        };
        #[expect(clippy::expect_used, reason = "a directory's mode is valid")]
        Self::new(shared, &node).expect("a directory can be made")
    }

    /// A node as it is in the lower layer; without a place.
    pub(super) fn from_lower(shared: &Arc<Shared>, file: LowerRef) -> Result<Arc<Self>> {
        let info = shared.lower()?.info(file)?;
        let time = info.mtime_ns.unwrap_or(shared.created_ns);
        let body = match FileType::from_mode(info.mode) {
            Some(FileType::Directory) => Body::Directory(Entries::default()),
            Some(FileType::Regular) => Body::File(Contents::of_lower(info.size)),
            _ => Body::Other,
        };
        let state = State {
            mode: info.mode,
            uid: info.uid,
            gid: info.gid,
            nlink: info.nlink.max(1),
            size: info.size,
            atime_ns: time,
            mtime_ns: time,
            ctime_ns: time,
            place: Place::Nowhere,
            changed: false,
            linkable: false,
            body,
        };
        Self::assemble(shared, Some(file), info.rdev, state)
    }

    /// A handle of this node.
    pub(super) fn me(&self) -> Result<Arc<Node>> {
        self.me.upgrade().ok_or(Errno::EIO)
    }

    pub(super) fn weak(&self) -> Weak<Node> {
        self.me.clone()
    }

    /// The number in the image of a node with several names there.
    pub(super) fn linked_nid(&self) -> Option<u64> {
        match self.lower {
            Some(LowerRef::Disk(nid)) if self.linked_below => Some(nid),
            _ => None,
        }
    }

    /// To be called before a change: from now on the node itself is the truth. Its lock must not be held.
    pub(super) fn set_changed(&self) {
        let was = core::mem::replace(&mut self.state.lock().changed, true);
        if let (false, Some(nid), Some(me)) = (was, self.linked_nid(), self.me.upgrade()) {
            self.shared.keep_linked(nid, me);
        }
    }

    /// The root directory has no name to be found by, so it is not forgotten either.
    pub(super) fn make_root(&self) {
        self.state.lock().changed = true;
    }

    /// Takes a name off; the last one with it.
    pub(super) fn drop_link(&self) {
        self.set_changed();
        let left = {
            let mut state = self.state.lock();
            state.nlink =
                if self.file_type == FileType::Directory { 0 } else { state.nlink.saturating_sub(1) };
            state.ctime_ns = now_ns();
            state.nlink
        };
        if let (0, Some(nid)) = (left, self.linked_nid()) {
            self.shared.forget_linked(nid);
        }
    }

    fn blocks(&self, state: &State) -> u64 {
        match (&state.body, self.lower) {
            (_, Some(_)) => state.size.div_ceil(512),
            (Body::File(contents), None) => contents.page_count() * (PAGE_SIZE as u64 / 512),
            _ => 0,
        }
    }
}

/// Takes apart what hangs on a node, without recursion: trees are as deep as a program likes.
impl Drop for Node {
    fn drop(&mut self) {
        let mut loose: Vec<Arc<Node>> = Vec::new();
        loosen(self, &mut loose);
        while let Some(node) = loose.pop() {
            if let Some(mut node) = Arc::into_inner(node) {
                loosen(&mut node, &mut loose);
            }
        }
    }
}

fn loosen(node: &mut Node, loose: &mut Vec<Arc<Node>>) {
    let shared = node.shared.clone();
    let mut state = node.state.lock();
    if let Place::Removed(directory, _) = core::mem::replace(&mut state.place, Place::Nowhere) {
        loose.push(directory);
    }
    match core::mem::replace(&mut state.body, Body::Other) {
        Body::Directory(entries) => loose.extend(entries.into_nodes()),
        Body::File(contents) => shared.uncharge_pages(contents.page_count()),
        Body::Symlink(_) | Body::Other => {}
    }
}

impl Inode for Node {
    fn ino(&self) -> u64 {
        self.ino
    }

    fn attributes(&self) -> Attributes {
        let state = self.state.lock();
        Attributes { mode: state.mode, uid: state.uid, gid: state.gid }
    }

    fn stat(&self) -> Stat {
        let state = self.state.lock();
        let own_entries = state.entries().map_or(0, Entries::len) as u64;
        Stat {
            dev: self.shared.device,
            ino: self.ino,
            mode: state.mode,
            nlink: state.nlink,
            uid: state.uid,
            gid: state.gid,
            rdev: self.special.as_ref().map_or(0, |special| special.rdev),
            size: state.size + if self.lower.is_none() { own_entries * 20 } else { 0 },
            blksize: PAGE_SIZE as u32,
            blocks: self.blocks(&state),
            atime_ns: state.atime_ns,
            mtime_ns: state.mtime_ns,
            ctime_ns: state.ctime_ns,
        }
    }

    fn change(&self, changes: &Changes) -> Result<()> {
        self.set_changed();
        let mut state = self.state.lock();
        let now = now_ns();
        if let Some(permissions) = changes.permissions {
            state.mode = self.file_type as u32 | permissions & 0o7777;
        }
        state.uid = changes.uid.unwrap_or(state.uid);
        state.gid = changes.gid.unwrap_or(state.gid);
        let set = |time: &mut i64, to: SetTime| match to {
            SetTime::Keep => {}
            SetTime::Now => *time = now,
            SetTime::At(ns) => *time = ns,
        };
        set(&mut state.atime_ns, changes.atime);
        set(&mut state.mtime_ns, changes.mtime);
        state.ctime_ns = now;
        Ok(())
    }

    fn lookup(&self, name: &[u8]) -> Result<Arc<dyn Inode>> {
        Ok(self.find(name)?.ok_or(Errno::ENOENT)?)
    }

    fn parent(&self) -> Option<Arc<dyn Inode>> {
        let state = self.state.lock();
        Some(match &state.place {
            Place::Nowhere => self.me.upgrade()?,
            Place::In(directory, _) => directory.upgrade()?,
            Place::Removed(directory, _) => directory.clone(),
        })
    }

    fn name(&self) -> Option<(Vec<u8>, bool)> {
        let (directory, key) = match &self.state.lock().place {
            Place::Nowhere => return None,
            Place::Removed(_, name) => return Some((name.to_vec(), false)),
            Place::In(directory, key) => (directory.upgrade()?, *key),
        };
        let state = directory.state.lock();
        let entry = state.entries()?.get(key)?;
        Some((entry.name.to_vec(), true))
    }

    fn create(&self, name: &[u8], node: &NewNode<'_>) -> Result<Arc<dyn Inode>> {
        Ok(self.create_node(name, node)?)
    }

    fn create_unnamed(&self, node: &NewNode<'_>, linkable: bool) -> Result<Arc<dyn Inode>> {
        Ok(self.create_unnamed_node(node, linkable)?)
    }

    fn link(&self, name: &[u8], target: &Arc<dyn Inode>) -> Result<()> {
        self.link_node(name, target.as_any().downcast_ref::<Node>().ok_or(Errno::EXDEV)?)
    }

    fn unlink(&self, name: &[u8]) -> Result<()> {
        self.remove_file(name)
    }

    fn rmdir(&self, name: &[u8]) -> Result<()> {
        self.remove_directory(name)
    }

    fn rename(&self, name: &[u8], to: &Arc<dyn Inode>, to_name: &[u8], mode: RenameMode) -> Result<()> {
        let to = to.as_any().downcast_ref::<Node>().ok_or(Errno::EXDEV)?;
        match mode {
            RenameMode::Replace => self.move_entry(name, to, to_name),
            RenameMode::Exchange => self.exchange_entries(name, to, to_name),
        }
    }

    fn read_directory(&self, offset: u64, each: &mut dyn FnMut(DirEntry) -> bool) -> Result<()> {
        self.list(offset, each)
    }

    fn target(&self) -> Result<Target> {
        if self.file_type != FileType::Symlink {
            return Err(Errno::EINVAL);
        }
        if let Body::Symlink(target) = &self.state.lock().body {
            return Ok(Target::Path(target.to_vec()));
        }
        let file = self.lower.ok_or(Errno::EIO)?;
        Ok(Target::Path(self.shared.lower()?.link_target(file)?.to_vec()))
    }

    fn read(&self, offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        self.read_contents(offset, sink)
    }

    fn write(&self, offset: u64, source: &mut dyn Source) -> Result<usize> {
        self.write_contents(offset, source)
    }

    fn page(&self, index: u64, write: bool, keep: bool) -> Result<Frame> {
        self.contents_page(index, write || keep)
    }

    fn truncate(&self, length: u64) -> Result<()> {
        self.set_length(length)
    }

    fn allocate(&self, flags: u32, offset: u64, length: u64) -> Result<()> {
        self.allocate_contents(flags, offset, length)
    }

    fn seek(&self, offset: u64, hole: bool) -> Result<u64> {
        self.seek_contents(offset, hole)
    }

    fn seals(&self) -> Result<u32> {
        match &self.state.lock().body {
            Body::File(contents) => contents.seals.ok_or(Errno::EINVAL),
            _ => Err(Errno::EINVAL),
        }
    }

    fn add_seals(&self, seals: u32) -> Result<()> {
        match &mut self.state.lock().body {
            Body::File(contents) => contents.add_seals(seals),
            _ => Err(Errno::EINVAL),
        }
    }

    fn slot(&self) -> Option<&Slot> {
        self.special.as_ref().map(|special| &special.slot)
    }

    fn count_writers(&self, change: WriterChange) -> Result<()> {
        let count = self.writers.load(Ordering::Relaxed);
        let next = match change {
            WriterChange::WriterAdded if count >= 0 => count + 1,
            WriterChange::ExecutorAdded if count <= 0 => count - 1,
            WriterChange::WriterGone => (count - 1).max(0),
            WriterChange::ExecutorGone => (count + 1).min(0),
            _ => return Err(Errno::ETXTBSY),
        };
        self.writers.store(next, Ordering::Relaxed);
        if let (WriterChange::WriterAdded, Body::File(contents)) = (change, &mut self.state.lock().body) {
            contents.private = true;
        }
        Ok(())
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}
