//! Memory for what is sent: large blocks for bulk, single pages for the rest, which would only hold large ones up.
//!
//! Both are made as they are needed, up to a limit, and handed out last in first out: a device that keeps up sees warm
//! memory.

use super::block::Block;
use alloc::vec::Vec;
use ampoule_kbase::PAGE_SIZE;

/// Pages of a large block, as a power of two: 64 KiB, the most that a device takes in one packet.
const LARGE_ORDER: usize = 4;
/// Large blocks at most.
const LARGE_BLOCKS: usize = 4;
/// Single pages at most.
const SMALL_BLOCKS: usize = 16;

/// Blocks of one size.
#[derive(Default)]
struct Shelf {
    free: Vec<Block>,
    made: usize,
}

impl Shelf {
    fn has_some(&self, limit: usize) -> bool {
        !self.free.is_empty() || self.made < limit
    }

    fn take(&mut self, order: usize, limit: usize) -> Option<Block> {
        if let Some(block) = self.free.pop() {
            return Some(block);
        }
        if self.made >= limit {
            return None;
        }
        let block = Block::exactly(order).ok()?;
        self.made += 1;
        Some(block)
    }
}

/// The memory of a device's senders.
#[derive(Default)]
pub struct Pool {
    small: Shelf,
    large: Shelf,
}

impl Pool {
    /// Whether there is a block for `len` bytes, or for the first of them.
    pub fn has_some(&self, len: usize) -> bool {
        match len {
            0..=PAGE_SIZE => self.small.has_some(SMALL_BLOCKS),
            _ => self.large.has_some(LARGE_BLOCKS),
        }
    }

    /// A block for `len` bytes, or for the first of them.
    pub fn take(&mut self, len: usize) -> Option<Block> {
        if len <= PAGE_SIZE {
            return self.small.take(0, SMALL_BLOCKS);
        }
        let block = self.large.take(LARGE_ORDER, LARGE_BLOCKS);
        // Where memory is in pieces, small ones have to do.
        block.or_else(|| if self.large.made == 0 { self.small.take(0, SMALL_BLOCKS) } else { None })
    }

    /// Takes a block back.
    pub fn give(&mut self, block: Block) {
        let shelf = if block.len() > PAGE_SIZE { &mut self.large } else { &mut self.small };
        shelf.free.push(block);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_do_not_hold_each_other_up() {
        crate::testing::setup();
        let mut pool = Pool::default();
        let large: Vec<_> = core::iter::from_fn(|| pool.take(100_000)).collect();
        assert_eq!((large.len(), large[0].len()), (LARGE_BLOCKS, 64 << 10));
        assert!(!pool.has_some(PAGE_SIZE + 1) && pool.has_some(PAGE_SIZE));
        let small: Vec<_> = core::iter::from_fn(|| pool.take(12)).collect();
        assert_eq!((small.len(), small[0].len()), (SMALL_BLOCKS, PAGE_SIZE));
        let address = large[3].physical();
        large.into_iter().chain(small).for_each(|block| pool.give(block));
        assert_eq!(pool.take(PAGE_SIZE + 1).unwrap().physical(), address);
    }
}
