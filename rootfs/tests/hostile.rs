//! Directories whose files lead elsewhere, are no files, or change while they are read.

mod common;

use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use ampoule_rootfs::{Error, Image, ImageBuilder, Limits, ListedEntry, ListedKind, Options, Source};
use common::{build_image, is_root, try_build};
use rustix::fs::{CWD, FileType, Mode, RenameFlags, makedev, mknodat, renameat_with};
use tempfile::TempDir;

/// How long a tree is changed while images are built of it.
const WHILE: Duration = Duration::from_secs(2);
const SECRET: &[u8] = b"do not copy";

/// A directory with a `tree` in it, and a secret beside that.
fn scratch() -> (TempDir, PathBuf) {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let tree = scratch.path().join("tree");
    fs::create_dir(&tree).expect("the tree");
    fs::write(scratch.path().join("secret"), SECRET).expect("a file");
    (scratch, tree)
}

fn list(image: &[u8]) -> Vec<ListedEntry> {
    let mut entries = Vec::new();
    let image = Image::open(image).expect("a sound image");
    image.verify(&Limits::default()).expect("an undamaged image");
    let visit = &mut |entry| {
        entries.push(entry);
        std::ops::ControlFlow::Continue(())
    };
    image.list(&Limits::default(), visit).expect("a listing");
    entries
}

/// Changes a tree for a while, and builds images of it meanwhile. Each is sound, without the secret, or refused since
/// something has changed. Gives how many there were of both.
fn build_while(tree: &Path, change: impl Fn(u64) + Sync) -> (u64, u64) {
    let end = Instant::now() + WHILE;
    let (mut built, mut changed) = (0, 0);
    std::thread::scope(|scope| {
        scope.spawn(|| (0..).take_while(|_| Instant::now() < end).for_each(&change));
        while Instant::now() < end {
            let mut image = Vec::new();
            let mut builder = ImageBuilder::new(&mut image, Options::default()).expect("a builder");
            match builder.add(Source::Directory(tree.to_owned())).and_then(|()| builder.finish()) {
                Ok(_) => {
                    list(&image);
                    built += 1;
                }
                Err(Error::Changed { .. }) => changed += 1,
                Err(error) => panic!("{error}"),
            }
            assert!(!image.windows(SECRET.len()).any(|window| window == SECRET), "the secret is in it");
        }
    });
    (built, changed)
}

fn swap(a: &Path, b: &Path) {
    renameat_with(CWD, a, CWD, b, RenameFlags::EXCHANGE).expect("an exchange of names");
}

#[test]
fn names_that_come_and_go() {
    let (_scratch, tree) = scratch();
    let (built, _) = build_while(&tree, |round| {
        let directory = tree.join(format!("d{}", round % 3));
        let _ = fs::create_dir(&directory);
        for name in ["a", "b", "c"] {
            fs::write(directory.join(name), name).expect("a file");
        }
        symlink("a", directory.join("link")).expect("a link");
        fs::hard_link(directory.join("a"), directory.join("again")).expect("a link");
        fs::remove_dir_all(&directory).expect("the directory");
    });
    assert!(built > 0, "a name that is gone is no reason to fail");
}

#[test]
fn directories_that_move_out_of_the_tree_and_back() {
    let (scratch, tree) = scratch();
    let (inside, outside) = (tree.join("a/b/c"), scratch.path().join("c"));
    fs::create_dir_all(&inside).expect("directories");
    fs::write(inside.join("file"), b"harmless").expect("a file");
    let (built, _) = build_while(&tree, |_| {
        // Whoever went up from there by `..` would now be beside the secret.
        fs::rename(&inside, &outside).expect("a move");
        fs::rename(&outside, &inside).expect("a move");
    });
    assert!(built > 0);
}

#[test]
fn files_that_turn_into_something_else() {
    let (scratch, tree) = scratch();
    let beside = |name: &str| scratch.path().join(name);
    let names = ["pipe", "socket", "link", "directory"];
    mknodat(CWD, beside("pipe"), FileType::Fifo, Mode::from_raw_mode(0o600), 0).expect("a pipe");
    let _listener = UnixListener::bind(beside("socket")).expect("a socket");
    symlink(beside("secret"), beside("link")).expect("a link");
    fs::create_dir(beside("directory")).expect("a directory");
    for name in names {
        fs::write(tree.join(name), b"harmless").expect("a file");
    }
    // Nobody writes to the pipe: who waits for that waits for ever.
    let (built, changed) =
        build_while(&tree, |_| names.iter().for_each(|name| swap(&tree.join(name), &beside(name))));
    assert!(built > 0 && changed > 0, "{built} built, {changed} noticed: nothing was tested");
}

#[test]
fn what_is_no_file_is_kept_as_what_it_is() {
    let (scratch, tree) = scratch();
    let node = |name: &str, kind, device| {
        mknodat(CWD, tree.join(name), kind, Mode::from_raw_mode(0o600), device).expect("a node");
    };
    node("pipe", FileType::Fifo, 0);
    let _listener = UnixListener::bind(tree.join("socket")).expect("a socket");
    symlink(scratch.path().join("secret"), tree.join("link")).expect("a link");
    symlink("../../../../../../etc/passwd", tree.join("up")).expect("a link");
    let mut kinds = vec!["Directory", "Symlink", "Special", "Special", "Symlink"];
    if is_root() {
        // Devices that never end, and one that nobody has: none of them is opened.
        node("zero", FileType::CharacterDevice, makedev(1, 5));
        node("none", FileType::BlockDevice, makedev(4000, 77));
        kinds = vec!["Directory", "Symlink", "Special", "Special", "Special", "Symlink", "Special"];
    }
    let image = scratch.path().join("image");
    build_image(Source::Directory(tree), &image, Options::default());
    let image = fs::read(&image).expect("the image");
    let found: Vec<&str> = list(&image)
        .iter()
        .map(|entry| match &entry.kind {
            ListedKind::Directory => "Directory",
            ListedKind::File => "File",
            ListedKind::Symlink(_) => "Symlink",
            _ => "Special",
        })
        .collect();
    assert_eq!(found, kinds);
    assert!(!image.windows(SECRET.len()).any(|window| window == SECRET));
}

#[test]
fn a_hard_link_whose_other_names_are_outside_is_a_file_of_its_own() {
    let (scratch, tree) = scratch();
    fs::write(scratch.path().join("outside"), b"content").expect("a file");
    for name in ["first", "second"] {
        fs::hard_link(scratch.path().join("outside"), tree.join(name)).expect("a link");
    }
    fs::hard_link(scratch.path().join("outside"), scratch.path().join("third")).expect("a link");
    let image = scratch.path().join("image");
    build_image(Source::Directory(tree.clone()), &image, Options::default());
    let entries = list(&fs::read(&image).expect("the image"));
    let links: Vec<u32> = entries.iter().skip(1).map(|entry| entry.links).collect();
    assert_eq!(links, [2, 2], "names outside of the tree are not counted");
    fs::remove_file(tree.join("second")).expect("a link");
    build_image(Source::Directory(tree), &image, Options::default());
    assert_eq!(list(&fs::read(&image).expect("the image"))[1].links, 1);
}

#[test]
fn giants_are_refused_before_they_are_read() {
    let (scratch, tree) = scratch();
    let image = scratch.path().join("image");
    let giant = File::create(tree.join("giant")).expect("a file");
    giant.set_len(1 << 43).expect("a sparse file");
    let start = Instant::now();
    let error = try_build(Source::Directory(tree), &image, Options::default());
    assert!(matches!(error, Err(Error::Limit { what: "bytes of data", .. })), "{error:?}");
    // Reading 8 TiB of holes takes longer than this on any machine.
    assert!(start.elapsed() < Duration::from_secs(60), "{:?}", start.elapsed());
}
