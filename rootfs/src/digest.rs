//! The digest of a tree, and of the kernel that it asks for: what identifies an image, whatever source it came from and
//! wherever its data lies.
//!
//! SHA-256 over one record an entry, in sorted depth-first order: type, name, metadata, and the content (the digest of
//! a file's data, a link's target, a device's number). A second name of an inode is recorded as a reference to the
//! first. A directory's records end with an end mark. Every field has a fixed length or its length before it, so
//! different trees have different records.

use std::collections::HashMap;

use sha2::{Digest as _, Sha256};

use crate::kernel_name::KernelName;
use crate::tree::{Digest, FileData, Kind, Meta, NodeId, Special, Tree};

/// Version of the record format.
const DOMAIN: &[u8] = b"ampoule image tree 1\n";

/// Collects the records of a tree. Calls come in the order that the module describes.
pub(crate) struct TreeDigest {
    hash: Sha256,
}

impl TreeDigest {
    pub(crate) fn new() -> Self {
        let mut hash = Sha256::new();
        hash.update(DOMAIN);
        Self { hash }
    }

    fn entry(&mut self, kind: u8, name: &[u8], meta: &Meta) {
        self.hash.update([kind]);
        self.bytes(name);
        self.hash.update(meta.permissions.to_le_bytes());
        self.hash.update(meta.uid.to_le_bytes());
        self.hash.update(meta.gid.to_le_bytes());
        self.hash.update(meta.mtime.seconds.to_le_bytes());
        self.hash.update(meta.mtime.nanoseconds.to_le_bytes());
    }

    fn bytes(&mut self, bytes: &[u8]) {
        self.hash.update((bytes.len() as u64).to_le_bytes());
        self.hash.update(bytes);
    }

    pub(crate) fn directory(&mut self, name: &[u8], meta: &Meta) {
        self.entry(b'd', name, meta);
    }

    pub(crate) fn end_directory(&mut self) {
        self.hash.update(b".");
    }

    pub(crate) fn file(&mut self, name: &[u8], meta: &Meta, data: &FileData) {
        self.entry(b'f', name, meta);
        self.hash.update(data.size.to_le_bytes());
        self.hash.update(data.digest);
    }

    pub(crate) fn symlink(&mut self, name: &[u8], meta: &Meta, target: &[u8]) {
        self.entry(b'l', name, meta);
        self.bytes(target);
    }

    pub(crate) fn special(&mut self, name: &[u8], meta: &Meta, special: Special) {
        let (kind, number) = match special {
            Special::Fifo => (b'p', 0),
            Special::Socket => (b's', 0),
            Special::CharDevice(number) => (b'c', number.encode()),
            Special::BlockDevice(number) => (b'b', number.encode()),
        };
        self.entry(kind, name, meta);
        self.hash.update(number.to_le_bytes());
    }

    /// Another name of the `nth` inode recorded (counting those that are no directories from 0).
    pub(crate) fn again(&mut self, name: &[u8], nth: u64) {
        self.hash.update(b"h");
        self.bytes(name);
        self.hash.update(nth.to_le_bytes());
    }

    /// What the image asks for besides its tree, if it does. Comes last.
    pub(crate) fn kernel(&mut self, kernel: Option<KernelName>) {
        if let Some(kernel) = kernel {
            self.hash.update(b"k");
            self.bytes(kernel.as_str().as_bytes());
        }
    }

    pub(crate) fn finish(self) -> Digest {
        self.hash.finalize().into()
    }
}

/// The digest of a whole tree that asks for this kernel.
pub(crate) fn of_tree(tree: &Tree, kernel: Option<KernelName>) -> Digest {
    let mut walk = Walk { tree, digest: TreeDigest::new(), seen: HashMap::new() };
    walk.entry(b"", Tree::ROOT);
    walk.digest.kernel(kernel);
    walk.digest.finish()
}

struct Walk<'t> {
    tree: &'t Tree,
    digest: TreeDigest,
    seen: HashMap<NodeId, u64>,
}

impl Walk<'_> {
    /// Recurses as deep as the tree, which `Limits::depth` bounds.
    fn entry(&mut self, name: &[u8], id: NodeId) {
        let node = self.tree.node(id);
        if let Kind::Directory(names) = &node.kind {
            self.digest.directory(name, &node.meta);
            for (name, &child) in names {
                self.entry(name, child);
            }
            self.digest.end_directory();
            return;
        }
        let next = self.seen.len() as u64;
        if let Some(&nth) = self.seen.get(&id) {
            self.digest.again(name, nth);
            return;
        }
        self.seen.insert(id, next);
        match &node.kind {
            Kind::File(data) => self.digest.file(name, &node.meta, data),
            Kind::Symlink(target) => self.digest.symlink(name, &node.meta, target),
            Kind::Special(special) => self.digest.special(name, &node.meta, *special),
            Kind::Directory(_) => {}
        }
    }
}
