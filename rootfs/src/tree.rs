//! The tree to be written, in memory: names and metadata, but no file data (that is in the image already).

use std::collections::BTreeMap;

use crate::error::{Error, printable};
use crate::options::Time;

/// Permissions, owner and time of an inode.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// Permission bits with set-uid, set-gid and sticky: the low 12 bits of `st_mode`.
    pub permissions: u16,
    /// Owning user.
    pub uid: u32,
    /// Owning group.
    pub gid: u32,
    /// Last modification.
    pub mtime: Time,
}

/// An inode that is neither directory, regular file nor symbolic link.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Special {
    /// A named pipe.
    Fifo,
    /// A Unix socket's name.
    Socket,
    /// A character device.
    CharDevice(DeviceNumber),
    /// A block device.
    BlockDevice(DeviceNumber),
}

/// Major and minor number of a device, as far as Linux keeps them: 12 and 20 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DeviceNumber {
    major: u32,
    minor: u32,
}

impl DeviceNumber {
    /// A device number; `None` if it needs more than 12 bits for the major or 20 for the minor part.
    #[must_use]
    pub fn new(major: u32, minor: u32) -> Option<Self> {
        (major < 1 << 12 && minor < 1 << 20).then_some(Self { major, minor })
    }

    /// The major number.
    #[must_use]
    pub fn major(self) -> u32 {
        self.major
    }

    /// The minor number.
    #[must_use]
    pub fn minor(self) -> u32 {
        self.minor
    }

    /// As the kernel's `new_encode_dev` has it in file systems.
    pub(crate) fn encode(self) -> u32 {
        (self.minor & 0xff) | (self.major << 8) | ((self.minor & !0xff) << 12)
    }

    pub(crate) fn decode(encoded: u32) -> Self {
        let minor = (encoded & 0xff) | ((encoded >> 12) & 0xf_ff00);
        Self { major: (encoded >> 8) & 0xfff, minor }
    }
}

/// A SHA-256 digest.
pub(crate) type Digest = [u8; 32];

/// A regular file's content: where it lies in the image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileData {
    /// Length in bytes.
    pub(crate) size: u64,
    /// First 4 KiB block; 0 for an empty file.
    pub(crate) block: u32,
    /// SHA-256 of the content.
    pub(crate) digest: Digest,
}

/// The names of a directory, in the order in which EROFS sorts them.
pub(crate) type Names = BTreeMap<Box<[u8]>, NodeId>;

#[derive(Debug)]
pub(crate) enum Kind {
    Directory(Names),
    File(FileData),
    Symlink(Box<[u8]>),
    Special(Special),
}

impl Kind {
    /// For error messages.
    fn name(&self) -> &'static str {
        match self {
            Self::Directory(_) => "a directory",
            Self::File(_) => "a file",
            Self::Symlink(_) => "a symbolic link",
            Self::Special(_) => "a special file",
        }
    }
}

#[derive(Debug)]
pub(crate) struct Node {
    pub(crate) meta: Meta,
    pub(crate) kind: Kind,
}

/// A node's index in its [`Tree`]; only the tree makes them, so it always has that node.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) struct NodeId(usize);

/// All nodes. Replaced ones stay, unreachable, until the image is written.
#[derive(Debug)]
pub(crate) struct Tree {
    nodes: Vec<Node>,
}

impl Tree {
    pub(crate) const ROOT: NodeId = NodeId(0);

    pub(crate) fn new(root: Meta) -> Self {
        Self { nodes: vec![Node { meta: root, kind: Kind::Directory(Names::new()) }] }
    }

    pub(crate) fn node(&self, id: NodeId) -> &Node {
        // Indices come from `push` alone and nodes are never removed.
        &self.nodes[id.0]
    }

    pub(crate) fn set_meta(&mut self, id: NodeId, meta: Meta) {
        self.nodes[id.0].meta = meta;
    }

    /// Nodes ever made, live or not.
    pub(crate) fn len(&self) -> usize {
        self.nodes.len()
    }

    /// A number below [`Tree::len`] for tables beside the tree.
    pub(crate) fn index(id: NodeId) -> usize {
        id.0
    }

    pub(crate) fn names(&self, id: NodeId) -> Option<&Names> {
        match &self.node(id).kind {
            Kind::Directory(names) => Some(names),
            _ => None,
        }
    }

    /// The node at a path, following nothing.
    pub(crate) fn find(&self, parts: &[&[u8]]) -> Option<NodeId> {
        parts.iter().try_fold(Self::ROOT, |at, &part| self.names(at)?.get(part).copied())
    }

    /// The directory `parts`, made (with `missing`'s metadata) where it is not there yet. Returns it and how many
    /// directories were made. Symbolic links are not followed: what lies behind one is not this path.
    pub(crate) fn directory(&mut self, parts: &[&[u8]], missing: Meta) -> Result<(NodeId, u64), Error> {
        let mut at = Self::ROOT;
        let mut made = 0;
        for (depth, &part) in parts.iter().enumerate() {
            let next = self.names(at).and_then(|names| names.get(part).copied());
            at = match next {
                Some(next) => next,
                None => {
                    made += 1;
                    self.insert(at, part, Node { meta: missing, kind: Kind::Directory(Names::new()) })
                }
            };
            let kind = &self.node(at).kind;
            if !matches!(kind, Kind::Directory(_)) {
                let parent = parts.get(..=depth).unwrap_or_default().join(&b'/');
                return Err(Error::ParentNotDirectory {
                    path: printable(&parts.join(&b'/')),
                    parent: printable(&parent),
                    what: kind.name(),
                });
            }
        }
        Ok((at, made))
    }

    /// Puts a new node under `name`, in place of what was there.
    pub(crate) fn insert(&mut self, parent: NodeId, name: &[u8], node: Node) -> NodeId {
        let id = NodeId(self.nodes.len());
        self.nodes.push(node);
        self.link(parent, name, id);
        id
    }

    /// Puts an existing node under `name`, in place of what was there.
    pub(crate) fn link(&mut self, parent: NodeId, name: &[u8], id: NodeId) {
        match &mut self.nodes[parent.0].kind {
            Kind::Directory(names) => names.insert(name.into(), id),
            _ => unreachable!("callers get parents from directory()"),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn device_numbers_survive_their_encoding() {
        for (major, minor) in [(0, 0), (1, 3), (8, 255), (259, 0xf_ffff), (0xfff, 256)] {
            let number = DeviceNumber::new(major, minor).expect("in range");
            assert_eq!(DeviceNumber::decode(number.encode()), number);
        }
        assert_eq!(DeviceNumber::new(1, 3).expect("in range").encode(), 0x103);
        assert!(DeviceNumber::new(4096, 0).is_none());
        assert!(DeviceNumber::new(0, 1 << 20).is_none());
    }
}
