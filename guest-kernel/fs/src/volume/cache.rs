//! Forgets nodes of the lower layer that were only looked at, so that walking a large image does not fill the memory.

use super::entries::What;
use super::node::Node;
use super::shared::Shared;
use alloc::sync::{Arc, Weak};

/// Nodes that may be remembered for nothing but speed.
const CACHED_MAX: usize = 2048;
/// Nodes looked at for each one that is added: more than one, so that the cache shrinks when it is too large.
const STEPS: usize = 2;

impl Shared {
    /// A clean node was put into `directory` under `key`. No lock of a node may be held.
    pub(super) fn note_cached(&self, directory: &Weak<Node>, key: u64) {
        let mut cached = self.cached.lock();
        cached.push_back((directory.clone(), key));
        for _ in 0..STEPS {
            if cached.len() <= CACHED_MAX {
                return;
            }
            let Some((directory, key)) = cached.pop_front() else { return };
            if directory.upgrade().is_some_and(|directory| !directory.forget(key)) {
                cached.push_back((directory, key));
            }
        }
    }
}

impl Node {
    /// Drops the node under `key` if it can be made again and nobody uses it. False: it may be possible later.
    fn forget(&self, key: u64) -> bool {
        let forgotten = {
            let mut state = self.state.lock();
            let Some(entries) = state.entries_mut() else { return true };
            let Some(What::InPlace(node)) = entries.get(key).map(|entry| &entry.what) else { return true };
            let (changed, in_use) = node.use_of();
            if changed {
                return true;
            }
            if in_use || Arc::strong_count(node) > 1 {
                return false;
            }
            entries.remove(key)
        };
        drop(forgotten);
        true
    }

    /// Whether the lower layer no longer says all there is to say about this node (which stays so for ever), and
    /// whether there are nodes in it.
    fn use_of(&self) -> (bool, bool) {
        let state = self.state.lock();
        (state.changed, state.entries().is_some_and(|entries| !entries.is_empty()))
    }
}
