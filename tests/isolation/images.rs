//! Trees and archives that become images: what is in them stays in them.

use ampoule_tests::{Ended, Program};
use std::fs::{self, File};
use std::os::unix::fs::symlink;
use std::os::unix::net::UnixListener;
use std::path::Path;

/// Builds an image of this source, in at most so many KiB of address space.
fn build(source: &Path, image: &Path) -> Ended {
    let script = "ulimit -v 1500000; exec \"$0\" image build \"$1\" --output \"$2\"";
    Program::new("sh").args(["-c", script]).args([ampoule_tests::binary::ampoule(), source, image]).run()
}

/// A member of an archive (POSIX ustar): its header, with the length that it claims, and what really follows.
fn member(name: &str, kind: u8, target: &str, claimed: &str, content: &[u8]) -> Vec<u8> {
    let mut header = vec![0u8; 512];
    header[..name.len()].copy_from_slice(name.as_bytes());
    header[100..107].copy_from_slice(b"0000644");
    header[124..124 + claimed.len()].copy_from_slice(claimed.as_bytes());
    header[156] = kind;
    header[157..157 + target.len()].copy_from_slice(target.as_bytes());
    header[257..265].copy_from_slice(b"ustar\x0000");
    header[148..156].fill(b' ');
    let sum: u32 = header.iter().map(|&byte| u32::from(byte)).sum();
    header[148..155].copy_from_slice(format!("{sum:06o}\0").as_bytes());
    header.extend_from_slice(content);
    header.resize(header.len().next_multiple_of(512), 0);
    header
}

fn archive(members: &[Vec<u8>]) -> Vec<u8> {
    let mut bytes = members.concat();
    bytes.resize(bytes.len() + 1024, 0);
    bytes
}

#[test]
fn archives_that_lead_elsewhere_or_lie() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (source, image) = (directory.path().join("source.tar"), directory.path().join("image"));
    let file = |name: &str| member(name, b'0', "", "00000000003", b"abc");
    let link = |target: &str| member("link", b'2', target, "00000000000", b"");
    for (members, words) in [
        (vec![file("../escape")], "\"..\" component"),
        (vec![file("a/../../escape")], "\"..\" component"),
        (vec![link("/etc"), file("link/passwd")], "not a directory"),
        (vec![link(".."), file("link/escape")], "not a directory"),
        (vec![member("hard", b'1', "/etc/passwd", "00000000000", b"")], "cannot link hard"),
        (vec![member("hard", b'1', "../../etc/passwd", "00000000000", b"")], ""),
        (vec![member("long", b'0', "", "77777777777", b"abc")], ""),
        (vec![member("long", b'0', "", "zzzzzzzzzzz", b"abc")], "not a valid tar archive"),
    ] {
        fs::write(&source, archive(&members)).expect("an archive");
        build(&source, &image).failed(1, &[words]);
        assert!(!image.exists(), "{words}: an image was made");
        assert!(!directory.path().join("escape").exists() && !directory.path().join("../escape").exists());
    }
}

#[test]
fn giants_without_content_and_devices() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (tree, image) = (directory.path().join("tree"), directory.path().join("image"));
    fs::create_dir(&tree).expect("a tree");
    File::create(tree.join("sparse")).and_then(|file| file.set_len(1 << 40)).expect("a sparse file");
    build(&tree, &image).failed(1, &["the source has more than"]);
    assert!(!image.exists(), "an image was made");
    fs::remove_file(tree.join("sparse")).expect("the sparse file");
    // Links and pipes are taken as what they are: nothing is followed, opened or waited for.
    symlink("/etc/passwd", tree.join("link")).expect("a link");
    symlink("/", tree.join("root")).expect("a link");
    Program::new("mkfifo").args([tree.join("pipe")]).run().succeeded();
    let _listener = UnixListener::bind(tree.join("socket")).expect("a socket");
    let is_root = rustix::process::geteuid().is_root();
    if is_root {
        Program::new("mknod").args([tree.join("zero")]).args(["c", "1", "5"]).run().succeeded();
    }
    fs::create_dir(tree.join("bin")).expect("a directory");
    fs::copy(ampoule_tests::BUSYBOX, tree.join("bin/busybox")).expect("busybox-static is installed");
    assert_eq!(build(&tree, &image).code(), 0);
    let script = "readlink /link; readlink /root; test -p /pipe && echo pipe; test -S /socket && echo socket; \
         test -c /zero && echo device; test -e /link || echo nothing there";
    let out = Program::sandbox(["--image".as_ref(), image.as_os_str()])
        .args(["--", "/bin/busybox", "sh", "-c", script])
        .run()
        .succeeded();
    let device = if is_root { "device\n" } else { "" };
    assert_eq!(out, format!("/etc/passwd\n/\npipe\nsocket\n{device}nothing there\n"));
}
