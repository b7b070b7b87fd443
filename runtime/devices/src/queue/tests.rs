//! Tests of the device's side against the driver's, sound and hostile.

use super::driver::{DriverQueue, NEXT, NO_INTERRUPT, WRITE};
use super::*;
use proptest::prelude::*;

const SIZE: u16 = 8;

fn memory() -> GuestMemoryMmap {
    GuestMemoryMmap::from_ranges(&[(GuestAddress(0), 0x10000)]).unwrap()
}

fn queue() -> (GuestMemoryMmap, DriverQueue, Virtqueue) {
    let memory = memory();
    let driver = DriverQueue::new(&memory, 0x1000, SIZE);
    let queue = Virtqueue::new(&driver.layout(), &memory).unwrap();
    (memory, driver, queue)
}

fn part(address: u64, len: u32) -> Part {
    Part { address: GuestAddress(address), len }
}

#[test]
fn buffers_go_there_and_back() {
    let (_, mut driver, mut queue) = queue();
    for round in 0..100u32 {
        let head = driver.offer(&[(0x4000, 44), (0x5000, 100)], 0);
        let chain = queue.pop().unwrap().unwrap();
        let readable = vec![part(0x4000, 44), part(0x5000, 100)];
        assert_eq!(chain, Chain { head, readable, writable: vec![], is_sound: true });
        assert!(queue.pop().unwrap().is_none());
        queue.push(head, round).unwrap();
        assert_eq!(driver.take_used(), Some((head, round)));
        driver.release(head);
    }
}

#[test]
fn a_buffer_that_is_put_back_comes_again() {
    let (_, mut driver, mut queue) = queue();
    let head = driver.offer(&[(0x4000, 44)], WRITE);
    assert_eq!(queue.pop().unwrap().unwrap().head, head);
    queue.unpop();
    assert_eq!(queue.pop().unwrap().unwrap().head, head);
}

#[test]
fn the_driver_is_told_if_it_wants() {
    let (_, mut driver, mut queue) = queue();
    assert!(!queue.take_announcement().unwrap(), "nothing to tell");
    for (flags, wants) in [(0, true), (NO_INTERRUPT, false), (0, true)] {
        driver.set_flags(flags);
        let head = driver.offer(&[(0x4000, 44)], WRITE);
        queue.pop().unwrap().unwrap();
        queue.push(head, 0).unwrap();
        assert_eq!(queue.take_announcement().unwrap(), wants);
        assert!(!queue.take_announcement().unwrap());
        driver.release(head);
    }
}

#[test]
fn notifications_are_switched_without_missing_any() {
    let (_, mut driver, mut queue) = queue();
    assert!(driver.wants_notification());
    queue.disable_notifications().unwrap();
    assert!(!driver.wants_notification());
    driver.offer(&[(0x4000, 44)], WRITE);
    assert!(queue.enable_notifications().unwrap(), "there is one already");
    assert!(driver.wants_notification());
    queue.pop().unwrap().unwrap();
    assert!(!queue.enable_notifications().unwrap());
}

#[test]
fn queues_outside_of_memory_are_refused() {
    let memory = memory();
    let sound = DriverQueue::new(&memory, 0x1000, SIZE).layout();
    for layout in [
        QueueLayout { descriptors: 0xfff0, ..sound },
        QueueLayout { available: 0xfffe, ..sound },
        QueueLayout { used: u64::MAX - 3, ..sound },
        QueueLayout { descriptors: 0x1008, ..sound },
        QueueLayout { available: 0, ..sound },
        QueueLayout { size: 3, ..sound },
        QueueLayout { size: 0, ..sound },
    ] {
        assert!(Virtqueue::new(&layout, &memory).is_err(), "{layout:?}");
    }
}

#[test]
fn unsound_chains_are_marked() {
    let (_, mut driver, mut queue) = queue();
    let mut pop = |driver: &mut DriverQueue, head| {
        driver.offer_head(head);
        queue.pop().unwrap().unwrap()
    };
    driver.describe(0, 0x4000, 1, NEXT, 0);
    assert!(!pop(&mut driver, 0).is_sound, "a loop");
    driver.describe(0, 0x4000, 1, NEXT, SIZE);
    assert!(!pop(&mut driver, 0).is_sound, "a link to nowhere");
    assert!(!pop(&mut driver, SIZE).is_sound, "a head that is not there");
    driver.describe(0, 0x4000, 1, NEXT | WRITE, 1);
    driver.describe(1, 0x4000, 1, 0, 0);
    assert!(!pop(&mut driver, 0).is_sound, "readable after writable");
    driver.describe(0, 0x4000, u32::MAX, NEXT, 1);
    assert!(!pop(&mut driver, 0).is_sound, "more than 4 GiB");
}

#[test]
fn an_index_too_far_ahead_breaks_the_queue() {
    let (_, mut driver, mut queue) = queue();
    driver.set_available(SIZE + 1);
    assert!(matches!(queue.pop(), Err(QueueError::Rings(_))));
}

proptest! {
    /// Whatever is in memory, taking buffers ends, and their parts are few.
    #[test]
    fn no_memory_confuses_the_queue(
        content in prop::collection::vec(prop_oneof![any::<u8>(), Just(0), Just(1)], 0x400),
        heads in prop::collection::vec(0u16..SIZE + 2, 0..20),
    ) {
        let (memory, mut driver, mut queue) = queue();
        memory.write_slice(&content, GuestAddress(0x1000)).unwrap();
        driver.set_available(0);
        for head in heads {
            driver.offer_head(head);
            let mut taken = 0;
            while let Ok(Some(chain)) = queue.pop() {
                taken += 1;
                prop_assert!(taken <= SIZE);
                prop_assert!(chain.readable.len() + chain.writable.len() <= MAX_PARTS);
                let _ = chain.read(&memory, &mut [0; 100]);
                let _ = queue.push(chain.head, 0);
            }
        }
    }
}
