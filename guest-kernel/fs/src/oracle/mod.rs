//! The host's Linux as the oracle: random operations are done in a directory of the host (a thread of its own has it as its
//! root) and in our file system, and every result must be the same; so must the two trees in the end.

mod host;
mod op;
mod ours;
mod times;

use crate::testing::{self, Times, Tree, host_tree, image, mkfs, our_tree};
use crate::volume::{Limits, Volume};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::Result;
use op::Op;
use proptest::prelude::*;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::Path;
use std::string::String;

/// What an operation gave, in a form that can be compared and read.
type Outcome = Result<String>;

/// What can do operations.
trait System {
    fn apply(&mut self, op: &Op) -> Outcome;
    /// Inode number, modification time and change time of every file.
    fn times(&self) -> times::Times;
}

/// What is there at first.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
enum Start {
    Empty,
    Tree,
}

/// Something of each kind, with names that the operations use.
fn build(root: &Path) {
    for directory in ["a", "b", "a/a", "a/b/c"] {
        std::fs::create_dir_all(root.join(directory)).expect("a directory");
    }
    for (name, size) in [("c", 10), ("a/c", 5000), ("b/d", 4096), ("a/b/a", 20_000), ("a/a/b", 0)] {
        let bytes: Vec<u8> = (0..size).map(|i| (i * 7 + i / 256) as u8).collect();
        std::fs::write(root.join(name), bytes).expect("a file");
    }
    std::fs::hard_link(root.join("a/c"), root.join("b/c")).expect("a link");
    std::fs::hard_link(root.join("a/c"), root.join("a/b/d")).expect("a link");
    symlink("a/b", root.join("l")).expect("a link");
    symlink("/c", root.join("a/l")).expect("a link");
    symlink("../nothing", root.join("b/l")).expect("a link");
    symlink("m", root.join("m")).expect("a link");
    set_mode(&root.join("b"), 0o777);
    set_mode(&root.join("a/a"), 0o1777);
    set_mode(&root.join("a/b"), 0o2775);
}

fn set_mode(path: &Path, mode: u32) {
    std::fs::set_permissions(path, PermissionsExt::from_mode(mode)).expect("permissions");
}

fn limits() -> Limits {
    Limits { bytes: 8 << 20, inodes: 1000, root_mode: 0o777, ..Limits::NONE }
}

/// Runs something on the host, in a thread that has `root` as its root directory.
fn on_host<T: Send>(root: &Path, run: impl FnOnce(host::Host) -> T + Send) -> T {
    std::thread::scope(|scope| {
        let thread = scope.spawn(|| run(host::Host::enter(root)));
        thread.join().expect("the host's side does not panic")
    })
}

/// A directory of the host, and a volume with the same in it.
fn set_up(start: Start) -> (tempfile::TempDir, Arc<Volume>) {
    testing::setup();
    // Memory, like ours: sizes of directories and the like are not the point.
    let directory = tempfile::tempdir_in("/dev/shm").expect("a directory");
    let root = directory.path();
    set_mode(root, 0o777);
    let volume = match start {
        Start::Empty => Volume::tmpfs(limits()),
        Start::Tree => {
            build(root);
            Volume::overlay(image(&mkfs(root, &[])), limits()).expect("an image")
        }
    };
    (directory, volume)
}

fn compare(start: Start, ops: &[Op]) {
    let (directory, volume) = set_up(start);
    let root = directory.path();
    let expected: Vec<Outcome> = on_host(root, |mut host| ops.iter().map(|op| host.apply(op)).collect());
    let mut ours = ours::Ours::new(volume.clone());
    for (index, (op, expected)) in ops.iter().zip(&expected).enumerate() {
        let got = ours.apply(op);
        // Whether space that was set aside counts as data is up to the file system.
        let free = matches!(op, Op::Seek { .. }) && ops.iter().any(|op| matches!(op, Op::Allocate { .. }));
        assert!(
            free || got == *expected,
            "operation {index}: {op:?}\n host: {expected:?}\n ours: {got:?}\n all: {ops:#?}"
        );
    }
    testing::call_as(0);
    let context = testing::context(volume.clone());
    assert_same(&host_tree(root, Times::Ignored), &our_tree(&context, Times::Ignored), ops);
    drop(ours);
    assert_accounts(&context, &volume, ops);
}

fn assert_same(host: &Tree, ours: &Tree, ops: &[Op]) {
    for path in host.keys().chain(ours.keys()) {
        let (host, ours) = (host.get(path), ours.get(path));
        let name = String::from_utf8_lossy(path);
        assert!(host == ours, "{name}:\n host: {host:?}\n ours: {ours:?}\n after {ops:#?}");
    }
}

/// When everything is removed and closed, nothing is in use any more.
fn assert_accounts(context: &crate::Context, volume: &Arc<Volume>, ops: &[Op]) {
    use crate::vfs::FileSystem;
    let mut paths: Vec<_> = our_tree(context, Times::Ignored).into_iter().collect();
    while let Some((path, picture)) = paths.pop() {
        if path.is_empty() {
            continue;
        }
        let path = [b"/", &path[..]].concat();
        let removed = match picture.mode & 0o170_000 {
            0o040_000 => context.rmdir(&context.root, &path),
            _ => context.unlink(&context.root, &path),
        };
        removed.unwrap_or_else(|error| panic!("{error:?} for {}", String::from_utf8_lossy(&path)));
    }
    let before = Volume::tmpfs(limits()).statfs();
    let after = volume.statfs();
    assert_eq!(
        (after.blocks_free, after.files_free),
        (before.blocks_free, before.files_free),
        "after {ops:#?}"
    );
}

/// `ORACLE_CASES` asks for more, for a thorough search.
fn config() -> ProptestConfig {
    let cases = std::env::var("ORACLE_CASES").ok().and_then(|text| text.parse().ok()).unwrap_or(500);
    ProptestConfig { cases, max_shrink_iters: 3000, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn tmpfs_does_what_linux_does(ops in prop::collection::vec(op::any_op(), 1..60)) {
        compare(Start::Empty, &ops);
    }

    #[test]
    fn overlay_does_what_linux_does(ops in prop::collection::vec(op::any_op(), 1..60)) {
        compare(Start::Tree, &ops);
    }
}

proptest! {
    // Each step waits for the clock.
    #![proptest_config(ProptestConfig { cases: config().cases / 10, ..config() })]

    #[test]
    fn times_change_as_on_linux(ops in prop::collection::vec(op::any_op(), 1..40)) {
        times::compare(&ops);
    }
}
