//! Kernels that attack the VMM. Each comes to its end, says so, and the VM ends with its own error.

use crate::siege::under_siege;
use ampoule_tests::{Ended, Program};
use std::ffi::OsString;
use std::fs;
use std::path::{Path, PathBuf};

/// Guest memory in MiB that `attacks.c` counts on.
const MEMORY: u64 = 32;

/// The most that one attack may make the CLI print, unless it was asked for the kernel's log.
const PRINTED_LIMIT: usize = 8 << 10;

/// Builds a kernel that does one attack.
pub fn kernel(directory: &Path, attack: &str, defines: &[String]) -> PathBuf {
    let here = Path::new(env!("CARGO_MANIFEST_DIR")).join("isolation");
    let guest = Path::new(env!("CARGO_MANIFEST_DIR")).join("../runtime/vmm/tests/guest");
    let path = directory.join("kernel");
    Program::new("cc")
        .args("-Os -w -ffreestanding -fno-pic -no-pie -nostdlib -static -ffunction-sections".split(' '))
        .args("-mno-red-zone -mgeneral-regs-only -fno-stack-protector -fcf-protection=none".split(' '))
        .args(
            "-Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -Wl,--gc-sections".split(' '),
        )
        .args([format!("-DATTACK={attack}")])
        .args(defines)
        .args(["-I".as_ref(), guest.as_os_str(), "-Wl,-T".as_ref(), guest.join("guest.ld").as_os_str()])
        .args(["-o".as_ref(), path.as_os_str()])
        .args([guest.join("start.S"), here.join("attacks.c")])
        .run()
        .succeeded();
    path
}

/// Boots that kernel, with these arguments on top, and so long to come up.
pub fn boot(attack: &str, defines: &[String], boot_ms: u32, args: &[OsString]) -> Ended {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let kernel = kernel(directory.path(), attack, defines);
    let policy = directory.path().join("policy");
    fs::write(&policy, format!("[deadlines]\nboot_ms = {boot_ms}\nanswer_ms = 2000\n")).expect("a policy");
    let program = Program::sandbox(["-m", "32M", "--kernel"])
        .args([kernel.as_os_str(), "--policy".as_ref(), policy.as_os_str()])
        .args(args)
        .args(["--", "true"]);
    let ended = under_siege(program, MEMORY);
    let printed = ended.stdout.len() + ended.stderr.len();
    assert!(printed < PRINTED_LIMIT || args.contains(&"--console".into()), "{printed} bytes were printed");
    ended
}

/// The attack is over, the VMM lives, and the guest was ended by itself.
fn survives(attack: &str) {
    let ended = boot(attack, &[], 60_000, &[]);
    ended.failed(125, &["the guest kernel panicked", "survived"]);
}

#[test]
fn every_register_in_every_state() {
    survives("registers");
}

#[test]
fn queues_anywhere_of_any_size() {
    survives("layouts");
}

#[test]
fn descriptors_that_lie() {
    survives("descriptors");
}

#[test]
fn packets_that_lie() {
    survives("headers");
}

#[test]
fn thousands_of_connections() {
    survives("connections");
}

#[test]
fn floods_of_doorbells_and_resets() {
    survives("doorbells");
}

#[test]
fn abuse_of_the_pv_page() {
    survives("pv");
}

#[test]
fn memory_and_ports_that_are_not_there() {
    survives("nowhere");
}

#[test]
fn floods_of_the_log() {
    let ended = boot("chatter", &[], 60_000, &[]);
    ended.failed(125, &["the guest kernel panicked"]);
    // Somebody watches: what is too much for the reader is left out, and said to be.
    let ended = boot("chatter", &[], 60_000, &["--console".into()]);
    assert_eq!(ended.code(), 125, "{}", ended.err());
    assert!(ended.err().contains("bytes of the log are lost]"), "nothing was left out");
    assert!(ended.err().contains("ampoule: the guest kernel panicked"), "{}", ended.err());
}

#[test]
fn a_crash_and_a_vcpu_that_spins() {
    boot("crash", &[], 60_000, &[]).failed(125, &["the guest kernel crashed with a triple fault"]);
    boot("spin", &[], 1000, &[]).failed(125, &["the guest did not come up within 1 s", "| spinning"]);
}

#[test]
fn writes_to_the_root_image() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (tree, image) = (directory.path().join("tree"), directory.path().join("image"));
    fs::create_dir_all(tree.join("bin")).expect("a tree");
    fs::copy(ampoule_tests::BUSYBOX, tree.join("bin/busybox")).expect("busybox-static is installed");
    Program::ampoule(["image", "build"])
        .args([tree.as_os_str(), "--output".as_ref(), image.as_os_str()])
        .run()
        .succeeded();
    let before = fs::read(&image).expect("the image");
    boot("image", &[], 60_000, &["--image".into(), image.clone().into()])
        .failed(125, &["the guest kernel panicked", "survived"]);
    assert!(fs::read(&image).expect("the image") == before, "the guest changed the host's file");
    let sum = Program::sandbox(["--image".as_ref(), image.as_os_str()])
        .args(["--", "/bin/busybox", "sha256sum", "/bin/busybox"])
        .run()
        .succeeded();
    let expected = Program::new("sha256sum").args([ampoule_tests::BUSYBOX]).run().succeeded();
    assert_eq!(sum.split(' ').next(), expected.split(' ').next());
}
