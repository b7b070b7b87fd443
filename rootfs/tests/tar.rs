//! Images of tar archives: those that GNU tar writes, against the directory they were made of, and those that nobody
//! honest writes.

mod common;

use std::fs::{self, File};
use std::io::{Cursor, Read};
use std::os::unix::fs::{FileExt, symlink};
use std::path::Path;
use std::process::Command;

use ampoule_rootfs::{
    Error, Image, ImageBuilder, ImageInfo, Limits, ListedEntry, ListedKind, Options, Source, Special, Time,
};
use common::tarball::{Header, Tarball};
use common::{build_image, extract, set_all_mtimes, tool, try_build};
use proptest::prelude::*;

fn source(archive: Vec<u8>) -> Source<'static> {
    Source::Tar(Box::new(Cursor::new(archive)))
}

/// Builds an archive's image, has it checked, and lists it.
fn build(archive: Vec<u8>) -> (ImageInfo, Vec<ListedEntry>) {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let image = scratch.path().join("image");
    let info = build_image(source(archive), &image, Options::default());
    if common::is_root() {
        // Others may not make the devices that are in some of these.
        extract(&image, &scratch.path().join("extracted"));
    }
    let mut entries = Vec::new();
    let opened = Image::open(File::open(&image).expect("the image")).expect("a sound image");
    let mut visit = |entry| {
        entries.push(entry);
        std::ops::ControlFlow::Continue(())
    };
    opened.list(&Limits::default(), &mut visit).expect("a listing");
    (info, entries)
}

fn content(archive: Vec<u8>, name: &str) -> Vec<u8> {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let image = scratch.path().join("image");
    build_image(source(archive), &image, Options::default());
    extract(&image, &scratch.path().join("extracted"));
    fs::read(scratch.path().join("extracted").join(name)).expect("the file")
}

fn refused(archive: Vec<u8>) -> Error {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    try_build(source(archive), &scratch.path().join("image"), Options::default()).expect_err("a refusal")
}

fn paths(entries: &[ListedEntry]) -> Vec<&[u8]> {
    entries.iter().map(|entry| &*entry.path).collect()
}

/// A tree with everything that archives have their own ways for.
fn make_tree(tree: &Path) {
    fs::create_dir_all(tree.join("usr/bin")).expect("directories");
    fs::write(tree.join("usr/bin/tool"), vec![b'x'; 70_000]).expect("a file");
    fs::hard_link(tree.join("usr/bin/tool"), tree.join("usr/bin/zool")).expect("a link");
    fs::write(tree.join("empty"), b"").expect("a file");
    symlink("usr/bin", tree.join("bin")).expect("a link");
    symlink("t".repeat(300), tree.join("long-target")).expect("a link");
    let long = tree.join("l".repeat(120)).join("m".repeat(200));
    fs::create_dir_all(&long).expect("directories");
    fs::write(long.join("n".repeat(255)), b"long names").expect("a file");
    fs::hard_link(long.join("n".repeat(255)), tree.join("short")).expect("a link");
    let sparse = File::create(tree.join("sparse")).expect("a file");
    for part in 0..200 {
        sparse.write_all_at(format!("part {part}").as_bytes(), part << 14).expect("data");
    }
    sparse.set_len(201 << 14).expect("a length");
    if common::is_root() {
        let path = tree.join("device");
        let mode = rustix::fs::Mode::from_raw_mode(0o600);
        let device = rustix::fs::makedev(8, 300);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::BlockDevice, mode, device)
            .expect("a node");
        std::os::unix::fs::chown(tree.join("empty"), Some(3_000_000), Some(70_000)).expect("an owner");
    }
}

#[test]
fn gnu_tars_archives_make_the_image_of_their_directory() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let tree = scratch.path().join("tree");
    make_tree(&tree);
    let image = scratch.path().join("image");
    for (time, formats) in [
        (Time::from_seconds(1_700_000_000), ["--format=gnu", "--format=posix", "--format=oldgnu"].as_slice()),
        (Time { seconds: -5, nanoseconds: 123_456_789 }, &["--format=posix"]),
    ] {
        set_all_mtimes(&tree, time);
        let expected = build_image(Source::Directory(tree.clone()), &image, Options::default());
        let sparse_ways: [&[&str]; 4] = [
            &[],
            &["--sparse"],
            &["--sparse", "--sparse-version=0.0"],
            &["--sparse", "--sparse-version=0.1"],
        ];
        for format in formats {
            for sparse in sparse_ways {
                let mut command = Command::new("tar");
                command
                    .args(["--create", "--numeric-owner", format])
                    .args(sparse)
                    .arg("-C")
                    .arg(&tree)
                    .arg(".");
                let output = tool("tar", "tar", &mut command);
                assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
                let info = build_image(source(output.stdout), &image, Options::default());
                assert_eq!(info.digest, expected.digest, "{format} {sparse:?}");
            }
        }
    }
}

#[test]
fn paths_are_places_in_the_image_only() {
    let archive = Tarball::default()
        .file(b"/etc/absolute", b"1")
        .file(b"./usr//./bin/x", b"2")
        .directory(b"./")
        .directory(b"late/")
        .finish();
    let (info, entries) = build(archive);
    assert_eq!(
        paths(&entries),
        [b"/".as_slice(), b"/etc", b"/etc/absolute", b"/late", b"/usr", b"/usr/bin", b"/usr/bin/x"]
    );
    assert_eq!(info.inodes, 7);
    for name in [b"../x".as_slice(), b"a/../../x", b"..", b"a/.."] {
        let error = refused(Tarball::default().file(name, b"x").finish());
        assert!(error.to_string().ends_with("it has a \"..\" component"), "{error}");
    }
    let error = refused(Tarball::default().symlink(b"/", b"x").finish());
    assert!(error.to_string().ends_with("it names the root"), "{error}");
}

#[test]
fn links_lead_nowhere() {
    let through = Tarball::default().symlink(b"a", b"/etc").file(b"a/passwd", b"x").finish();
    assert_eq!(refused(through).to_string(), "cannot add a: a is a symbolic link, not a directory");
    let file = Tarball::default().file(b"a", b"").file(b"a/b/c", b"x").finish();
    assert!(matches!(refused(file), Error::ParentNotDirectory { .. }));
    for target in [b"/etc/shadow".as_slice(), b"not-there", b"d", b"later"] {
        let archive = Tarball::default().directory(b"d").hard_link(b"l", target).file(b"later", b"").finish();
        assert!(matches!(refused(archive), Error::BadLink { .. }), "{}", target.escape_ascii());
    }
    let outside = Tarball::default().hard_link(b"l", b"../../etc/shadow").finish();
    assert!(matches!(refused(outside), Error::BadPath { .. }));
    let empty = Tarball::default().symlink(b"l", b"").finish();
    assert!(matches!(refused(empty), Error::BadPath { .. }));
}

#[test]
fn the_last_entry_of_a_name_wins() {
    let archive = || {
        Tarball::default()
            .file(b"f", b"secret that was replaced")
            .hard_link(b"kept", b"f")
            .file(b"f", b"second")
            .symlink(b"x", b"old")
            .directory(b"x")
            .directory(b"e")
            .file(b"e", b"")
            .file(b"d/inside", b"stays")
            .directory(b"d")
            .file(b"gone", b"another secret")
            .file(b"gone", b"!")
            .finish()
    };
    assert_eq!(content(archive(), "f"), b"second");
    assert_eq!(content(archive(), "kept"), b"secret that was replaced");
    assert_eq!(content(archive(), "d/inside"), b"stays");
    let (_, entries) = build(archive());
    let kind = |path: &[u8]| entries.iter().find(|entry| entry.path == path).map(|entry| entry.kind.clone());
    assert_eq!(kind(b"/x"), Some(ListedKind::Directory));
    assert_eq!(kind(b"/e"), Some(ListedKind::File));
    let mut image = Vec::new();
    let mut builder = ImageBuilder::new(&mut image, Options::default()).expect("a builder");
    builder.add(source(archive())).expect("the archive");
    builder.finish().expect("an image");
    assert!(
        !image.windows(14).any(|window| window == b"another secret"),
        "replaced data is still in the image"
    );
    let full = Tarball::default().file(b"d/x", b"").file(b"d", b"").finish();
    assert!(matches!(refused(full), Error::ReplacesDirectory { .. }));
}

#[test]
fn special_files_and_odd_metadata() {
    let device = |kind, name: &[u8], major: &[u8], minor: &[u8]| {
        Header::new(kind, name, 0).with(329, major).with(337, minor)
    };
    let archive = Tarball::default()
        .entry(device(b'3', b"null", b"0000001\0", b"0000003\0"), b"")
        .entry(device(b'4', b"disk", b"0000010\0", b"0001750\0"), b"")
        .entry(Header::new(b'6', b"fifo", 0), b"")
        .entry(Header::new(b'0', b"old-directory/", 3), b"abc")
        .entry(Header::new(b'7', b"contiguous", 3).with(100, b"0107755\0"), b"abc")
        .pax(&[("mtime", "-1.5"), ("uid", "4000000000"), ("SCHILY.xattr.user.x", "y"), ("path", "new\nname")])
        .file(b"old-name", b"x")
        .finish();
    let (info, entries) = build(archive);
    let find = |path: &[u8]| entries.iter().find(|entry| entry.path == path).expect("an entry");
    let kind = |path: &[u8]| match find(path).kind {
        ListedKind::Special(Special::CharDevice(number)) => ('c', number.major(), number.minor()),
        ListedKind::Special(Special::BlockDevice(number)) => ('b', number.major(), number.minor()),
        ListedKind::Special(Special::Fifo) => ('p', 0, 0),
        _ => ('?', 0, 0),
    };
    assert_eq!(kind(b"/null"), ('c', 1, 3));
    assert_eq!(kind(b"/disk"), ('b', 8, 1000));
    assert_eq!(kind(b"/fifo"), ('p', 0, 0));
    assert_eq!(find(b"/old-directory").kind, ListedKind::Directory);
    assert_eq!((find(b"/contiguous").size, find(b"/contiguous").meta.permissions), (3, 0o7755));
    let odd = find(b"/new\nname").meta;
    assert_eq!((odd.mtime, odd.uid), (Time { seconds: -2, nanoseconds: 500_000_000 }, 4_000_000_000));
    assert_eq!(info.without_xattrs, 1);
    let large = Tarball::default().entry(device(b'3', b"d", b"0010000\0", b"0000000\0"), b"").finish();
    assert!(refused(large).to_string().ends_with("a device's number is too large"));
    let huge = Tarball::default().pax(&[("gid", "4294967296")]).file(b"f", b"").finish();
    assert!(refused(huge).to_string().ends_with("an owner's number has more than 32 bits"));
}

#[test]
fn sizes_that_lie() {
    // More than the archive has, and than any image may have.
    for (size, message) in
        [("77777777777", "the archive ends inside this file"), ("\u{80}", "a header holds no number")]
    {
        let mut header = Header::new(b'0', b"f", 0);
        header.put(124, size.as_bytes());
        let error = refused(Tarball::default().entry(header, b"little").finish()).to_string();
        assert!(error.contains(message), "{error}");
    }
    let mut huge = Header::new(b'0', b"f", 0);
    huge.put(124, b"\x80\0\0\0\x7f\xff\xff\xff\xff\xff\xff\xff");
    assert!(matches!(refused(Tarball::default().entry(huge, b"").finish()), Error::Limit { .. }));
    let sparse = Tarball::default()
        .pax(&[("GNU.sparse.size", "9000000000000000000"), ("GNU.sparse.map", "0,3")])
        .file(b"f", b"abc")
        .finish();
    assert!(matches!(refused(sparse), Error::Limit { .. }));
    for map in ["3,1,0,2", "0,2,1,1", "0,4", "0,18446744073709551615,1,4", "x", ""] {
        let archive =
            Tarball::default().pax(&[("GNU.sparse.size", "10"), ("GNU.sparse.map", map)]).file(b"f", b"abc");
        assert!(matches!(refused(archive.finish()), Error::BadTar { .. }), "{map}");
    }
    let long = Tarball::default().entry(Header::new(b'x', b"pax", 2 << 20), &vec![b'x'; 2 << 20]).finish();
    assert!(refused(long).to_string().contains("longer than 1 MiB"));
    let chain = (0..100).fold(Tarball::default(), |tar, _| tar.pax(&[("mtime", "1")]));
    assert!(refused(chain.finish()).to_string().contains("too many headers"));
}

#[test]
fn sparse_maps_before_the_data() {
    let archive = |map: &str, data: &[u8], size: &str| {
        let mut stored = map.as_bytes().to_vec();
        stored.resize(stored.len().next_multiple_of(512), 0);
        stored.extend(data);
        Tarball::default()
            .pax(&[
                ("GNU.sparse.major", "1"),
                ("GNU.sparse.minor", "0"),
                ("GNU.sparse.name", "f"),
                ("GNU.sparse.realsize", size),
            ])
            .entry(Header::new(b'0', b"GNUSparseFile.0/f", stored.len() as u64), &stored)
            .finish()
    };
    assert_eq!(content(archive("2\n1\n2\n5\n1\n", b"abc", "8"), "f"), b"\0ab\0\0c\0\0");
    assert_eq!(content(archive("0\n", b"", "3"), "f"), b"\0\0\0");
    let many: String = (0..300).fold("300\n".to_owned(), |map, i| map + &format!("{}\n1\n", i * 10));
    assert_eq!(
        content(archive(&many, &[b'z'; 300], "3000"), "f").iter().filter(|&&byte| byte == b'z').count(),
        300
    );
    for bad in ["2\n1\n", "x\n", "99999999999999999999999\n", "9999999999\n1\n1\n"] {
        assert!(matches!(refused(archive(bad, b"abc", "8")), Error::BadTar { .. }), "{bad}");
    }
}

#[test]
fn damaged_and_foreign_archives() {
    let good = || Tarball::default().file(b"a", &[b'x'; 1000]).file(b"b", b"y");
    assert!(refused(Vec::new()).to_string().ends_with("it is empty"));
    assert!(refused(good().unfinished()).to_string().contains("is it truncated?"));
    assert!(refused(b"not a tar archive at all".repeat(100)).to_string().contains("no valid checksum"));
    let whole = good().finish();
    for length in (1..whole.len() - 1024).step_by(100) {
        let cut = whole.get(..length).expect("a part").to_vec();
        assert!(matches!(refused(cut), Error::BadTar { .. } | Error::Io { .. }), "cut at {length}");
    }
    let mut flipped = good().finish();
    flipped[3] ^= 1;
    assert!(matches!(refused(flipped), Error::BadTar { offset: 0, .. }));
    for kind in [b'M', b'D', b'Z'] {
        assert!(matches!(
            refused(Tarball::default().entry(Header::new(kind, b"a", 0), b"").finish()),
            Error::BadTar { .. }
        ));
    }
    let error = refused(b"BZh91AY&SY and so on".to_vec()).to_string();
    assert_eq!(error, "the archive is compressed with bzip2, which this build cannot read");
}

#[test]
fn an_empty_archive_is_an_empty_image() {
    let (info, entries) = build(Tarball::default().finish());
    assert_eq!((info.inodes, info.bytes), (1, 2 * 4096));
    assert_eq!(paths(&entries), [b"/".as_slice()]);
}

/// A stream that never ends: entries that repeat for ever must hit a limit, not fill memory or run on.
#[test]
fn endless_archives_end() {
    struct Endless(Vec<u8>, usize);
    impl Read for Endless {
        fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
            let rest = &self.0[self.1..];
            let count = rest.len().min(buffer.len());
            buffer[..count].copy_from_slice(&rest[..count]);
            self.1 = (self.1 + count) % self.0.len();
            Ok(count)
        }
    }
    let entries: [Tarball; 4] = [
        Tarball::default().file(b"same", b"x"),
        Tarball::default().file(b"same", &vec![b'x'; 1 << 20]),
        Tarball::default().directory(b"d"),
        Tarball::default().entry(Header::new(b'g', b"global", 13), b"13 comment=x\n"),
    ];
    for entry in entries {
        let mut image = Vec::new();
        let limits = Limits { entries: 1000, image_bytes: 64 << 20, ..Limits::default() };
        let mut builder =
            ImageBuilder::new(&mut image, Options { limits, ..Options::default() }).expect("a builder");
        let result = builder.add(Source::Tar(Box::new(Endless(entry.unfinished(), 0))));
        assert!(matches!(result, Err(Error::Limit { .. } | Error::BadTar { .. })), "{result:?}");
    }
}

proptest! {
    /// Whatever is changed in an archive: an image or an error, no panic.
    #[test]
    fn damaged_archives_do_no_harm(
        changes in prop::collection::vec((0usize..20_000, prop_oneof![Just(0u8), Just(b'7'), any::<u8>()]), 1..10),
        seal in any::<bool>(),
    ) {
        let mut archive = Tarball::default()
            .pax(&[("path", "a/long/name"), ("mtime", "1.5"), ("GNU.sparse.size", "2000"), ("GNU.sparse.map", "0,10,1000,5")])
            .file(b"f", b"fifteen bytes!!")
            .entry(Header::new(b'L', b"././@LongLink", 12), b"another/name\0")
            .symlink(b"x", b"y")
            .entry(
                Header::new(b'S', b"s", 3).with(386, b"00000000002\x0000000000003\0").with(483, b"00000000144\0"),
                b"abc",
            )
            .hard_link(b"h", b"s")
            .finish();
        for (at, value) in changes {
            let place = at % archive.len();
            archive[place] = value;
        }
        if seal {
            // With their checksums right, more of the damage is looked at.
            archive.chunks_exact_mut(512).for_each(reseal);
        }
        let mut image = Vec::new();
        let limits = Limits { image_bytes: 8 << 20, ..Limits::default() };
        let mut builder = ImageBuilder::new(&mut image, Options { limits, ..Options::default() }).expect("a builder");
        if builder.add(source(archive)).is_ok() {
            builder.finish().expect("an image");
            Image::open(image.as_slice()).expect("an image").verify(&limits).expect("a sound image");
        }
    }
}

/// Sets the checksum of what looks like a header.
fn reseal(block: &mut [u8]) {
    if block[257..262] == *b"ustar" {
        block[148..156].fill(b' ');
        let sum: u32 = block.iter().map(|&byte| u32::from(byte)).sum();
        block[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    }
}
