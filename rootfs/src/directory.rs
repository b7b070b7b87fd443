//! Directory data: blocks of entries, sorted by name over the whole directory, for binary search.
//!
//! ```text
//! block: | entry 0 | entry 1 | ... | name 0 | name 1 | ... | zeros |
//! entry: node id (8) | offset of its name in the block (2) | file type (1) | 0
//! ```
//! A name ends where the next one begins; the last one of a block at a NUL or the block's (or directory's) end. The
//! directory's size counts whole blocks but for the last one.

use crate::ondisk::{BLOCK, DIRENT};
use crate::tree::{Names, NodeId};

/// One name and what it names.
pub(crate) type Entry<'t> = (&'t [u8], NodeId);

/// The entries of a directory, `.` and `..` with them, in EROFS's order.
pub(crate) fn entries(names: &Names, own: NodeId, parent: NodeId) -> Vec<Entry<'_>> {
    let mut entries: Vec<Entry<'_>> = Vec::with_capacity(names.len() + 2);
    entries.extend([(b".".as_slice(), own), (b"..".as_slice(), parent)]);
    entries.extend(names.iter().map(|(name, &id)| (&**name, id)));
    // Some names sort before ".": "!" and "-" do.
    entries.sort_unstable_by_key(|&(name, _)| name);
    entries
}

/// The entries of each block.
fn blocks<'e, 't>(entries: &'e [Entry<'t>]) -> impl Iterator<Item = (&'e [Entry<'t>], usize)> {
    let mut rest = entries;
    std::iter::from_fn(move || {
        let mut bytes = 0;
        let fits = |&&(name, _): &&Entry<'_>| {
            let more = DIRENT + name.len();
            let fits = bytes + more <= BLOCK as usize;
            bytes += if fits { more } else { 0 };
            fits
        };
        let count = rest.iter().take_while(fits).count();
        let (block, later) = rest.split_at_checked(count)?;
        rest = later;
        (count > 0).then_some((block, bytes))
    })
}

/// The size of a directory with these entries, in bytes.
pub(crate) fn size(entries: &[Entry<'_>]) -> u64 {
    blocks(entries).fold(0, |size, (_, bytes)| size.next_multiple_of(BLOCK) + bytes as u64)
}

/// A directory's data, as long as [`size`] says. `resolve` tells node id and file type of a node.
pub(crate) fn data(entries: &[Entry<'_>], resolve: &dyn Fn(NodeId) -> (u64, u8)) -> Vec<u8> {
    let mut data = Vec::new();
    for (block, _) in blocks(entries) {
        data.resize(data.len().next_multiple_of(BLOCK as usize), 0);
        let mut name_at = DIRENT * block.len();
        for &(name, id) in block {
            let (nid, kind) = resolve(id);
            data.extend(nid.to_le_bytes());
            data.extend(u16::try_from(name_at).unwrap_or(u16::MAX).to_le_bytes());
            data.extend([kind, 0]);
            name_at += name.len();
        }
        for &(name, _) in block {
            data.extend(name);
        }
    }
    data
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tree::Tree;

    #[test]
    fn size_is_that_of_the_data() {
        for count in [0, 1, 100, 5000] {
            let names: Names = (0..count)
                .map(|i| (format!("{i:0width$}", width = 5 + i % 250).into_bytes().into(), Tree::ROOT))
                .collect();
            let entries = entries(&names, Tree::ROOT, Tree::ROOT);
            assert_eq!(entries.len(), names.len() + 2);
            assert!(entries.is_sorted_by_key(|entry| entry.0));
            assert_eq!(data(&entries, &|_| (1, 1)).len() as u64, size(&entries));
        }
    }

    #[test]
    fn dots_are_sorted_among_the_names() {
        let names: Names = [b"!".as_slice(), b"...", b"a"].map(|name| (name.into(), Tree::ROOT)).into();
        let entries = entries(&names, Tree::ROOT, Tree::ROOT);
        let order: Vec<&[u8]> = entries.iter().map(|entry| entry.0).collect();
        assert_eq!(order, [b"!".as_slice(), b".", b"..", b"...", b"a"]);
    }
}
