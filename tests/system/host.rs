//! The host's side: machines without KVM or the right to it, `doctor`, images.

use crate::write;
use ampoule_tests::{BUSYBOX, Program, binary, need};
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::os::unix::process::CommandExt;
use std::path::Path;

#[test]
fn doctor_says_that_this_machine_will_do() {
    let out = Program::ampoule(["doctor"]).run().succeeded();
    assert!(out.contains("/dev/kvm") && out.ends_with("microVMs run here\n"), "{out}");
    let report: serde_json::Value =
        serde_json::from_str(&Program::ampoule(["doctor", "--json"]).run().succeeded()).unwrap();
    assert!(report.is_object(), "{report}");
}

#[test]
fn who_may_not_open_kvm_is_told_what_to_do() {
    // Only root can become somebody who has no right to it.
    if !rustix::process::geteuid().is_root() {
        return assert_eq!(Program::sandbox(["--", "true"]).run().code(), 0);
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = directory.path().join("ampoule");
    fs::copy(binary::ampoule(), &copy).unwrap();
    let nobody = |args: &[&str]| {
        let program = Program::new(&copy).args(args).cwd(Path::new("/"));
        program
            .command(|command| {
                command.uid(65534).gid(65534);
            })
            .run()
    };
    if fs::metadata("/dev/kvm").unwrap().permissions().mode() & 0o6 == 0o6 {
        return assert_eq!(nobody(&["run", "--", "true"]).code(), 0);
    }
    nobody(&["run", "--", "true"]).failed(125, &["no permission to open /dev/kvm", "root"]);
    let doctor = nobody(&["doctor"]);
    assert_eq!(doctor.code(), 1);
    assert!(doctor.out().contains("/dev/kvm"), "{}", doctor.out());
}

#[test]
fn a_machine_without_kvm_is_told() {
    for (hide, words) in
        [("mount -t tmpfs none /dev", "there is no /dev/kvm"), ("mount --bind /dev/null /dev/kvm", "KVM")]
    {
        need("unshare", "util-linux");
        let user: &[&str] =
            if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
        let script = format!("{hide} && exec \"$0\" run -- true");
        let ended = Program::new("unshare")
            .args(user)
            .args(["--mount", "sh", "-c", &script])
            .args([binary::ampoule()])
            .run();
        ended.failed(125, &[words]);
    }
}

/// A small root directory with a shell.
fn root(directory: &Path) -> std::path::PathBuf {
    let root = directory.join("root");
    fs::create_dir_all(root.join("bin")).unwrap();
    fs::copy(BUSYBOX, root.join("bin/busybox")).unwrap();
    for applet in ["sh", "cat", "ls"] {
        symlink("busybox", root.join("bin").join(applet)).unwrap();
    }
    write(&root, "hello", "from the image\n");
    root
}

fn hello(image: &str) -> String {
    Program::sandbox(["--image", image, "--", "cat", "/hello"]).run().succeeded()
}

#[test]
fn a_directory_is_an_image() {
    let directory = tempfile::tempdir().unwrap();
    let root = root(directory.path());
    assert_eq!(hello(root.to_str().unwrap()), "from the image\n");
    let script = "echo changed > /hello; cat /hello";
    let ended = Program::sandbox(["--image", root.to_str().unwrap(), "--", "sh", "-c", script]).run();
    assert_eq!(ended.succeeded(), "changed\n");
    assert_eq!(fs::read_to_string(root.join("hello")).unwrap(), "from the image\n");
}

#[test]
fn images_are_built_from_directories_and_archives() {
    let directory = tempfile::tempdir().unwrap();
    let root = root(directory.path());
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    for (flag, name) in [("-cf", "root.tar"), ("-czf", "root.tar.gz")] {
        let tar = Program::new("tar").args([flag, &path(name), "-C"]).args([&root]).args(["."]);
        tar.run().succeeded();
    }
    for source in ["root", "root.tar", "root.tar.gz"] {
        let image = path(&format!("{source}.erofs"));
        let ended = Program::ampoule(["image", "build", &path(source), "-o", &image]).run();
        assert_eq!(ended.code(), 0, "{source}: {}", ended.err());
        assert_eq!(hello(&image), "from the image\n", "{source}");
    }
}

#[test]
fn the_store_keeps_images_by_name() {
    let directory = tempfile::tempdir().unwrap();
    let root = root(directory.path());
    let ampoule = |args: &[&str]| Program::ampoule(args).env("XDG_DATA_HOME", directory.path()).run();
    assert_eq!(ampoule(&["image", "build", root.to_str().unwrap(), "--name", "mine"]).code(), 0);
    assert!(ampoule(&["image", "list"]).succeeded().contains("mine"));
    assert_eq!(ampoule(&["run", "--image", "mine", "--", "cat", "/hello"]).succeeded(), "from the image\n");
    assert_eq!(ampoule(&["image", "rm", "mine"]).code(), 0);
    ampoule(&["run", "--image", "mine", "--", "true"]).failed(125, &["there is no image mine"]);
    assert_ne!(ampoule(&["image", "rm", "mine"]).code(), 0);
}

#[test]
fn what_messages_quote_does_not_control_the_terminal() {
    let directory = tempfile::tempdir().unwrap();
    let package = directory.path().join("hostile.deb");
    // A header of `ar` whose length is no number, as the message says.
    let header = format!("!<arch>\n{:<48}{:<10}`\n", "data.tar/", "\u{1b}[2J");
    fs::write(&package, header).unwrap();
    let image = Program::sandbox(["--image", "no\u{1b}[2Jsuch", "--", "true"]).run();
    let kernel = Program::ampoule(["kernel", "import", package.to_str().unwrap(), "--name", "x"])
        .env("XDG_DATA_HOME", directory.path())
        .run();
    for (ended, words) in [(image, "no\\u{1b}[2Jsuch"), (kernel, "hostile.deb is no Debian package")] {
        assert_ne!(ended.code(), 0);
        assert!(ended.err().contains(words) && !ended.err().contains('\u{1b}'), "{:?}", ended.err());
    }
}

#[test]
fn archives_that_are_none_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let junk = write(directory.path(), "junk.tar", crate::noise(10_000));
    let out = directory.path().join("out");
    let ended =
        Program::ampoule(["image", "build", junk.to_str().unwrap(), "-o", out.to_str().unwrap()]).run();
    ended.failed(1, &["junk.tar"]);
    assert!(!out.exists(), "half an image is left");
}
