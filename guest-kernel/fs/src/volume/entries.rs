//! The entries of one directory, in an order that survives changes: by the hash of the name.

use super::node::Node;
use alloc::boxed::Box;
use alloc::collections::BTreeMap;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, Result};

/// What a name stands for.
pub(super) enum What {
    /// A node in its place in the lower layer. It is listed there.
    InPlace(Arc<Node>),
    /// A node that is here and not in the lower layer; a lower entry of the same name is hidden.
    Own(Arc<Node>),
    /// Nothing, though the lower layer has the name.
    Whiteout,
}

/// One entry.
pub(super) struct Entry {
    pub name: Box<[u8]>,
    pub what: What,
}

/// Bits of a key that tell names with the same hash apart.
const COLLISION_BITS: u32 = 12;

/// Entries by key: the name's hash (40 bits), then a number.
#[derive(Default)]
pub(super) struct Entries {
    by_key: BTreeMap<u64, Entry>,
    /// Two names had the same hash at some time: there may be entries with a number other than 0.
    collided: bool,
}

/// FNV-1a, folded to 40 bits.
fn hash(name: &[u8]) -> u64 {
    let full = name.iter().fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| {
        (hash ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (full ^ full >> 40) & ((1 << 40) - 1)
}

impl Entries {
    /// The entry of a name.
    pub fn find(&self, name: &[u8]) -> Option<(u64, &Entry)> {
        let first = hash(name) << COLLISION_BITS;
        match self.by_key.get(&first) {
            Some(entry) if &*entry.name == name => return Some((first, entry)),
            _ if !self.collided => return None,
            _ => {}
        }
        let last = first | ((1 << COLLISION_BITS) - 1);
        self.by_key
            .range(first..=last)
            .find(|(_, entry)| &*entry.name == name)
            .map(|(key, entry)| (*key, entry))
    }

    /// The entry with a key.
    pub fn get(&self, key: u64) -> Option<&Entry> {
        self.by_key.get(&key)
    }

    /// Sets what a name stands for, and returns the key and what it was.
    pub fn set(&mut self, name: &[u8], what: What) -> Result<(u64, Option<What>)> {
        if let Some((key, _)) = self.find(name) {
            let old = self.by_key.get_mut(&key).map(|entry| core::mem::replace(&mut entry.what, what));
            return Ok((key, old));
        }
        let first = hash(name) << COLLISION_BITS;
        let free = (first..first + (1 << COLLISION_BITS)).find(|key| !self.by_key.contains_key(key));
        let key = free.ok_or(Errno::ENOSPC)?;
        self.collided |= key != first;
        self.by_key.insert(key, Entry { name: name.into(), what });
        Ok((key, None))
    }

    /// Takes an entry out.
    pub fn remove(&mut self, key: u64) -> Option<Entry> {
        self.by_key.remove(&key)
    }

    /// The entry with this key, or the next one.
    pub fn next(&self, key: u64) -> Option<(u64, &Entry)> {
        self.by_key.range(key..).next().map(|(key, entry)| (*key, entry))
    }

    pub fn is_empty(&self) -> bool {
        self.by_key.is_empty()
    }

    pub fn len(&self) -> usize {
        self.by_key.len()
    }

    /// Whether there is an entry that is not a whiteout.
    pub fn has_nodes(&self) -> bool {
        self.by_key.values().any(|entry| !matches!(entry.what, What::Whiteout))
    }

    /// All nodes, for taking the tree apart.
    pub fn into_nodes(self) -> impl Iterator<Item = Arc<Node>> {
        self.by_key.into_values().filter_map(|entry| match entry.what {
            What::InPlace(node) | What::Own(node) => Some(node),
            What::Whiteout => None,
        })
    }
}

impl What {
    /// The node, if there is one.
    pub fn node(&self) -> Option<&Arc<Node>> {
        match self {
            What::InPlace(node) | What::Own(node) => Some(node),
            What::Whiteout => None,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use alloc::format;
    use alloc::vec::Vec;

    /// Names with the same hash, found by trying.
    fn colliding() -> (Vec<u8>, Vec<u8>) {
        let mut seen = BTreeMap::new();
        for i in 0u64.. {
            let name = format!("{i}").into_bytes();
            if let Some(other) = seen.insert(hash(&name), name.clone()) {
                return (other, name);
            }
        }
        unreachable!("there are more names than hashes")
    }

    #[test]
    fn names_with_the_same_hash_are_told_apart() {
        let (one, other) = colliding();
        let mut entries = Entries::default();
        let (one_key, _) = entries.set(&one, What::Whiteout).expect("room");
        assert!(entries.find(&other).is_none());
        let (other_key, _) = entries.set(&other, What::Whiteout).expect("room");
        assert_eq!(other_key, one_key + 1);
        assert_eq!(entries.find(&other).map(|(key, _)| key), Some(other_key));
        entries.remove(one_key);
        assert_eq!(entries.find(&other).map(|(key, _)| key), Some(other_key), "the first one is gone");
        assert!(entries.find(&one).is_none());
        assert_eq!(entries.set(&one, What::Whiteout).expect("room").0, one_key);
        assert_eq!(entries.set(&other, What::Whiteout).expect("there").0, other_key);
        assert_eq!(entries.len(), 2);
    }
}
