//! The heap over the frames of `testing`, which the tests share: each looks at what it holds itself.

use super::*;
use crate::testing;
use std::collections::BTreeMap;
use std::vec::Vec;

/// Pages in the lists of a class.
fn partial_pages(heap: &PageHeap, class: usize) -> usize {
    let mut count = 0;
    let mut at = heap.0.lock().partial[class];
    while !at.is_null() {
        count += 1;
        // SAFETY: what is in the list is live, and the heap is this test's alone.
        at = unsafe { (*at).next };
    }
    count
}

fn layout(size: usize, align: usize) -> Layout {
    Layout::from_size_align(size, align).expect("a valid layout")
}

#[test]
fn every_layout_gets_room_and_alignment() {
    for size in 1..=3 * PAGE_SIZE {
        for align in [1, 8, 16, 64, 256, 4096] {
            match class_of(layout(size, align)) {
                Some(class) => {
                    let slot = usize::from(SIZES[class]);
                    assert!(slot >= size && slot.is_multiple_of(align.max(GRAIN)), "{size} {align}");
                }
                None => {
                    let pages = pages_of(layout(size, align)).expect("small enough");
                    assert!(pages * PAGE_SIZE >= size && (size > LARGEST || align > GRAIN), "{size} {align}");
                }
            }
        }
    }
    assert!(SIZES.is_sorted() && SIZES.iter().all(|size| usize::from(*size).is_multiple_of(GRAIN)));
    assert_eq!(pages_of(layout(1, 2 * PAGE_SIZE)), None);
}

#[test]
fn pieces_keep_what_is_written_and_overlap_nothing() {
    testing::setup();
    let heap = PageHeap::new();
    let mut live: BTreeMap<usize, (usize, u8)> = BTreeMap::new();
    let mut random = 1u64;
    for round in 0..40_000u32 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let choice = (random >> 33) as usize;
        if live.len() > 700 || choice % 5 < 2 {
            let Some((&at, &(size, byte))) = live.range(choice << 4..).next().or(live.iter().next()) else {
                continue;
            };
            live.remove(&at);
            // SAFETY: the piece is live, of this size, and was filled when it was made.
            unsafe {
                let at = at as *mut u8;
                assert!(core::slice::from_raw_parts(at, size).iter().all(|held| *held == byte));
                heap.dealloc(at, layout(size, 8));
            }
            continue;
        }
        let size = 1 + if choice % 64 == 5 { choice % 70_000 } else { choice / 64 % 2500 };
        // SAFETY: the size is not zero, and the piece is as large as asked for.
        let at = unsafe {
            let at = heap.alloc(layout(size, 8));
            assert!(!at.is_null());
            at.write_bytes(round as u8, size);
            at as usize
        };
        let before = live.range(..at).next_back().map_or(0, |(at, (size, _))| at + size);
        assert!(before <= at && live.range(at..).next().is_none_or(|(next, _)| at + size <= *next));
        live.insert(at, (size, round as u8));
    }
    for (at, (size, _)) in live {
        // SAFETY: as above.
        unsafe { heap.dealloc(at as *mut u8, layout(size, 8)) };
    }
    assert!((0..SIZES.len()).all(|class| partial_pages(&heap, class) <= 1), "empty pages go back");
}

#[test]
fn a_page_goes_back_with_its_last_slot_and_one_is_kept() {
    testing::setup();
    let heap = PageHeap::new();
    let class = class_of(layout(72, 8)).expect("small");
    let count = 3 * usize::from(capacity(class));
    // SAFETY: as in the test above.
    let slots: Vec<*mut u8> = (0..count).map(|_| unsafe { heap.alloc(layout(72, 8)) }).collect();
    assert_eq!(partial_pages(&heap, class), 0, "all three are full");
    for slot in slots.iter().step_by(2) {
        // SAFETY: each slot is given back once.
        unsafe { heap.dealloc(*slot, layout(72, 8)) };
    }
    assert_eq!(partial_pages(&heap, class), 3);
    for slot in slots.iter().skip(1).step_by(2) {
        // SAFETY: as above.
        unsafe { heap.dealloc(*slot, layout(72, 8)) };
    }
    assert_eq!(partial_pages(&heap, class), 1);
}

#[test]
fn growing_moves_the_contents() {
    testing::setup();
    let heap = PageHeap::new();
    // SAFETY: sizes are not zero, each piece is used with the size that it was given last.
    unsafe {
        let mut at = heap.alloc(layout(10, 8));
        at.write_bytes(7, 10);
        let mut size = 10;
        for wanted in [12, 200, 2000, 2017, 9000, 12_000, 300_000, 5000, 3] {
            at = heap.realloc(at, layout(size, 8), wanted);
            assert!(core::slice::from_raw_parts(at, wanted.min(10)).iter().all(|byte| *byte == 7));
            size = wanted;
        }
        heap.dealloc(at, layout(size, 8));
        assert!(heap.alloc(layout(5 << 20, 8)).is_null(), "there is no block of that size");
    }
}
