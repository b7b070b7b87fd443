//! Decides where every inode, directory and long link goes, before anything of them is written.
//!
//! ```text
//! | block 0: superblock | file data ... | directories and link targets of a block or more | inodes with inline data |
//! ```
//! Inodes come in breadth-first order, so those of one directory lie together; each lies in one block with its inline
//! data.

use std::collections::{BTreeMap, HashSet, VecDeque};

use crate::digest;
use crate::directory;
use crate::error::Error;
use crate::kernel_name::KernelName;
use crate::ondisk::{BLOCK, Form, Inode, Layout, SLOT, mode};
use crate::options::{Options, Time};
use crate::tree::{Digest, Kind, NodeId, Special, Tree};

/// An inode and its place.
#[derive(Debug)]
pub(crate) struct Planned {
    pub(crate) node: NodeId,
    /// The directory above (a directory's only one, any one of a file's).
    pub(crate) parent: NodeId,
    pub(crate) inode: Inode,
    pub(crate) form: Form,
    /// Bytes from the start of the metadata area.
    pub(crate) offset: u64,
}

impl Planned {
    /// EROFS's node id.
    pub(crate) fn nid(&self) -> u64 {
        self.offset / SLOT
    }
}

/// The whole image's layout.
#[derive(Debug)]
pub(crate) struct Plan {
    inodes: Vec<Planned>,
    /// By [`Tree::index`]: place in `inodes`.
    places: Vec<Option<usize>>,
    /// First block of the inodes.
    pub(crate) meta_block: u32,
    /// Blocks of inodes.
    pub(crate) meta_blocks: u32,
    /// What compact inodes have.
    pub(crate) time: Time,
    contents: HashSet<Digest>,
    files: u64,
    digest: Digest,
    /// The kernel that the image asks for.
    pub(crate) kernel: Option<KernelName>,
}

impl Plan {
    pub(crate) fn bytes(&self) -> u64 {
        self.blocks() * BLOCK
    }

    fn blocks(&self) -> u64 {
        u64::from(self.meta_block) + u64::from(self.meta_blocks)
    }

    pub(crate) fn inodes(&self) -> u64 {
        self.inodes.len() as u64
    }

    pub(crate) fn files(&self) -> u64 {
        self.files
    }

    pub(crate) fn digest(&self) -> Digest {
        self.digest
    }

    /// Whether some file has this content.
    pub(crate) fn uses(&self, content: &Digest) -> bool {
        self.contents.contains(content)
    }

    pub(crate) fn all(&self) -> &[Planned] {
        &self.inodes
    }

    /// Where a node is. Every node that is reachable from the root has a place.
    pub(crate) fn place(&self, node: NodeId) -> Option<&Planned> {
        self.inodes.get((*self.places.get(Tree::index(node))?)?)
    }
}

/// Plans an image whose file data ends at byte `data_end`.
pub(crate) fn plan(tree: &Tree, data_end: u64, options: &Options) -> Result<Plan, Error> {
    let limit = options.limits.image_bytes;
    let reached = reach(tree);
    let time = commonest_time(tree, &reached.order);
    let too_big = || Error::Limit { what: "bytes in its image", limit };
    let mut plan = Plan {
        inodes: Vec::with_capacity(reached.order.len()),
        places: vec![None; tree.len()],
        meta_block: 0,
        meta_blocks: 0,
        time,
        contents: HashSet::new(),
        files: 0,
        digest: digest::of_tree(tree, options.kernel),
        kernel: options.kernel,
    };
    let mut next_block = data_end / BLOCK;
    let mut space = MetaSpace::new();
    for &(node, parent) in &reached.order {
        let links = reached.links.get(Tree::index(node)).copied().unwrap_or(1);
        let mut inode = describe(tree, node, parent, links);
        inode.number = u32::try_from(plan.inodes.len() + 1).map_err(|_| too_big())?;
        let form = inode.form(time);
        let inline = inline_length(&tree.node(node).kind, &inode, form);
        match (&tree.node(node).kind, inline) {
            (Kind::File(data), _) => {
                plan.files += 1;
                plan.contents.insert(data.digest);
            }
            (Kind::Directory(_) | Kind::Symlink(_), None) => {
                inode.block_or_device = u32::try_from(next_block).map_err(|_| too_big())?;
                next_block += inode.size.div_ceil(BLOCK);
            }
            (_, Some(_)) => inode.layout = Layout::Inline,
            (Kind::Special(_), None) => {}
        }
        let offset = space.allocate(form.length() + inline.unwrap_or(0));
        if let Some(place) = plan.places.get_mut(Tree::index(node)) {
            *place = Some(plan.inodes.len());
        }
        plan.inodes.push(Planned { node, parent, inode, form, offset });
    }
    plan.meta_block = u32::try_from(next_block).map_err(|_| too_big())?;
    plan.meta_blocks = u32::try_from(space.close()).map_err(|_| too_big())?;
    if plan.bytes() > limit || u32::try_from(plan.blocks()).is_err() { Err(too_big()) } else { Ok(plan) }
}

/// Bytes that lie behind the inode, if its data does: a directory or link target that fits one block with it.
fn inline_length(kind: &Kind, inode: &Inode, form: Form) -> Option<usize> {
    let size = usize::try_from(inode.size).ok()?;
    let may = matches!(kind, Kind::Directory(_) | Kind::Symlink(_));
    (may && size + form.length() <= BLOCK as usize).then_some(size)
}

/// Live nodes, breadth first, each once with a directory above it; and the link count of each by [`Tree::index`].
struct Reached {
    order: Vec<(NodeId, NodeId)>,
    links: Vec<u32>,
}

fn reach(tree: &Tree) -> Reached {
    let mut reached = Reached { order: vec![(Tree::ROOT, Tree::ROOT)], links: vec![0; tree.len()] };
    let mut directories = VecDeque::from([Tree::ROOT]);
    while let Some(directory) = directories.pop_front() {
        let mut subdirectories = 0;
        for &child in tree.names(directory).into_iter().flat_map(|names| names.values()) {
            if tree.names(child).is_some() {
                subdirectories += 1;
                directories.push_back(child);
                reached.order.push((child, directory));
            } else if let Some(links) = reached.links.get_mut(Tree::index(child)) {
                if *links == 0 {
                    reached.order.push((child, directory));
                }
                *links = links.saturating_add(1);
            }
        }
        if let Some(links) = reached.links.get_mut(Tree::index(directory)) {
            *links = 2 + subdirectories;
        }
    }
    reached
}

/// The time that most inodes have, the earliest of them: those can be compact.
fn commonest_time(tree: &Tree, order: &[(NodeId, NodeId)]) -> Time {
    let mut counts: BTreeMap<Time, u64> = BTreeMap::new();
    for &(node, _) in order {
        let time = tree.node(node).meta.mtime;
        if time.seconds >= 0 {
            *counts.entry(time).or_default() += 1;
        }
    }
    let most = counts.values().max().copied();
    counts.into_iter().find(|&(_, count)| Some(count) == most).map(|(time, _)| time).unwrap_or_default()
}

/// The inode of a node, with no place yet.
fn describe(tree: &Tree, node: NodeId, parent: NodeId, links: u32) -> Inode {
    let meta = tree.node(node).meta;
    let (kind, size, block_or_device) = match &tree.node(node).kind {
        Kind::Directory(names) => {
            (mode::DIRECTORY, directory::size(&directory::entries(names, node, parent)), 0)
        }
        Kind::File(data) => (mode::FILE, data.size, data.block),
        Kind::Symlink(target) => (mode::SYMLINK, target.len() as u64, 0),
        Kind::Special(Special::Fifo) => (mode::FIFO, 0, 0),
        Kind::Special(Special::Socket) => (mode::SOCKET, 0, 0),
        Kind::Special(Special::CharDevice(number)) => (mode::CHAR, 0, number.encode()),
        Kind::Special(Special::BlockDevice(number)) => (mode::BLOCK, 0, number.encode()),
    };
    Inode {
        layout: Layout::Plain,
        mode: kind | meta.permissions,
        uid: meta.uid,
        gid: meta.gid,
        links,
        size,
        mtime: meta.mtime,
        block_or_device,
        number: 0,
    }
}

/// Hands out places in the metadata area; none crosses a block boundary.
struct MetaSpace {
    /// Blocks that may still have room: index and bytes used.
    open: VecDeque<(u64, usize)>,
    blocks: u64,
}

impl MetaSpace {
    /// How many blocks are looked at for a place: more wastes less space, fewer keep neighbours together.
    const OPEN_BLOCKS: usize = 8;

    /// The first slot stays free: node id 0 would make an inode number 0, which programs take for "none".
    fn new() -> Self {
        Self { open: VecDeque::from([(0, SLOT as usize)]), blocks: 1 }
    }

    /// The number of blocks. The last one is not full to its end: `fsck.erofs` (1.5) looks for attributes behind every
    /// inode, also where there are none, and fails if that is behind the image.
    fn close(self) -> u64 {
        let full = self.open.back().is_some_and(|&(_, used)| used == BLOCK as usize);
        self.blocks + u64::from(full)
    }

    /// The byte offset of a free place of at most a block.
    fn allocate(&mut self, length: usize) -> u64 {
        let length = length.next_multiple_of(SLOT as usize);
        for (block, used) in &mut self.open {
            if *used + length <= BLOCK as usize {
                let offset = *block * BLOCK + *used as u64;
                *used += length;
                return offset;
            }
        }
        let block = self.blocks;
        self.blocks += 1;
        if self.open.len() == Self::OPEN_BLOCKS {
            self.open.pop_front();
        }
        self.open.push_back((block, length));
        block * BLOCK
    }
}
