//! What the tests share: `fsck.erofs` as the judge, and trees as values that can be compared.

#![expect(dead_code, reason = "each test program uses its part")]

pub mod tarball;

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::{FileTypeExt, MetadataExt};
use std::path::Path;
use std::process::{Command, Output};

use ampoule_rootfs::{Error, Image, ImageInfo, Limits, Options, Source, Time, build};

/// Runs a tool; the test fails, rather than being left out, if the tool is not there.
pub fn tool(name: &str, package: &str, command: &mut Command) -> Output {
    match command.output() {
        Ok(output) => output,
        Err(error) => panic!("cannot run {name} ({error}): install the package {package}"),
    }
}

fn erofs_tool(name: &str, arguments: &[&std::ffi::OsStr]) -> Output {
    tool(name, "erofs-utils", Command::new(name).args(arguments))
}

/// Has `fsck.erofs` check an image and extract it to `to`, which must not be there.
pub fn extract(image: &Path, to: &Path) {
    // Only root may give files away.
    extract_with(if is_root() { "--preserve-owner" } else { "--no-preserve-owner" }, image, to);
}

/// Like [`extract`], with all permissions but without owners.
pub fn extract_modes(image: &Path, to: &Path) {
    extract_with("--no-preserve-owner", image, to);
}

fn extract_with(preserve: &str, image: &Path, to: &Path) {
    let option = [b"--extract=", to.as_os_str().as_bytes()].concat();
    let output = erofs_tool(
        "fsck.erofs",
        &[
            preserve.as_ref(),
            "--preserve-perms".as_ref(),
            std::ffi::OsStr::from_bytes(&option),
            image.as_os_str(),
        ],
    );
    let text =
        String::from_utf8_lossy(&output.stderr).into_owned() + &String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success(), "fsck.erofs: {}\n{text}", output.status);
    assert!(!text.contains("<E>") && !text.contains("<W>"), "fsck.erofs complains:\n{text}");
}

/// What a name is, as far as an image keeps it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attributes {
    pub mode: u32,
    pub owner: Option<(u32, u32)>,
    pub mtime: Option<(i64, i64)>,
    pub device: u64,
    pub content: Vec<u8>,
}

pub type Snapshot = BTreeMap<Vec<u8>, Attributes>;

/// All that is at and below `root`. Owners count only where the test may set them.
pub fn snapshot(root: &Path) -> Snapshot {
    let mut found = Snapshot::new();
    visit(root, b"", &mut found);
    found
}

fn visit(path: &Path, name: &[u8], found: &mut Snapshot) {
    let metadata = fs::symlink_metadata(path).expect("a file to compare");
    let kind = metadata.file_type();
    let content = if kind.is_file() {
        fs::read(path).expect("a readable file")
    } else if kind.is_symlink() {
        fs::read_link(path).expect("a link").as_os_str().as_bytes().to_vec()
    } else {
        Vec::new()
    };
    let device = kind.is_char_device() || kind.is_block_device();
    let attributes = Attributes {
        // fsck.erofs sets the owner after the mode, and so loses these two bits; `extract_modes` keeps them.
        mode: metadata.mode() & !0o6000,
        owner: is_root().then_some((metadata.uid(), metadata.gid())),
        // fsck.erofs does not set the times of links.
        mtime: (!kind.is_symlink()).then_some((metadata.mtime(), metadata.mtime_nsec())),
        device: if device { metadata.rdev() } else { 0 },
        content,
    };
    found.insert(name.to_vec(), attributes);
    if kind.is_dir() {
        let mut entries: Vec<_> =
            fs::read_dir(path).expect("a directory").map(|e| e.expect("an entry")).collect();
        entries.sort_by_key(fs::DirEntry::file_name);
        for entry in entries {
            let child = [name, b"/", entry.file_name().as_bytes()].concat();
            visit(&entry.path(), &child, found);
        }
    }
}

/// Fails with the first difference, not with two whole trees.
pub fn assert_same(left: &Snapshot, right: &Snapshot) {
    for (name, attributes) in left {
        let other = right.get(name);
        let shown = name.escape_ascii();
        match other {
            None => panic!("{shown} is missing on the right"),
            Some(other) if other != attributes => {
                let (mut a, mut b) = (attributes.clone(), other.clone());
                assert!(a.content == b.content, "the content of {shown} differs");
                (a.content, b.content) = (Vec::new(), Vec::new());
                assert_eq!(a, b, "{shown} differs");
            }
            Some(_) => {}
        }
    }
    let extra = right.keys().find(|name| !left.contains_key(*name));
    assert!(extra.is_none(), "{} is too much", extra.expect("checked").escape_ascii());
}

/// Has `dump.erofs` tell what `fsck.erofs` does not extract: links, and which names are one inode.
pub fn assert_inodes(image: &Path, tree: &Path, names: &[Vec<u8>]) {
    let mut nodes: BTreeMap<u64, u64> = BTreeMap::new();
    for name in names {
        let path = tree.join(std::ffi::OsStr::from_bytes(name.strip_prefix(b"/").unwrap_or(name)));
        let metadata = fs::symlink_metadata(path).expect("a file to compare");
        let name = if name.is_empty() { b"/" } else { name.as_slice() };
        let option = [b"--path=", name].concat();
        let output = erofs_tool("dump.erofs", &[std::ffi::OsStr::from_bytes(&option), image.as_os_str()]);
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        let field = |label: &str| {
            let value = text.split_once(label).unwrap_or_else(|| panic!("no {label} in: {text}")).1;
            value.trim_start().split([' ', '/', '\n']).next().unwrap_or_default().to_owned()
        };
        let shown = name.escape_ascii();
        assert_eq!(field("Links:"), metadata.nlink().to_string(), "links of {shown}");
        assert_eq!(field("Access:"), format!("{:04o}", metadata.mode() & 0o777), "permissions of {shown}");
        let nid = field("NID:").parse().expect("a node id");
        assert_eq!(*nodes.entry(metadata.ino()).or_insert(nid), nid, "{shown} is not the same inode");
    }
    let distinct: std::collections::BTreeSet<&u64> = nodes.values().collect();
    assert_eq!(distinct.len(), nodes.len(), "two inodes are one");
}

pub fn is_root() -> bool {
    rustix::process::geteuid().is_root()
}

pub fn try_build(source: Source<'_>, image: &Path, options: Options) -> Result<ImageInfo, Error> {
    let mut file = File::create(image).expect("a file for the image");
    build(source, &mut file, options, Box::new(|_| ControlFlow::Continue(())))
}

/// Builds an image and checks what every image must hold: that it opens, and that its digest is that of its content.
pub fn build_image(source: Source<'_>, image: &Path, options: Options) -> ImageInfo {
    let info = try_build(source, image, options).expect("an image");
    assert_eq!(fs::metadata(image).expect("the image").len(), info.bytes);
    let opened = Image::open(File::open(image).expect("the image")).expect("a sound image");
    assert_eq!((opened.bytes(), opened.inodes()), (info.bytes, info.inodes));
    let limits = Limits::default();
    assert_eq!(opened.digest(&limits).expect("a digest"), info.digest);
    opened.verify(&limits).expect("a UUID that stands for the content");
    info
}

/// Builds an image of a directory, extracts it and compares. Returns what was built.
pub fn round_trip(directory: &Path, scratch: &Path) -> ImageInfo {
    let image = scratch.join("image");
    let info = build_image(Source::Directory(directory.to_owned()), &image, Options::default());
    let extracted = scratch.join("extracted");
    extract(&image, &extracted);
    let before = snapshot(directory);
    assert_same(&before, &snapshot(&extracted));
    // A process for each name: for the first few.
    let names: Vec<Vec<u8>> = before.into_keys().filter(|name| name.len() < 200).take(10).collect();
    assert_inodes(&image, directory, &names);
    fs::remove_dir_all(&extracted).expect("what was extracted");
    info
}

pub fn set_mtime(path: &Path, time: Time) {
    use rustix::fs::{AtFlags, CWD, Timespec, Timestamps};
    let time = Timespec { tv_sec: time.seconds, tv_nsec: i64::from(time.nanoseconds) };
    let times = Timestamps { last_access: time, last_modification: time };
    rustix::fs::utimensat(CWD, path, &times, AtFlags::SYMLINK_NOFOLLOW).expect("a settable time");
}

/// Sets the times of a whole tree, directories after what is in them.
pub fn set_all_mtimes(path: &Path, time: Time) {
    if fs::symlink_metadata(path).expect("a file").is_dir() {
        for entry in fs::read_dir(path).expect("a directory") {
            set_all_mtimes(&entry.expect("an entry").path(), time);
        }
    }
    set_mtime(path, time);
}
