//! The one writable file system. Without a lower layer it is tmpfs. Over an EROFS image it is the root: an overlay in
//! which a file is copied page by page, when the page is written, and a directory is only what differs from the image.
//! Over a table in the kernel it is `/dev` and `/sys`. Sealed against writing it shows an image as it is.
//!
//! ```text
//!   Volume -- root: Node
//!               | entries by hash of the name:  node at its place in the lower layer (a cache: may be dropped while clean)
//!               |                               node of its own place (new, moved here, or hiding a lower one)
//!               |                               whiteout (hides a lower one)
//!               `-- lower: inode of the image or entry of the table, if the node has its origin there
//! ```
//!
//! A node that came from the lower layer stays that node wherever it is moved, so moving a directory costs nothing and its
//! inode number never changes. Nodes of the lower layer that nobody uses and that were not changed are forgotten when
//! there are many.
//!
//! Locks: each node has one; never two at a time, except a directory's and then that of a node in it.

mod cache;
mod contents;
mod directory;
mod entries;
mod file;
mod inode;
mod limits;
mod lower;
mod memfd;
mod node;
mod rename;
mod shared;
mod space;
pub mod table;
#[cfg(test)]
mod tests;

pub use limits::{Limits, set_most};
pub use memfd::memfd;
pub use node::Node;

use crate::erofs::{Erofs, Image};
use crate::vfs::{FileSystem, Inode, Statfs};
use alloc::format;
use alloc::string::String;
use alloc::sync::Arc;
use ampoule_kbase::{PAGE_SIZE, Result};
use core::sync::atomic::Ordering;
use lower::Lower;
use node::Body;
use shared::Shared;
pub(crate) use shared::{Personality, next_device};

/// A file system; see the module.
pub struct Volume {
    shared: Arc<Shared>,
    root: Arc<Node>,
}

impl Volume {
    /// An empty one.
    pub fn tmpfs(limits: Limits) -> Arc<Self> {
        let shared = Shared::new(None, Personality::TMPFS, limits);
        let root = Node::new_root(&shared, &limits);
        Arc::new(Self { shared, root })
    }

    /// A writable view of an image: what is written is kept in memory, within `limits`. `EINVAL`: not an image.
    pub fn overlay(image: Image, limits: Limits) -> Result<Arc<Self>> {
        Self::over(Lower::Erofs(Erofs::new(image)?), Personality::OVERLAY, limits)
    }

    /// An image as it is.
    pub fn read_only(image: Image) -> Result<Arc<Self>> {
        Self::over(Lower::Erofs(Erofs::new(image)?), Personality::EROFS, Limits::NONE)
    }

    /// A writable view of a table.
    pub(crate) fn over_table(
        root: &'static table::Entry,
        personality: Personality,
        limits: Limits,
    ) -> Result<Arc<Self>> {
        Self::over(Lower::Table(root), personality, limits)
    }

    fn over(lower: Lower, personality: Personality, limits: Limits) -> Result<Arc<Self>> {
        let root = lower.root();
        let shared = Shared::new(Some(lower), personality, limits);
        let root = Node::from_lower(&shared, root)?;
        root.make_root();
        Ok(Arc::new(Self { shared, root }))
    }

    /// The root directory.
    pub fn root_node(&self) -> &Arc<Node> {
        &self.root
    }
}

impl Drop for Volume {
    fn drop(&mut self) {
        self.shared.forget_links();
    }
}

impl FileSystem for Volume {
    fn type_name(&self) -> &'static str {
        self.shared.personality.type_name
    }

    fn device(&self) -> u64 {
        self.shared.device
    }

    fn root(&self) -> Arc<dyn Inode> {
        self.root.clone()
    }

    fn statfs(&self) -> Statfs {
        let limits = *self.shared.limits.lock();
        let pages = self.shared.pages_used.load(Ordering::Relaxed);
        let entries = self.shared.entries_used.load(Ordering::Relaxed);
        let (lower_blocks, lower_files) = self.shared.lower_size();
        let page = PAGE_SIZE as u64;
        Statfs {
            kind: self.shared.personality.magic,
            block_size: page,
            blocks: lower_blocks + limits.bytes / page,
            blocks_free: (limits.bytes / page).saturating_sub(pages),
            files: lower_files + limits.inodes,
            files_free: limits.inodes.saturating_sub(entries),
            id: self.shared.device,
            name_length: 255,
            flags: 0,
        }
    }

    fn options(&self) -> String {
        if self.read_only() {
            return String::new();
        }
        let limits = *self.shared.limits.lock();
        format!(",size={}k,nr_inodes={}", limits.bytes / 1024, limits.inodes)
    }

    fn read_only(&self) -> bool {
        self.shared.personality.read_only
    }

    fn remount(&self, data: &[u8]) -> Result<()> {
        let mut limits = self.shared.limits.lock();
        *limits = limits.changed_by(data)?;
        Ok(())
    }
}
