//! Real images from `mkfs.erofs`, read through a volume and compared with the directories they were made from; and the
//! same images with bytes changed, which may give errors but nothing worse.

use super::{Erofs, Extent};
use crate::testing::{self, IMAGE_PHYSICAL, Times, context, host_tree, image, mkfs, our_tree};
use crate::vfs::Follow;
use crate::volume::Volume;
use ampoule_kbase::{Errno, FileType};
use proptest::prelude::*;
use std::ffi::CString;
use std::format;
use std::os::unix::fs::{PermissionsExt, chown, lchown, symlink};
use std::path::Path;
use std::vec::Vec;

/// Bytes that tell where they are.
fn pattern(length: usize) -> Vec<u8> {
    (0..length).map(|i| (i * 31 + i / 251) as u8 | 1).collect()
}

fn mknod(path: &Path, mode: u32, device: u64) {
    let path = CString::new(path.to_str().expect("text")).expect("no zero byte");
    // SAFETY: a valid string.
    assert_eq!(unsafe { libc::mknod(path.as_ptr(), mode, device) }, 0, "{}", std::io::Error::last_os_error());
}

fn is_root() -> bool {
    // SAFETY: always is.
    unsafe { libc::geteuid() == 0 }
}

/// A tree with everything that an image can hold.
fn build_tree(root: &Path) {
    for size in [0, 1, 100, 4000, 4095, 4096, 4097, 8192, 10_000, 300_000] {
        std::fs::write(root.join(format!("file-{size}")), pattern(size)).expect("a file");
    }
    let many = root.join("many");
    std::fs::create_dir(&many).expect("a directory");
    for i in 0..700 {
        std::fs::write(many.join(format!("entry number {i}")), format!("{i}")).expect("a file");
    }
    std::fs::create_dir_all(root.join("a/b/c/d")).expect("directories");
    std::fs::create_dir(root.join("empty")).expect("a directory");
    std::fs::hard_link(root.join("file-10000"), root.join("a/b/same")).expect("a link");
    std::fs::hard_link(root.join("file-10000"), root.join("a/same")).expect("a link");
    symlink("../file-100", root.join("a/link")).expect("a link");
    symlink("x".repeat(2000), root.join("a/long-link")).expect("a link");
    // mkfs.erofs 1.5 cannot read names much longer than this.
    std::fs::write(root.join("n".repeat(200)), b"long name").expect("a file");
    std::fs::write(root.join("set-id"), b"#!").expect("a file");
    std::fs::set_permissions(root.join("set-id"), PermissionsExt::from_mode(0o6711)).expect("permissions");
    std::fs::set_permissions(root.join("empty"), PermissionsExt::from_mode(0o1777)).expect("permissions");
    let sparse = std::fs::File::create(root.join("sparse")).expect("a file");
    sparse.set_len(100_000).expect("a length");
    std::os::unix::fs::FileExt::write_at(&sparse, b"end", 70_000).expect("a write");
    mknod(&root.join("fifo"), libc::S_IFIFO | 0o644, 0);
    if is_root() {
        mknod(&root.join("device"), libc::S_IFCHR | 0o600, libc::makedev(250, 70_000));
        mknod(&root.join("block"), libc::S_IFBLK | 0o600, libc::makedev(8, 1));
        chown(root.join("file-1"), Some(100_000), Some(200_000)).expect("an owner");
        lchown(root.join("a/link"), Some(3), Some(4)).expect("an owner");
    }
}

/// Options of `mkfs.erofs` that give each layout.
const VARIANTS: [&[&str]; 5] = [
    &[],
    &["-Eforce-inode-compact", "--all-root"],
    &["-Eforce-inode-extended"],
    &["--chunksize=4096"],
    &["-Eforce-inode-extended,force-chunk-indexes", "--chunksize=8192"],
];

#[test]
fn images_show_the_tree_they_were_made_from() {
    testing::setup();
    let directory = tempfile::tempdir().expect("a directory");
    build_tree(directory.path());
    for options in VARIANTS {
        // Compact inodes have no times and no room for large owners.
        let times =
            if options.iter().any(|o| o.contains("extended")) { Times::Compared } else { Times::Ignored };
        let mut expected = host_tree(directory.path(), times);
        let bytes = mkfs(directory.path(), options);
        let ours = our_tree(&context(Volume::read_only(image(&bytes)).expect("an image")), times);
        if options.contains(&"--all-root") {
            expected.values_mut().for_each(|picture| (picture.uid, picture.gid) = (0, 0));
        }
        for (path, picture) in &expected {
            let name = std::string::String::from_utf8_lossy(path);
            assert!(
                ours.get(path) == Some(picture),
                "{options:?}: {name}: {:?}",
                ours.get(path).map(|p| (p.mode, p.size))
            );
        }
        assert_eq!(ours.len(), expected.len(), "{options:?}: nothing is made up");
    }
}

/// What our own writer makes of a directory.
fn own_image(directory: &Path) -> Vec<u8> {
    let source = ampoule_rootfs::Source::Directory(directory.to_path_buf());
    let mut file = tempfile::tempfile().expect("a temporary file");
    let progress = std::boxed::Box::new(|_| core::ops::ControlFlow::Continue(()));
    ampoule_rootfs::build(source, &mut file, ampoule_rootfs::Options::default(), progress).expect("an image");
    let mut bytes = Vec::new();
    std::io::Seek::rewind(&mut file).expect("a file");
    std::io::Read::read_to_end(&mut file, &mut bytes).expect("readable");
    bytes
}

#[test]
fn images_of_our_own_writer_show_the_same_and_are_mapped_whole() {
    testing::setup();
    let directory = tempfile::tempdir().expect("a directory");
    build_tree(directory.path());
    std::fs::write(directory.path().join("n".repeat(255)), b"long name").expect("a file");
    let bytes = own_image(directory.path());
    let context = context(Volume::read_only(image(&bytes)).expect("an image"));
    let (expected, ours) =
        (host_tree(directory.path(), Times::Compared), our_tree(&context, Times::Compared));
    for (path, picture) in &expected {
        let name = std::string::String::from_utf8_lossy(path);
        assert!(
            ours.get(path) == Some(picture),
            "{name}: {:?}",
            ours.get(path).map(|p| (p.mode, p.size, p.mtime_ns))
        );
    }
    assert_eq!(ours.len(), expected.len());
    for path in [&b"/file-100"[..], b"/file-10000", b"/file-4096"] {
        let file = testing::open(&context, path, 0).expect("a file");
        let last = (file.file.stat().expect("status").size - 1) / 4096;
        let frame = file.file.page(last, false).expect("a page");
        assert!(!ampoule_kbase::frames::is_ram(frame.physical()), "the last page is mapped in place, too");
    }
}

#[test]
fn lookups_find_exactly_what_is_there() {
    testing::setup();
    let directory = tempfile::tempdir().expect("a directory");
    build_tree(directory.path());
    let erofs = Erofs::new(image(&mkfs(directory.path(), &[]))).expect("an image");
    let root = erofs.inode(erofs.root()).expect("the root");
    let many = erofs.lookup(&root, b"many").expect("readable").expect("there");
    assert_eq!(many.file_type, Some(FileType::Directory));
    let many = erofs.inode(many.nid).expect("an inode");
    for i in 0..700 {
        let name = format!("entry number {i}");
        let entry = erofs.lookup(&many, name.as_bytes()).expect("readable").expect("there");
        let inode = erofs.inode(entry.nid).expect("an inode");
        let Extent::Data(bytes, _) = erofs.extent(&inode, 0).expect("data") else { panic!("a hole") };
        assert_eq!(bytes, format!("{i}").as_bytes());
    }
    for name in
        [&b""[..], b"A", b"entry", b"entry number 1a", b"entry number 700", b"zzz", b"entry number 0\0"]
    {
        assert_eq!(erofs.lookup(&many, name), Ok(None), "{name:?}");
    }
}

#[test]
fn whole_pages_are_mapped_in_place_and_others_are_copied() {
    testing::setup();
    let directory = tempfile::tempdir().expect("a directory");
    build_tree(directory.path());
    let bytes = mkfs(directory.path(), &[]);
    let context = context(Volume::read_only(image(&bytes)).expect("an image"));
    let file = testing::open(&context, b"/file-10000", 0).expect("a file");
    let expected = pattern(10_000);
    for index in 0..2 {
        let frame = file.file.page(index, false).expect("a page");
        let at = (frame.physical() - IMAGE_PHYSICAL) as usize;
        assert_eq!(
            bytes[at..at + 4096],
            expected[index as usize * 4096..][..4096],
            "page {index} of the image"
        );
    }
    let (first, count) = file.file.page_run(0, 100).expect("a run");
    assert_eq!((first, count), (file.file.page(0, false).expect("a page"), 2), "whole pages lie together");
    assert_eq!(file.file.page_run(1, 1).expect("a run").1, 1);
    assert_eq!(file.file.page_run(2, 100).expect("a run"), (file.file.page(2, false).expect("a page"), 1));
    assert_eq!(file.file.page_run(3, 100), Err(Errno::EFAULT));
    let tail = file.file.page(2, false).expect("a page");
    assert!(ampoule_kbase::frames::is_ram(tail.physical()), "an inlined tail is copied");
    let mut copy = [1; 4096];
    tail.read(0, &mut copy);
    assert_eq!(copy[..1808], expected[8192..]);
    assert!(copy[1808..].iter().all(|byte| *byte == 0));
    assert_eq!(file.file.page(2, false).expect("a page"), tail, "the copy is kept");
    assert_eq!(file.file.page(3, false), Err(Errno::EFAULT));
}

#[test]
fn foreign_and_truncated_images_are_refused() {
    testing::setup();
    let directory = tempfile::tempdir().expect("a directory");
    build_tree(directory.path());
    let bytes = mkfs(directory.path(), &[]);
    for length in [0, 1, 1024, 1025, 1151] {
        assert_eq!(Erofs::new(image(&bytes[..length])).err(), Some(Errno::EINVAL), "{length} bytes");
    }
    let mut other = bytes.clone();
    other[1024] ^= 1;
    assert_eq!(Erofs::new(image(&other)).err(), Some(Errno::EINVAL), "the magic");
    let mut other = bytes.clone();
    other[1024 + 80] |= 0x40;
    assert_eq!(Erofs::new(image(&other)).err(), Some(Errno::EINVAL), "an unknown feature");
    let mut other = bytes;
    other[1024 + 12] = 30;
    assert_eq!(Erofs::new(image(&other)).err(), Some(Errno::EINVAL), "a block size");
}

/// Looks at everything, as far as it goes; returns how many files there were.
fn exercise(bytes: &[u8]) -> usize {
    let Ok(volume) = Volume::read_only(image(bytes)) else { return 0 };
    let context = context(volume);
    let mut todo = std::vec![(b"/".to_vec(), 0)];
    let mut seen = 0;
    while let Some((path, depth)) = todo.pop() {
        seen += 1;
        let Ok(at) = context.resolve(&context.root, &path, Follow::Never) else { continue };
        let _ = context.read_link(&context.root, &path);
        if at.attributes().file_type() == FileType::Regular
            && let Ok(file) = testing::open(&context, &path, 0)
        {
            let mut buffer = std::vec![0; 10_000];
            let _ = file.file.read(0, &mut ampoule_kbase::SliceSink::new(&mut buffer));
            let last = at.stat().size.saturating_sub(1) / 4096;
            for index in [0, 1, last] {
                let _ = file.file.page(index, false);
            }
        }
        let Ok(file) = testing::open(&context, &path, 0) else { continue };
        let mut names = Vec::new();
        let _ = file.file.read_directory(2, &mut |entry| {
            names.push(entry.name);
            names.len() < 50
        });
        if depth < 5 && seen + todo.len() < 500 {
            todo.extend(names.iter().map(|name| ([&path[..], b"/", name].concat(), depth + 1)));
        }
    }
    seen
}

fn small_image() -> Vec<u8> {
    let directory = tempfile::tempdir().expect("a directory");
    let root = directory.path();
    std::fs::create_dir(root.join("d")).expect("a directory");
    std::fs::write(root.join("d/file"), pattern(5000)).expect("a file");
    std::fs::write(root.join("small"), pattern(50)).expect("a file");
    symlink("d/file", root.join("link")).expect("a link");
    mkfs(root, &["--chunksize=4096"])
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(2000) })]
    #[test]
    fn changed_images_do_no_harm(changes in prop::collection::vec((0usize..1200, any::<u8>()), 1..8), far in any::<bool>()) {
        testing::setup();
        static IMAGE: std::sync::OnceLock<Vec<u8>> = std::sync::OnceLock::new();
        let mut bytes = IMAGE.get_or_init(small_image).clone();
        for (offset, value) in changes {
            // Superblock and inodes lie at 1024 and after; directories in the second block or later.
            let at = if far { 1024 + offset * 7 } else { 1024 + offset };
            let length = bytes.len();
            bytes[at % length] = value;
        }
        exercise(&bytes);
    }
}

#[test]
fn the_exercise_looks_at_everything() {
    testing::setup();
    assert_eq!(exercise(&small_image()), 5);
}
