//! Building to a path: the image is there whole or not at all, and nothing else is.

mod common;

use std::fs::{self, File};
use std::io::Cursor;
use std::ops::ControlFlow;
use std::os::unix::fs::symlink;
use std::path::Path;

use ampoule_rootfs::{Error, Image, ImageInfo, Limits, Options, Progress, Source, build_file};
use common::tarball::Tarball;

fn build(archive: Vec<u8>, path: &Path) -> Result<ImageInfo, Error> {
    let source = Source::Tar(Box::new(Cursor::new(archive)));
    build_file(source, path, Options::default(), Box::new(|_| ControlFlow::Continue(())))
}

fn names(directory: &Path) -> Vec<String> {
    let entries = fs::read_dir(directory).expect("a directory");
    entries.map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_whole_image_or_what_was_there() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let path = scratch.path().join("image");
    let good = || Tarball::default().file(b"f", b"content").finish();
    let info = build(good(), &path).expect("an image");
    let first = fs::read(&path).expect("the image");
    assert_eq!(first.len() as u64, info.bytes);
    build(Tarball::default().file(b"g", &[1; 9000]).unfinished(), &path).expect_err("a truncated archive");
    assert!(fs::read(&path).expect("the image") == first, "a failed build changed what was there");
    assert_eq!(names(scratch.path()), ["image"]);
    build(Tarball::default().file(b"g", &[1; 9000]).finish(), &path).expect("another image");
    let image = Image::open(File::open(&path).expect("the image")).expect("a sound image");
    image.verify(&Limits::default()).expect("a whole image");
    assert_eq!(names(scratch.path()), ["image"]);
}

#[test]
fn only_files_are_replaced() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (directory, link) = (scratch.path().join("directory"), scratch.path().join("link"));
    fs::create_dir(&directory).expect("a directory");
    symlink("/dev/null", &link).expect("a link");
    for path in [directory.as_path(), &link, Path::new("/dev/null")] {
        let result = build(Tarball::default().finish(), path);
        assert!(matches!(result, Err(Error::NotReplaceable { .. })), "{result:?}");
    }
    let missing = build(Tarball::default().finish(), &scratch.path().join("no/such/place"));
    assert!(matches!(missing, Err(Error::Io { action: "create", .. })), "{missing:?}");
}

#[test]
fn progress_is_told_and_can_stop_the_build() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let path = scratch.path().join("image");
    let archive = Tarball::default().file(b"big", &vec![3; 5 << 20]).file(b"small", b"x").finish();
    let mut told: Vec<Progress> = Vec::new();
    let source = |archive: &[u8]| Source::Tar(Box::new(Cursor::new(archive.to_vec())));
    let tell = |progress| {
        told.push(progress);
        ControlFlow::Continue(())
    };
    build_file(source(&archive), &path, Options::default(), Box::new(tell)).expect("an image");
    assert!(told.len() >= 6 && told.is_sorted_by_key(|progress| (progress.entries, progress.bytes)));
    assert_eq!(told.last(), Some(&Progress { entries: 2, bytes: (5 << 20) + 1 }));
    fs::remove_file(&path).expect("the image");
    let stop = |progress: Progress| {
        if progress.bytes > 2 << 20 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let result = build_file(source(&archive), &path, Options::default(), Box::new(stop));
    assert!(matches!(result, Err(Error::Cancelled)), "{result:?}");
    assert!(names(scratch.path()).is_empty());
}
