//! The allocator over RAM of its own.

use super::*;

/// An allocator over `pages` pages. Only their bookkeeping is there: no test touches the pages.
fn allocator(pages: u32, reserve: u64) -> Allocator {
    let unused = Meta { count: 0, next: 0, prev: 0, order: 0, free: false, zero: false };
    let meta = std::vec![unused; pages as usize].leak().as_mut_ptr();
    Allocator {
        direct_map: ptr::null_mut(),
        meta,
        pages,
        heads: [NONE; ORDERS],
        virgin: [0..pages, 0..0],
        total: u64::from(pages),
        free: u64::from(pages),
        reserve,
    }
}

#[test]
fn programs_leave_the_reserve_and_the_kernel_gets_it() {
    let mut a = allocator(1024, 32);
    while a.allocate(0, a.reserve).is_some() {}
    assert_eq!(a.free, 32);
    assert!(!a.is_eaten());
    while a.allocate(0, 0).is_some() {}
    assert_eq!(a.free, 0);
}

#[test]
fn the_reserve_is_eaten_when_a_quarter_of_it_is_gone() {
    let mut a = allocator(1024, 32);
    let mut last = 0;
    while !a.is_eaten() {
        last = a.allocate(0, 0).expect("there is memory").0;
    }
    assert_eq!(a.free, 23);
    a.give(last, 0, false);
    assert!(!a.is_eaten(), "24 of 32 are there");
}

#[test]
fn a_range_goes_back_in_blocks_and_can_be_had_again() {
    let mut a = allocator(1024, 0);
    let (block, _) = a.allocate(6, 0).expect("there is memory");
    a.give_range(block + 37, block + 64, true);
    assert_eq!(a.free, 1024 - 37);
    let taken: std::collections::BTreeSet<u32> =
        core::iter::from_fn(|| a.allocate(0, 0)).map(|(page, _)| page).collect();
    assert_eq!(taken.len(), 1024 - 37, "no page is had twice");
    assert!(taken.iter().all(|page| !(block..block + 37).contains(page)));
    a.give_range(block, block + 37, false);
    assert_eq!(a.free, 37);
    taken.iter().for_each(|page| a.give(*page, 0, false));
    assert!(a.allocate(10, 0).is_some(), "single pages are merged when a block is needed");
    assert_eq!(a.free, 0);
}

#[test]
fn what_was_never_used_stays_known_to_be_zero() {
    let mut a = allocator(1024, 0);
    let (block, zero) = a.allocate(3, 0).expect("there is memory");
    assert!(zero);
    a.give(block, 3, false);
    let unused = core::iter::from_fn(|| a.allocate(0, 0)).filter(|(_, zero)| *zero).count();
    assert_eq!(unused, 1024 - 8, "its neighbours were not used");
}
