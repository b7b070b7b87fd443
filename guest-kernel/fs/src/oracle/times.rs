//! Which times an operation changes.

use super::op::Op;
use super::{Start, System, on_host, ours, set_up};
use alloc::collections::BTreeMap;
use alloc::vec::Vec;

/// Inode number, modification time and change time by path.
pub type Times = BTreeMap<Vec<u8>, (u64, i64, i64)>;

/// For files that are the same before and after: whether the modification and the change time are.
type Changed = BTreeMap<Vec<u8>, (bool, bool)>;

fn changed(before: &Times, after: &Times) -> Changed {
    let same = before.iter().filter_map(|(path, before)| Some((path, before, after.get(path)?)));
    same.filter(|(_, before, after)| before.0 == after.0)
        .map(|(path, before, after)| (path.clone(), (before.1 != after.1, before.2 != after.2)))
        .collect()
}

/// Waits until the clock that the host's kernel stamps files with has moved.
pub fn wait_for_tick() {
    let now = || {
        let mut time = libc::timespec { tv_sec: 0, tv_nsec: 0 };
        // SAFETY: room for a time.
        unsafe { libc::clock_gettime(libc::CLOCK_REALTIME_COARSE, &mut time) };
        (time.tv_sec, time.tv_nsec)
    };
    let start = now();
    while now() == start {
        std::thread::sleep(std::time::Duration::from_micros(200));
    }
}

fn run(system: &mut dyn System, ops: &[Op]) -> Vec<Changed> {
    let mut before = system.times();
    ops.iter()
        .map(|op| {
            // What was done is compared elsewhere.
            let _ = system.apply(op);
            let after = system.times();
            let changed = changed(&before, &after);
            before = after;
            changed
        })
        .collect()
}

/// Both sides must change the same times.
pub fn compare(ops: &[Op]) {
    // Writing through a mapping changes times when the page is first written to, which is not seen here.
    let ops: Vec<Op> = ops.iter().filter(|op| !matches!(op, Op::MapWrite { .. })).cloned().collect();
    let (directory, volume) = set_up(Start::Tree);
    let expected = on_host(directory.path(), |mut host| run(&mut host, &ops));
    let got = run(&mut ours::Ours::new(volume), &ops);
    for (index, (op, (expected, got))) in ops.iter().zip(expected.iter().zip(&got)).enumerate() {
        for (path, expected) in expected {
            let name = std::string::String::from_utf8_lossy(path);
            let got = got.get(path);
            assert!(
                got == Some(expected),
                "operation {index}: {op:?}\n {name}: host {expected:?}, ours {got:?}\n all: {ops:#?}"
            );
        }
    }
}
