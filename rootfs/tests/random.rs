//! Random small trees: made on the disk, built, extracted by `fsck.erofs` and compared; and the same tree from a tar.

mod common;

use std::collections::BTreeMap;
use std::fs;
use std::io::Cursor;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{MetadataExt, PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

use ampoule_rootfs::{Options, Source, Time};
use common::{build_image, is_root, round_trip, set_mtime, tool};
use proptest::prelude::*;

/// What is made under one name.
#[derive(Debug, Clone)]
enum Made {
    Directory(BTreeMap<Vec<u8>, Entry>),
    File {
        size: usize,
        seed: u8,
    },
    Symlink(Vec<u8>),
    Fifo,
    /// A hard link to some file made before, if there is one.
    Link(prop::sample::Index),
}

#[derive(Debug, Clone)]
struct Entry {
    made: Made,
    mode: u32,
    owner: (u32, u32),
    time: Time,
}

fn name() -> impl Strategy<Value = Vec<u8>> {
    let byte = any::<u8>().prop_filter("a byte of a name", |&byte| byte != 0 && byte != b'/');
    let length = prop_oneof![8 => 1usize..8, 1 => 200usize..256];
    length
        .prop_flat_map(move |length| prop::collection::vec(byte.clone(), length))
        .prop_filter("a name", |name| name != b"." && name != b"..")
}

fn size() -> impl Strategy<Value = usize> {
    prop_oneof![
        3 => Just(0),
        8 => 1usize..100,
        4 => 4000usize..4200,
        4 => 8190usize..8195,
        1 => (1usize << 20) - 2..(1 << 20) + 2,
    ]
}

fn entry(made: impl Strategy<Value = Made>) -> impl Strategy<Value = Entry> {
    let mode = prop_oneof![Just(0o644u32), Just(0o755), 0u32..0o2000];
    let id = prop_oneof![3 => Just(0u32), 1 => 0u32..70_000, 1 => 0u32..u32::MAX];
    let time = (prop_oneof![2 => Just(0i64), 1 => -5_000_000_000i64..50_000_000_000], 0u32..1_000_000_000);
    let fraction = prop_oneof![Just(false), Just(true)];
    (made, mode, (id.clone(), id), time, fraction).prop_map(
        |(made, mode, owner, (seconds, nanoseconds), fraction)| {
            let time = Time { seconds, nanoseconds: if fraction { nanoseconds } else { 0 } };
            Entry { made, mode, owner, time }
        },
    )
}

fn tree() -> impl Strategy<Value = BTreeMap<Vec<u8>, Entry>> {
    let leaf = prop_oneof![
        4 => (size(), 0u8..4).prop_map(|(size, seed)| Made::File { size, seed }),
        2 => prop_oneof![name(), prop::collection::vec(1u8..255, 3900..4095)].prop_map(Made::Symlink),
        1 => Just(Made::Fifo),
        1 => any::<prop::sample::Index>().prop_map(Made::Link),
    ];
    let made = leaf.prop_recursive(5, 60, 12, |inner| {
        prop::collection::btree_map(name(), entry(inner), 0..12).prop_map(Made::Directory)
    });
    prop::collection::btree_map(name(), entry(made), 0..12)
}

/// Makes a tree on the disk; metadata last, directories after their contents.
fn make(path: &Path, entries: &BTreeMap<Vec<u8>, Entry>, files: &mut Vec<PathBuf>) {
    for (name, entry) in entries {
        let path = path.join(std::ffi::OsStr::from_bytes(name));
        match &entry.made {
            Made::Directory(inner) => {
                fs::create_dir(&path).expect("a directory");
                make(&path, inner, files);
            }
            Made::File { size, seed } => {
                let content: Vec<u8> = (0..*size).map(|at| (at / 7) as u8 ^ seed).collect();
                fs::write(&path, content).expect("a file");
                files.push(path.clone());
            }
            Made::Symlink(target) => symlink(std::ffi::OsStr::from_bytes(target), &path).expect("a link"),
            Made::Fifo => {
                let (kind, mode) = (rustix::fs::FileType::Fifo, rustix::fs::Mode::RUSR);
                rustix::fs::mknodat(rustix::fs::CWD, &path, kind, mode, 0).expect("a pipe");
            }
            Made::Link(index) if files.is_empty() => {
                let _ = index;
                continue;
            }
            Made::Link(index) => {
                let target = &files[index.index(files.len())];
                fs::hard_link(target, &path).expect("a hard link");
                continue;
            }
        }
        finish(&path, entry);
    }
}

fn finish(path: &Path, entry: &Entry) {
    if is_root() {
        std::os::unix::fs::lchown(path, Some(entry.owner.0), Some(entry.owner.1)).expect("an owner");
    }
    if !fs::symlink_metadata(path).expect("a file").is_symlink() {
        // Whoever is not root must still be able to read it.
        let mode = if is_root() { entry.mode } else { entry.mode | 0o700 };
        fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("permissions");
    }
    set_mtime(path, entry.time);
}

/// Names under which a whole tree can be made: none is longer than the system takes.
fn short_enough(path: usize, entries: &BTreeMap<Vec<u8>, Entry>) -> bool {
    entries.iter().all(|(name, entry)| {
        let length = path + 1 + name.len();
        let inner = match &entry.made {
            Made::Directory(inner) => short_enough(length, inner),
            _ => true,
        };
        length < 3000 && inner
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, max_shrink_iters: 300, ..ProptestConfig::default() })]

    #[test]
    fn trees_survive(entries in tree().prop_filter("paths too long", |tree| short_enough(100, tree))) {
        let scratch = tempfile::tempdir().expect("a scratch directory");
        let root = scratch.path().join("tree");
        fs::create_dir(&root).expect("the tree");
        make(&root, &entries, &mut Vec::new());
        set_mtime(&root, Time::from_seconds(1));
        let info = round_trip(&root, scratch.path());

        let mut command = Command::new("tar");
        command.args(["--create", "--numeric-owner", "--format=posix", "--no-wildcards", "-C"]).arg(&root).arg(".");
        let output = tool("tar", "tar", &mut command);
        prop_assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let source = Source::Tar(Box::new(Cursor::new(output.stdout)));
        let from_tar = build_image(source, &scratch.path().join("from-tar"), Options::default());
        prop_assert_eq!(from_tar.digest, info.digest);
        prop_assert!(fs::metadata(&root).expect("the tree").mtime() == 1);
    }
}
