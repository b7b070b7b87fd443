//! Opening and listing images: those of `mkfs.erofs`, and files that are damaged, cut or no images at all.

mod common;

use std::fs::{self, File};
use std::ops::ControlFlow;
use std::path::Path;
use std::process::Command;

use ampoule_rootfs::{
    Error, FeatureBits, Image, ImageBuilder, ImageProblem, Limits, Meta, Options, Source, Time,
    add_agent_tree, add_default_tree,
};
use common::{build_image, extract, tool};
use proptest::prelude::*;
use sha2::Digest;

fn problem(bytes: &[u8]) -> ImageProblem {
    match Image::open(bytes) {
        Err(Error::BadImage(problem)) => problem,
        other => panic!("{other:?}"),
    }
}

/// A small image with a bit of everything.
fn sample() -> Vec<u8> {
    let mut image = Vec::new();
    let mut builder = ImageBuilder::new(&mut image, Options::default()).expect("a builder");
    let meta = |mtime| Meta { permissions: 0o644, uid: 1, gid: 2, mtime: Time::from_seconds(mtime) };
    builder.file(b"a/b/file", meta(1), &mut [b'x'; 5000].as_slice()).expect("a file");
    builder.file(b"a/other", meta(2), &mut b"y".as_slice()).expect("a file");
    builder.hard_link(b"link", b"a/other").expect("a link");
    builder.symlink(b"symlink", meta(1), b"a/b").expect("a link");
    for i in 0..300 {
        builder.directory(format!("many/{i:020}").as_bytes(), meta(1)).expect("a directory");
    }
    builder.finish().expect("an image");
    image
}

/// The format is a promise: what one version builds, the next one builds again, bit for bit.
#[test]
fn images_do_not_change_between_versions() {
    let image = sample();
    let digest =
        Image::open(image.as_slice()).expect("an image").digest(&Limits::default()).expect("a digest");
    let hexadecimal = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!(hexadecimal(&digest), "055396bdcfa573c9199d2300a415981cbeb73c7ebed3a1d41da7bc17fd96a4e9");
    assert_eq!(
        hexadecimal(&sha2::Sha256::digest(&image)),
        "efec0a28506514cbf4da30cce54b682de4f497872114b44e1e77cb6bff32ac91"
    );
}

#[test]
fn what_is_no_image() {
    assert_eq!(problem(b""), ImageProblem::TooShort(0));
    assert_eq!(problem(&[0; 1100]), ImageProblem::TooShort(1100));
    assert_eq!(problem(&[0; 1 << 16]), ImageProblem::Foreign("something else"));
    let elf = fs::read(std::env::current_exe().expect("this test")).expect("this test");
    assert_eq!(problem(&elf), ImageProblem::Foreign("an ELF program"));
    let tar = common::tarball::Tarball::default().file(b"f", &[0; 2000]).finish();
    assert_eq!(problem(&tar), ImageProblem::Foreign("a tar archive"));
    let gzip = [b"\x1f\x8b".as_slice(), &[0; 5000]].concat();
    assert_eq!(problem(&gzip), ImageProblem::Foreign("gzip data"));
}

#[test]
fn truncated_and_damaged_images() {
    let image = sample();
    let need = image.len() as u64;
    Image::open(image.as_slice()).expect("a sound image");
    for have in [4096, 8192, need - 4096, need - 1] {
        let cut = image.get(..usize::try_from(have).expect("small")).expect("a part");
        assert_eq!(problem(cut), ImageProblem::Truncated { have, need });
    }
    let with = |at: usize, value: u8| {
        let mut image = image.clone();
        image[at] = value;
        problem(&image)
    };
    assert_eq!(with(1024 + 12, 9), ImageProblem::BlockSize(9));
    assert_eq!(with(1024 + 100, 1), ImageProblem::Checksum);
    assert_eq!(with(4095, 1), ImageProblem::Checksum);
    let mut longer = image.clone();
    longer.extend([0; 100]);
    assert_eq!(Image::open(longer.as_slice()).expect("more may follow").bytes(), need);
    let mut data = image.clone();
    data[4096] ^= 1;
    let damaged = Image::open(data.as_slice()).expect("a sound superblock").verify(&Limits::default());
    assert!(matches!(damaged, Err(Error::BadImage(ImageProblem::Digest))), "{damaged:?}");
}

#[test]
fn an_image_inside_of_a_file() {
    let image = sample();
    let whole = [vec![1; 8192], image.clone(), vec![2; 100]].concat();
    let length = image.len() as u64;
    let opened = Image::open_range(whole.as_slice(), 8192, length).expect("an image");
    opened.verify(&Limits::default()).expect("the same image");
    let cut = Image::open_range(whole.as_slice(), 8192, length - 4096);
    assert!(matches!(cut, Err(Error::BadImage(ImageProblem::Truncated { .. }))), "{cut:?}");
    let odd = Image::open_range(whole.as_slice(), 8190, length);
    assert!(matches!(odd, Err(Error::BadImage(ImageProblem::Unaligned(8190)))), "{odd:?}");
    let beyond = Image::open_range(whole.as_slice(), 1 << 40, length);
    assert!(matches!(beyond, Err(Error::BadImage(ImageProblem::TooShort(0)))), "{beyond:?}");
}

#[test]
fn listings_are_bounded() {
    let image = sample();
    let opened = Image::open(image.as_slice()).expect("an image");
    let count = |limits: Limits| {
        let mut count = 0;
        let mut visit = |_| {
            count += 1;
            ControlFlow::Continue(())
        };
        opened.list(&limits, &mut visit).map(|()| count)
    };
    let limits = Limits::default();
    assert_eq!(count(limits).expect("a listing"), 308);
    assert!(matches!(count(Limits { entries: 307, ..limits }), Err(Error::Limit { .. })));
    assert!(matches!(count(Limits { depth: 1, ..limits }), Err(Error::BadPath { .. })));
    let mut seen = 0;
    let mut stop = |_| {
        seen += 1;
        if seen == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    opened.list(&limits, &mut stop).expect("a listing that is stopped");
    assert_eq!(seen, 3);
}

/// Has `mkfs.erofs` make an image of a directory.
fn mkfs(tree: &Path, image: &Path, options: &[&str]) {
    let output =
        tool("mkfs.erofs", "erofs-utils", Command::new("mkfs.erofs").args(options).args([image, tree]));
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn images_of_mkfs_erofs() {
    let scratch = tempfile::tempdir().expect("a scratch directory");
    let (tree, theirs, ours) =
        (scratch.path().join("tree"), scratch.path().join("theirs"), scratch.path().join("ours"));
    fs::create_dir_all(tree.join("a/b")).expect("directories");
    fs::write(tree.join("a/file"), vec![b'z'; 10_000]).expect("a file");
    fs::write(tree.join("a/b/tail"), vec![b'z'; 4096 + 70]).expect("a file");
    fs::hard_link(tree.join("a/file"), tree.join("again")).expect("a link");
    std::os::unix::fs::symlink("a/file", tree.join("link")).expect("a link");
    for i in 0..500 {
        fs::write(tree.join(format!("a/b/{i:030}")), b"").expect("a file");
    }
    let info = build_image(Source::Directory(tree.clone()), &ours, Options::default());
    // Their files have inline tails and inline attributes; the tree, and so its digest, is the same.
    for options in [["-x-1", "--quiet"].as_slice(), &["--quiet", "-Eforce-inode-extended"]] {
        mkfs(&tree, &theirs, options);
        let image = Image::open(File::open(&theirs).expect("an image")).expect("an image that can be booted");
        assert_eq!(image.digest(&Limits::default()).expect("a digest"), info.digest, "{options:?}");
        let verified = image.verify(&Limits::default());
        assert!(
            matches!(verified, Err(Error::BadImage(ImageProblem::Digest))),
            "their UUID stands for nothing"
        );
    }
    mkfs(&tree, &theirs, &["-zlz4", "--quiet"]);
    let compressed = Image::open(File::open(&theirs).expect("an image"));
    assert!(
        matches!(compressed, Err(Error::BadImage(ImageProblem::Features(FeatureBits(bits)))) if bits & 1 != 0)
    );
    mkfs(&tree, &theirs, &["--chunksize=4096", "--quiet"]);
    let chunked = Image::open(File::open(&theirs).expect("an image"));
    assert!(matches!(chunked, Err(Error::BadImage(ImageProblem::Features(_)))), "{chunked:?}");
}

#[test]
fn the_agents_image() {
    let mut bytes = Vec::new();
    let mut builder = ImageBuilder::new(&mut bytes, Options::default()).expect("a builder");
    add_agent_tree(&mut builder, b"\x7fELF agent").expect("the agent");
    let info = builder.finish().expect("an image");
    assert_eq!((info.inodes, info.files, info.bytes), (2, 1, 3 * 4096));
    let scratch = tempfile::tempdir().expect("a scratch directory");
    fs::write(scratch.path().join("image"), &bytes).expect("the image");
    extract(&scratch.path().join("image"), &scratch.path().join("x"));
    assert_eq!(fs::read(scratch.path().join("x/agent")).expect("the agent"), b"\x7fELF agent");
    use std::os::unix::fs::MetadataExt;
    assert_eq!(fs::metadata(scratch.path().join("x/agent")).expect("the agent").mode(), 0o100_755);
}

#[test]
fn the_default_image() {
    let busybox = Path::new("/bin/busybox");
    assert!(busybox.exists(), "there is no /bin/busybox: install the package busybox-static");
    let build = || {
        let mut bytes = Vec::new();
        let mut builder = ImageBuilder::new(&mut bytes, Options::default()).expect("a builder");
        add_default_tree(&mut builder, busybox)
            .expect("the default tree; it needs the package busybox-static");
        let info = builder.finish().expect("an image");
        (bytes, info)
    };
    let (bytes, info) = build();
    assert_eq!(build(), (bytes.clone(), info), "two builds differ");
    let scratch = tempfile::tempdir().expect("a scratch directory");
    fs::write(scratch.path().join("image"), &bytes).expect("the image");
    let root = scratch.path().join("root");
    extract(&scratch.path().join("image"), &root);
    let program = fs::read(root.join("bin/busybox")).expect("busybox");
    assert!(program == fs::read(busybox).expect("busybox"));
    for name in ["bin/sh", "bin/ls", "usr/bin/awk", "usr/bin/sort", "bin/gzip", "usr/bin/find"] {
        assert_eq!(fs::read_link(root.join(name)).expect("an applet"), busybox, "{name}");
    }
    use std::os::unix::fs::PermissionsExt;
    for (name, mode) in [("tmp", 0o1777), ("var/tmp", 0o1777), ("root", 0o700), ("proc", 0o555)] {
        assert_eq!(fs::metadata(root.join(name)).expect(name).permissions().mode() & 0o7777, mode, "{name}");
    }
    assert!(fs::read_to_string(root.join("etc/passwd")).expect("users").contains("user:x:1000:1000:"));
    assert_eq!(fs::read(root.join("etc/resolv.conf")).expect("a file"), b"");
}

#[test]
fn a_busybox_that_does_not_serve() {
    let mut bytes = Vec::new();
    let mut refusal = |path: &Path| {
        let mut builder = ImageBuilder::new(&mut bytes, Options::default()).expect("a builder");
        add_default_tree(&mut builder, path).expect_err("a refusal").to_string()
    };
    let dynamic = std::env::current_exe().expect("this test");
    assert!(refusal(&dynamic).ends_with("it is dynamically linked; install busybox-static"));
    assert!(refusal(Path::new("/etc/passwd")).ends_with("it is not an x86-64 ELF program"));
    assert!(refusal(Path::new("/nonexistent")).starts_with("cannot read /nonexistent: "));
}

proptest! {
    /// Whatever is changed in an image: no panic, no endless walk, and nothing that verifies and is not the same.
    #[test]
    fn damaged_metadata_does_no_harm(
        changes in prop::collection::vec((0usize..20_000, prop_oneof![Just(0u8), Just(255), any::<u8>()]), 1..20),
        spare_superblock in any::<bool>(),
    ) {
        let original = sample();
        let mut image = original.clone();
        // The metadata lies at the end.
        let first = if spare_superblock { 4096 } else { 0 };
        for (at, value) in changes {
            let place = first + at % (image.len() - first);
            image[place] = value;
        }
        if let Ok(opened) = Image::open(image.as_slice()) {
            let limits = Limits { entries: 5000, image_bytes: 64 << 20, ..Limits::default() };
            let _ = opened.list(&limits, &mut |_| ControlFlow::Continue(()));
            if opened.verify(&limits).is_ok() {
                let sound = Image::open(original.as_slice()).expect("the original");
                prop_assert_eq!(opened.digest(&limits).ok(), sound.digest(&limits).ok());
            }
        }
    }

    /// Bytes that never were an image.
    #[test]
    fn random_files_are_refused(bytes in prop::collection::vec(any::<u8>(), 0..8192)) {
        prop_assert!(Image::open(bytes.as_slice()).is_err());
    }
}
