//! Images of directories, judged by `fsck.erofs`: what it extracts is what was there.

mod common;

use std::fs::{self, File};
use std::io::Write;
use std::os::unix::fs::{FileExt, PermissionsExt, symlink};
use std::os::unix::net::UnixListener;
use std::path::Path;
use std::time::{Duration, Instant};

use ampoule_rootfs::{
    Error, Image, ImageBuilder, Limits, ListedKind, Options, Owners, PathProblem, Source, Time, Times,
};
use common::{
    build_image, extract, extract_modes, is_root, round_trip, set_all_mtimes, set_mtime, snapshot, try_build,
};
use rustix::fs::{CWD, FileType, Mode, makedev, mknodat};
use tempfile::TempDir;

/// A scratch directory with a directory `tree` in it.
fn scratch() -> (TempDir, std::path::PathBuf) {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).expect("the tree");
    (scratch, tree)
}

fn list(image: &Path) -> Vec<ampoule_rootfs::ListedEntry> {
    let image = Image::open(File::open(image).expect("the image")).expect("a sound image");
    let mut entries = Vec::new();
    let mut visit = |entry| {
        entries.push(entry);
        std::ops::ControlFlow::Continue(())
    };
    image.list(&Limits::default(), &mut visit).expect("a listing");
    entries
}

fn mknod(path: &Path, kind: FileType, device: u64) {
    mknodat(CWD, path, kind, Mode::from_raw_mode(0o640), device).expect("a node");
}

#[test]
fn every_kind_of_file() {
    let (scratch, tree) = scratch();
    fs::write(tree.join("empty"), b"").expect("a file");
    fs::write(tree.join("one"), b"1").expect("a file");
    for (name, size) in [("block-1", 4095), ("block", 4096), ("block+1", 4097), ("big", (3 << 20) + 17)] {
        let content: Vec<u8> = (0..size).map(|i: u32| (i.wrapping_mul(2_654_435_761) >> 13) as u8).collect();
        fs::write(tree.join(name), content).expect("a file");
    }
    fs::create_dir_all(tree.join("a/b/c")).expect("directories");
    fs::write(tree.join("a/b/c/deep"), b"deep").expect("a file");
    fs::hard_link(tree.join("one"), tree.join("a/again")).expect("a hard link");
    fs::hard_link(tree.join("one"), tree.join("zzz")).expect("a hard link");
    symlink("../one", tree.join("a/link")).expect("a link");
    symlink("x".repeat(4095), tree.join("longest")).expect("a link");
    symlink("y".repeat(4064), tree.join("just-inline")).expect("a link");
    fs::hard_link(tree.join("a/link"), tree.join("a/link2")).expect("a hard link to a link");
    fs::create_dir(tree.join("!before-dot")).expect("a directory");
    fs::write(tree.join("-x"), b"").expect("a file");
    fs::write(tree.join("é\n\u{1b}"), b"odd name").expect("a file");
    let _listener = UnixListener::bind(tree.join("socket")).expect("a socket");
    mknod(&tree.join("fifo"), FileType::Fifo, 0);
    if is_root() {
        mknod(&tree.join("null"), FileType::CharacterDevice, makedev(1, 3));
        mknod(&tree.join("disk"), FileType::BlockDevice, makedev(259, 70_000));
        std::os::unix::fs::chown(tree.join("one"), Some(70_000), Some(5)).expect("an owner");
        std::os::unix::fs::chown(tree.join("a/b"), Some(65_534), Some(65_534)).expect("an owner");
    }
    for (name, mode) in [("one", 0o4755), ("a", 0o1777), ("empty", 0o000), ("block", 0o2711)] {
        fs::set_permissions(tree.join(name), fs::Permissions::from_mode(mode)).expect("permissions");
    }
    set_mtime(&tree.join("big"), Time { seconds: 1 << 33, nanoseconds: 999_999_999 });
    set_mtime(&tree.join("block"), Time::from_seconds(-1_000_000));
    if !is_root() {
        // Unreadable for its owner too.
        fs::remove_file(tree.join("empty")).expect("a file");
    }

    let info = round_trip(&tree, scratch.path());
    assert_eq!(info.files, 9 - u64::from(!is_root()), "hard links count once");
    let modes = scratch.path().join("modes");
    extract_modes(&scratch.path().join("image"), &modes);
    for name in ["one", "a", "block"] {
        let mode = |root: &Path| fs::metadata(root.join(name)).expect("a file").permissions().mode();
        assert_eq!(mode(&modes), mode(&tree), "permissions of {name}");
    }
    let again = scratch.path().join("again");
    let other = build_image(Source::Directory(tree.clone()), &again, Options::default());
    assert_eq!(other, info);
    let same =
        fs::read(&again).expect("an image") == fs::read(scratch.path().join("image")).expect("an image");
    assert!(same, "two builds of one tree differ");
}

#[test]
fn file_data_is_aligned_and_contiguous() {
    let (scratch, tree) = scratch();
    let content: Vec<u8> = (0..10_000u32).flat_map(u32::to_le_bytes).collect();
    fs::write(tree.join("data"), &content).expect("a file");
    fs::write(tree.join("small"), b"small").expect("a file");
    let info = round_trip(&tree, scratch.path());
    let image = fs::read(scratch.path().join("image")).expect("the image");
    let at =
        |needle: &[u8]| (0..image.len()).step_by(4096).filter(|&at| image[at..].starts_with(needle)).count();
    assert_eq!(at(&content), 1, "the file is not in whole blocks of its own");
    assert_eq!(at(b"small\0\0\0"), 1, "the small file has no block of its own");
    assert_eq!(info.bytes % 4096, 0);
}

#[test]
fn equal_contents_are_stored_once() {
    let (scratch, tree) = scratch();
    let content = vec![7; 3 << 20];
    for name in ["a", "b", "c"] {
        fs::write(tree.join(name), &content).expect("a file");
        fs::write(tree.join(format!("{name}-small")), b"same").expect("a file");
    }
    fs::write(tree.join("z"), b"written where a copy had been").expect("a file");
    fs::write(tree.join("zz"), vec![0; 8192]).expect("a file of zeros, where a copy had been");
    let info = round_trip(&tree, scratch.path());
    assert_eq!(info.files, 8);
    assert!(info.bytes < (3 << 20) + 10 * 4096, "{} bytes", info.bytes);
}

#[test]
fn a_directory_of_ten_thousand() {
    let (scratch, tree) = scratch();
    for i in 0..10_000u32 {
        // Names of all lengths up to the longest, in no order.
        let name = format!("{:0width$}", i.wrapping_mul(7919) % 10_000, width = 4 + (i as usize % 252));
        fs::write(tree.join(name), i.to_le_bytes()).expect("a file");
    }
    fs::create_dir(tree.join("n".repeat(255))).expect("a directory");
    fs::write(tree.join("n".repeat(255)).join("m".repeat(255)), b"long").expect("a file");
    round_trip(&tree, scratch.path());
    let entries = list(&scratch.path().join("image"));
    assert_eq!(entries.len(), 10_003);
    let names: Vec<&[u8]> = entries.iter().map(|entry| &*entry.path).collect();
    let direct: Vec<&&[u8]> = names.iter().filter(|name| !name[1..].contains(&b'/')).collect();
    assert!(direct.is_sorted(), "binary search needs sorted names");
}

#[test]
fn deep_directories_up_to_the_limit() {
    let (scratch, tree) = scratch();
    let mut deep = tree.clone();
    for _ in 0..255 {
        deep.push("d");
    }
    fs::create_dir_all(&deep).expect("deep directories");
    fs::write(deep.join("f"), b"bottom").expect("a file");
    round_trip(&tree, scratch.path());
    fs::create_dir(deep.join("d")).expect("a directory");
    fs::create_dir(deep.join("d/too-deep")).expect("a directory");
    let result = try_build(Source::Directory(tree), &scratch.path().join("image"), Options::default());
    assert!(matches!(result, Err(Error::BadPath { problem: PathProblem::Deep(256), .. })), "{result:?}");
}

/// `fsck.erofs` looks behind each inode; the last one must not be the end of the image.
#[test]
fn an_inode_at_the_end_of_a_block() {
    let (scratch, tree) = scratch();
    for i in 0..130u64 {
        let file = tree.join(format!("{i:03}"));
        fs::write(&file, b"").expect("a file");
        set_mtime(&file, Time::from_seconds(1_000_000 + i.cast_signed()));
        let (image, extracted) = (scratch.path().join("image"), scratch.path().join(format!("x{i}")));
        build_image(Source::Directory(tree.clone()), &image, Options::default());
        extract(&image, &extracted);
    }
}

#[test]
fn sparse_files_make_sparse_images() {
    use std::os::unix::fs::MetadataExt;
    const SIZE: u64 = 80 << 20;
    let (scratch, tree) = scratch();
    let file = File::create(tree.join("sparse")).expect("a file");
    file.write_all_at(b"start", 0).expect("data");
    file.write_all_at(b"middle", SIZE / 2 + 4095).expect("data");
    file.set_len(SIZE).expect("a length");
    let info = round_trip(&tree, scratch.path());
    assert!(info.bytes > SIZE);
    let stored = fs::metadata(scratch.path().join("image")).expect("the image").blocks() * 512;
    assert!(stored < 1 << 20, "the image takes {stored} bytes on the disk");
}

#[test]
fn links_are_never_followed() {
    let (scratch, tree) = scratch();
    let secret = scratch.path().join("secret");
    fs::create_dir(&secret).expect("a directory");
    fs::write(secret.join("key"), b"do not copy").expect("a file");
    symlink(&secret, tree.join("out")).expect("a link");
    symlink("/etc/passwd", tree.join("passwd")).expect("a link");
    symlink(".", tree.join("loop")).expect("a link");
    round_trip(&tree, scratch.path());
    let image = fs::read(scratch.path().join("image")).expect("the image");
    assert!(!image.windows(11).any(|window| window == b"do not copy"));
    assert_eq!(list(&scratch.path().join("image")).len(), 4);
}

/// Somebody swaps a file and a directory for links to a secret, and back, while the tree is walked.
#[test]
fn links_that_appear_during_the_walk_are_not_followed_either() {
    let (scratch, tree) = scratch();
    let secret = scratch.path().join("secret");
    fs::create_dir(&secret).expect("a directory");
    fs::write(secret.join("key"), b"do not copy").expect("a file");
    let (file, directory) = (tree.join("file"), tree.join("directory"));
    fs::write(&file, b"harmless").expect("a file");
    fs::create_dir(&directory).expect("a directory");
    let (file_link, directory_link) = (scratch.path().join("to-key"), scratch.path().join("to-secret"));
    symlink(secret.join("key"), &file_link).expect("a link");
    symlink(&secret, &directory_link).expect("a link");
    let swap = |a: &Path, b: &Path| {
        let exchange = rustix::fs::RenameFlags::EXCHANGE;
        rustix::fs::renameat_with(CWD, a, CWD, b, exchange).expect("an exchange of names");
    };
    let end = Instant::now() + Duration::from_secs(2);
    let (mut built, mut changed) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            while Instant::now() < end {
                swap(&file, &file_link);
                swap(&directory, &directory_link);
            }
        });
        while Instant::now() < end {
            let mut image = Vec::new();
            let mut builder = ImageBuilder::new(&mut image, Options::default()).expect("a builder");
            match builder.add(Source::Directory(tree.clone())).and_then(|()| builder.finish()) {
                Ok(_) => built += 1,
                Err(Error::Changed { .. }) => changed += 1,
                Err(error) => panic!("{error}"),
            }
            assert!(!image.windows(11).any(|window| window == b"do not copy"), "a link was followed");
        }
    });
    assert!(built > 0 && changed > 0, "{built} built, {changed} noticed: nothing was tested");
}

#[test]
fn the_image_leaves_itself_out() {
    let (scratch, tree) = scratch();
    fs::write(tree.join("file"), b"content").expect("a file");
    let image = tree.join("image");
    let info = build_image(Source::Directory(tree.clone()), &image, Options::default());
    assert_eq!((info.inodes, info.files), (2, 1));
    extract(&image, &scratch.path().join("extracted"));
}

#[test]
fn a_file_that_grows_and_shrinks_does_no_harm() {
    let (scratch, tree) = scratch();
    let path = tree.join("log");
    fs::write(&path, vec![b'x'; 1 << 20]).expect("a file");
    let end = Instant::now() + Duration::from_secs(3);
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let mut file = File::options().write(true).open(&path).expect("the file");
            for round in 0u64.. {
                if Instant::now() > end {
                    break;
                }
                file.set_len((round % 3) << 20).expect("a length");
                file.write_all(b"more").expect("data");
            }
        });
        while Instant::now() < end {
            let image = scratch.path().join("image");
            build_image(Source::Directory(tree.clone()), &image, Options::default());
            let extracted = scratch.path().join("extracted");
            extract(&image, &extracted);
            fs::remove_dir_all(&extracted).expect("what was extracted");
        }
    });
}

#[test]
fn times_and_owners_can_be_set() {
    let (scratch, tree) = scratch();
    fs::write(tree.join("old"), b"").expect("a file");
    fs::write(tree.join("new"), b"").expect("a file");
    set_mtime(&tree.join("old"), Time::from_seconds(500));
    let image = scratch.path().join("image");
    let clamp = Time::from_seconds(1000);
    let owners = Owners::Fixed { uid: 12, gid: 34 };
    let options = Options { times: Times::Clamp(clamp), owners, ..Options::default() };
    build_image(Source::Directory(tree.clone()), &image, options);
    for entry in list(&image) {
        let expected = if entry.path == b"/old" { Time::from_seconds(500) } else { clamp };
        assert_eq!(entry.meta.mtime, expected);
        assert_eq!((entry.meta.uid, entry.meta.gid), (12, 34));
    }
    let fixed = Options { times: Times::Fixed(clamp), owners, ..Options::default() };
    build_image(Source::Directory(tree.clone()), &image, fixed);
    assert!(list(&image).iter().all(|entry| entry.meta.mtime == clamp));
}

#[test]
fn the_digest_is_that_of_the_tree_alone() {
    let (scratch, tree) = scratch();
    let image = scratch.path().join("image");
    fs::write(tree.join("a"), b"content").expect("a file");
    fs::hard_link(tree.join("a"), tree.join("b")).expect("a link");
    set_all_mtimes(&tree, Time::from_seconds(1));
    let digest =
        |source: &Path| build_image(Source::Directory(source.to_owned()), &image, Options::default()).digest;
    let first = digest(&tree);
    let copy = scratch.path().join("copy");
    fs::create_dir(&copy).expect("a directory");
    fs::write(copy.join("b"), b"content").expect("a file");
    fs::write(copy.join("a"), b"content").expect("a file");
    set_all_mtimes(&copy, Time::from_seconds(1));
    assert_eq!(snapshot(&copy), snapshot(&tree));
    assert_ne!(digest(&copy), first, "two files are not one file with two names");
    fs::remove_file(copy.join("b")).expect("a file");
    fs::hard_link(copy.join("a"), copy.join("b")).expect("a link");
    set_all_mtimes(&copy, Time::from_seconds(1));
    assert_eq!(digest(&copy), first);
    set_mtime(&copy.join("a"), Time { seconds: 1, nanoseconds: 1 });
    assert_ne!(digest(&copy), first);
}

#[test]
fn limits_are_kept() {
    let (scratch, tree) = scratch();
    for i in 0..20 {
        fs::write(tree.join(format!("file{i}")), vec![i; 5000]).expect("a file");
    }
    let image = scratch.path().join("image");
    let with = |limits| {
        let options = Options { limits, ..Options::default() };
        try_build(Source::Directory(tree.clone()), &image, options).expect_err("a limit").to_string()
    };
    let limits = Limits::default();
    assert_eq!(with(Limits { entries: 10, ..limits }), "the source has more than 10 entries");
    assert_eq!(
        with(Limits { image_bytes: 65_536, ..limits }),
        "the source has more than 65536 bytes of data"
    );
    assert_eq!(with(Limits { name_bytes: 30, ..limits }), "the source has more than 30 bytes of names");
    let enough = Options { limits: Limits { entries: 21, ..limits }, ..Options::default() };
    build_image(Source::Directory(tree.clone()), &image, enough);
}

#[test]
fn a_source_that_is_not_there_or_no_directory() {
    let (scratch, tree) = scratch();
    let image = scratch.path().join("image");
    let missing = try_build(Source::Directory(tree.join("none")), &image, Options::default());
    assert!(matches!(missing, Err(Error::Io { action: "open directory", .. })), "{missing:?}");
    assert!(Source::from_path(&tree.join("none")).is_err());
    assert!(matches!(Source::from_path(Path::new("/dev/null")), Err(Error::BadSource { .. })));
}

#[test]
fn listing_tells_what_is_there() {
    let (scratch, tree) = scratch();
    fs::write(tree.join("file"), b"12345").expect("a file");
    fs::hard_link(tree.join("file"), tree.join("second")).expect("a link");
    symlink("file", tree.join("link")).expect("a link");
    let image = scratch.path().join("image");
    build_image(Source::Directory(tree), &image, Options::default());
    let entries = list(&image);
    let paths: Vec<&[u8]> = entries.iter().map(|entry| &*entry.path).collect();
    assert_eq!(paths, [b"/".as_slice(), b"/file", b"/link", b"/second"]);
    assert_eq!((entries[1].size, entries[1].links, entries[1].nid), (5, 2, entries[3].nid));
    assert_eq!(entries[2].kind, ListedKind::Symlink(b"file".to_vec()));
}
