//! Stock Linux kernels: their store, and where they are refused.

use crate::write;
use ampoule_tests::image::Tree;
use ampoule_tests::{BUSYBOX, Program};
use std::fs;
use std::path::{Path, PathBuf};

/// A boot image of Linux's format around an ELF file that is no kernel.
fn boot_image(directory: &Path) -> PathBuf {
    let payload = b"\x7fELF, and no more";
    let mut image = vec![0; 1024];
    image[0x1f1] = 1;
    image[0x202..0x208].copy_from_slice(b"HdrS\x0f\x02");
    image[0x24c..0x250].copy_from_slice(&u32::try_from(payload.len()).unwrap().to_le_bytes());
    image.extend(payload);
    write(directory, "vmlinuz-test", image)
}

#[test]
fn kernels_are_imported_listed_and_removed() {
    let directory = tempfile::tempdir().unwrap();
    let image = boot_image(directory.path());
    let ampoule = |args: &[&str]| Program::ampoule(args).env("XDG_DATA_HOME", directory.path()).run();
    let out = ampoule(&["kernel", "import", image.to_str().unwrap(), "--name", "mine"]).succeeded();
    assert!(out.starts_with("mine: Linux test, "), "{out}");
    let stored = fs::read(directory.path().join("ampoule/kernels/mine/vmlinux")).unwrap();
    assert_eq!(stored, b"\x7fELF, and no more");
    let listed: serde_json::Value =
        serde_json::from_str(&ampoule(&["kernel", "list", "--json"]).succeeded()).unwrap();
    assert_eq!(listed["kernels"][0]["name"], "mine");
    assert_eq!(listed["kernels"][0]["release"], "test");
    ampoule(&["kernel", "remove", "mine"]).succeeded();
    ampoule(&["kernel", "remove", "mine"]).failed(1, &["there is no kernel mine"]);
    let text = write(directory.path(), "text", "no kernel");
    ampoule(&["kernel", "import", text.to_str().unwrap()]).failed(1, &["neither an ELF kernel"]);
    ampoule(&["kernel", "import", image.to_str().unwrap(), "--name", "../x"])
        .failed(1, &["no name for a kernel"]);
}

/// Whether this host emulates ring 0.
fn is_software_kvm() -> bool {
    Program::ampoule(["doctor"]).run().out().contains("software KVM")
}

#[test]
fn a_linux_guest_is_refused_where_kvm_is_software_and_else_tried() {
    let directory = tempfile::tempdir().unwrap();
    let image = boot_image(directory.path());
    let words: &[&str] = match is_software_kvm() {
        true => &["needs hardware KVM", "--kernel ampoule"],
        false => &["the kernel is not usable"],
    };
    Program::sandbox(["--kernel", image.to_str().unwrap(), "--", "true"]).run().failed(125, words);
}

/// Puts an image that asks for this kernel into a directory.
fn image_asking_for(kernel: &str, directory: &Path) -> PathBuf {
    let (tree, image) = (directory.join("tree"), directory.join(format!("{kernel}.img")));
    Tree::new(&tree).file(Path::new(BUSYBOX), "/bin/busybox");
    let args =
        ["image", "build", tree.to_str().unwrap(), "--output", image.to_str().unwrap(), "--kernel", kernel];
    Program::ampoule(args).run().succeeded();
    image
}

#[test]
fn an_image_may_name_its_kernel() {
    let directory = tempfile::tempdir().unwrap();
    let image = image_asking_for("debian", directory.path());
    let image = image.to_str().unwrap();
    let inspected = Program::ampoule(["image", "inspect", image, "--json"]).run().succeeded();
    let inspected: serde_json::Value = serde_json::from_str(&inspected).unwrap();
    assert_eq!((&inspected["kernel"], &inspected["verified"]), (&"debian".into(), &true.into()));
    let run = |options: &[&str]| {
        let mut args = vec!["--image", image];
        args.extend(options);
        args.extend(["--", "/bin/busybox", "test", "-e", "/proc/ampoule/boot"]);
        Program::sandbox(args).env("XDG_DATA_HOME", directory.path()).run()
    };
    let words: &[&str] = match is_software_kvm() {
        true => &["the Linux kernel debian, which the image asks for, needs hardware KVM"],
        false => &["the image asks for the kernel debian, which is not in the local store", "--name debian"],
    };
    run(&[]).failed(125, words);
    run(&["--kernel", "auto"]).failed(125, words);
    // The user has the last word.
    assert_eq!(run(&["--kernel", "ampoule"]).code(), 0);
}

#[test]
fn an_image_may_name_the_built_in_kernel() {
    let directory = tempfile::tempdir().unwrap();
    let image = image_asking_for("ampoule", directory.path());
    let args = ["--image", image.to_str().unwrap(), "--", "/bin/busybox", "test", "-e", "/proc/ampoule/boot"];
    assert_eq!(Program::sandbox(args).run().code(), 0);
}

#[test]
fn an_image_names_no_path() {
    let directory = tempfile::tempdir().unwrap();
    let tree = directory.path().to_str().unwrap();
    for name in ["../x", "/boot/vmlinuz", "", "much-too-long-a-name"] {
        let image = directory.path().join("image");
        let args = ["image", "build", tree, "--output", image.to_str().unwrap(), "--kernel", name];
        let ended = Program::ampoule(args).run();
        assert_eq!(ended.code(), 2);
        assert!(ended.err().contains("the name of an image's kernel"), "{}", ended.err());
        assert!(!image.exists());
    }
}

#[test]
fn auto_is_the_built_in_kernel() {
    for kernel in ["auto", "ampoule"] {
        let args = ["--kernel", kernel, "--", "test", "-e", "/proc/ampoule/boot"];
        assert_eq!(Program::sandbox(args).run().code(), 0, "{kernel}");
    }
    Program::sandbox(["--kernel", "nowhere", "--", "true"])
        .run()
        .failed(125, &["there is no kernel nowhere"]);
}
