//! One file of a volume.

use super::contents::Contents;
use super::entries::Entries;
use super::limits::Limits;
use super::lower::LowerRef;
use super::shared::{Shared, now_ns};
use crate::special::Slot;
use crate::vfs::{Kind, NewNode};
use alloc::boxed::Box;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use ampoule_kbase::{Errno, FileType, Mutex, PAGE_SIZE, Result};
use core::sync::atomic::AtomicI32;

/// Where a node was last found.
pub(super) enum Place {
    /// It is a root, or was never in a directory.
    Nowhere,
    /// In this directory, under this key.
    In(Weak<Node>, u64),
    /// It was there, under this name.
    Removed(Arc<Node>, Box<[u8]>),
    /// The same, but it has other names: it may be below that directory still, which it must not keep.
    Left(Weak<Node>, Box<[u8]>),
}

impl Place {
    fn let_go(&mut self) {
        if let Place::Removed(directory, name) = self {
            *self = Place::Left(Arc::downgrade(directory), core::mem::take(name));
        }
    }
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
    pub rdev: u64,
    /// The pipe, or the socket.
    pub slot: Slot,
}

/// A file, directory, or anything else in a [`super::Volume`].
pub struct Node {
    pub(super) shared: Arc<Shared>,
    pub(super) me: Weak<Node>,
    pub(super) number: u64,
    pub(super) file_type: FileType,
    /// Where it comes from.
    pub(super) lower: Option<LowerRef>,
    /// It has several names in the lower layer.
    linked_below: bool,
    pub(super) special: Option<Box<Special>>,
    /// Openings for writing, or (negative) executions.
    pub(super) writers: AtomicI32,
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
            number: lower.map_or_else(|| shared.next_ino(), LowerRef::ino),
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
            if state.nlink > 0 {
                state.place.let_go();
            }
            state.nlink
        };
        if let (0, Some(nid)) = (left, self.linked_nid()) {
            self.shared.forget_linked(nid);
        }
    }

    pub(super) fn blocks(&self, state: &State) -> u64 {
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
