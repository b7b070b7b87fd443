//! What all nodes of a volume share: the lower layer, the accounts, the nodes with several names.

use super::limits::Limits;
use super::lower::{Lower, LowerRef};
use super::node::Node;
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use ampoule_kbase::{Errno, Mutex, Result, platform};
use core::sync::atomic::{AtomicU64, Ordering};

/// As what a volume appears.
#[derive(Clone, Copy, Debug)]
pub struct Personality {
    pub(super) type_name: &'static str,
    /// The type in `statfs(2)` (`linux/magic.h`).
    pub(super) magic: u64,
    pub(super) read_only: bool,
}

impl Personality {
    pub(super) const TMPFS: Self = Self { type_name: "tmpfs", magic: 0x0102_1994, read_only: false };
    pub(super) const OVERLAY: Self = Self { type_name: "overlay", magic: 0x794c_7630, read_only: false };
    pub(super) const EROFS: Self = Self { type_name: "erofs", magic: 0xe0f5_e1e2, read_only: true };
    pub(crate) const DEVTMPFS: Self = Self { type_name: "devtmpfs", magic: 0x0102_1994, read_only: false };
    pub(crate) const DEVPTS: Self = Self { type_name: "devpts", magic: 0x1cd1, read_only: false };
    pub(crate) const SYSFS: Self = Self { type_name: "sysfs", magic: 0x6265_6572, read_only: true };
}

/// A node of the lower layer that has several names there.
enum Linked {
    /// Nothing about it has changed: it can be made again.
    Clean(Weak<Node>),
    /// It must be found again under its other names.
    Changed(Arc<Node>),
}

pub(super) struct Shared {
    pub lower: Option<Lower>,
    pub personality: Personality,
    /// `st_dev`.
    pub device: u64,
    pub limits: Mutex<Limits>,
    /// Pages of file contents.
    pub pages_used: AtomicU64,
    /// Names that were made.
    pub entries_used: AtomicU64,
    /// When the volume was made, for the times of a table.
    pub created_ns: i64,
    next_ino: AtomicU64,
    linked: Mutex<BTreeMap<u64, Linked>>,
    /// Clean nodes in their place, oldest first: see `cache`.
    pub(super) cached: Mutex<VecDeque<(Weak<Node>, u64)>>,
}

/// A device number that no other file system has: major 0.
pub(crate) fn next_device() -> u64 {
    static NEXT: AtomicU64 = AtomicU64::new(20);
    let minor = NEXT.fetch_add(1, Ordering::Relaxed);
    crate::dev::device_number(0, minor as u32 & 0xf_ffff)
}

impl Shared {
    pub fn new(lower: Option<Lower>, personality: Personality, limits: Limits) -> Arc<Self> {
        let first_ino = match &lower {
            Some(Lower::Erofs(erofs)) => erofs.inode_limit() + 1,
            Some(Lower::Table(_)) => 1 << 32,
            None => 1,
        };
        Arc::new(Self {
            lower,
            personality,
            device: next_device(),
            limits: Mutex::new(limits),
            pages_used: AtomicU64::new(0),
            entries_used: AtomicU64::new(0),
            created_ns: now_ns(),
            next_ino: AtomicU64::new(first_ino),
            linked: Mutex::new(BTreeMap::new()),
            cached: Mutex::new(VecDeque::new()),
        })
    }

    pub fn next_ino(&self) -> u64 {
        self.next_ino.fetch_add(1, Ordering::Relaxed)
    }

    /// The lower layer of a file that is in it.
    pub fn lower(&self) -> Result<&Lower> {
        self.lower.as_ref().ok_or(Errno::EIO)
    }

    /// Pages and files of the lower layer.
    pub fn lower_size(&self) -> (u64, u64) {
        match &self.lower {
            Some(Lower::Erofs(erofs)) => (erofs.image().len().div_ceil(4096), erofs.inode_count()),
            _ => (0, 0),
        }
    }

    /// Takes so many pages off the limit.
    pub fn charge_pages(&self, count: u64) -> Result<()> {
        let limit = self.limits.lock().bytes / 4096;
        charge(&self.pages_used, count, limit)
    }

    /// `ENOSPC` if so many pages would be too many.
    pub fn check_pages(&self, count: u64) -> Result<()> {
        self.charge_pages(count)?;
        self.uncharge_pages(count);
        Ok(())
    }

    pub fn uncharge_pages(&self, count: u64) {
        self.pages_used.fetch_sub(count, Ordering::Relaxed);
    }

    /// Takes a name off the limit.
    pub fn charge_entry(&self, always: bool) -> Result<()> {
        let limit = if always { u64::MAX } else { self.limits.lock().inodes };
        charge(&self.entries_used, 1, limit)
    }

    pub fn uncharge_entry(&self) {
        self.entries_used.fetch_sub(1, Ordering::Relaxed);
    }

    /// The node of a file of the lower layer: a new one, or the one that there is, if it has several names.
    pub fn node_of(self: &Arc<Self>, file: LowerRef) -> Result<Arc<Node>> {
        if let LowerRef::Disk(nid) = file {
            let found = match self.linked.lock().get(&nid) {
                Some(Linked::Clean(node)) => node.upgrade(),
                Some(Linked::Changed(node)) => Some(node.clone()),
                None => None,
            };
            if let Some(node) = found {
                return Ok(node);
            }
        }
        let node = Node::from_lower(self, file)?;
        if let Some(nid) = node.linked_nid() {
            let old = self.linked.lock().insert(nid, Linked::Clean(Arc::downgrade(&node)));
            drop(old);
        }
        Ok(node)
    }

    /// A node with several names in the lower layer is not what it was there: it stays in memory.
    pub fn keep_linked(&self, nid: u64, node: Arc<Node>) {
        let old = self.linked.lock().insert(nid, Linked::Changed(node));
        drop(old);
    }

    /// Its last name is gone.
    pub fn forget_linked(&self, nid: u64) {
        let old = self.linked.lock().remove(&nid);
        drop(old);
    }

    /// The volume is gone.
    pub fn forget_links(&self) {
        let old = core::mem::take(&mut *self.linked.lock());
        drop(old);
    }
}

fn charge(used: &AtomicU64, count: u64, limit: u64) -> Result<()> {
    let sum =
        used.load(Ordering::Relaxed).checked_add(count).filter(|sum| *sum <= limit).ok_or(Errno::ENOSPC)?;
    used.store(sum, Ordering::Relaxed);
    Ok(())
}

/// The time of day.
pub(crate) fn now_ns() -> i64 {
    platform().realtime_ns() as i64
}
