//! Jobs that take all they can get, and files that come out of a guest.

use crate::siege::under_siege;
use ampoule_tests::{Ended, Program};
use std::fs;
use std::os::unix::fs::{MetadataExt, symlink};
use std::path::Path;

/// Runs a script in 64 MiB, under siege.
fn script(timeout: &str, script: &str) -> Ended {
    under_siege(Program::sandbox(["-m", "64M", "--timeout", timeout, "--", "sh", "-c", script]), 64)
}

#[test]
fn processes_memory_disk_and_files_without_end() {
    // The job's own shell forks once, before there is a bomb: one whose fork is refused would end with an error.
    let bomb = "exec 2>/dev/null; f() { f | f & f; }; f & while :; do :; done";
    script("2s", bomb).failed(124, &["the time was up after 2 s"]);
    let hog = "exec awk 'BEGIN { while (1) a[i++] = i \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\" }'";
    script("60s", hog).failed(137, &["the guest ran out of memory (64 MiB; see --memory)"]);
    let fill = "dd if=/dev/zero of=/tmp/x bs=1M 2>/dev/null; i=0; \
                while true > /tmp/$i; do i=$((i + 1)); done 2>/dev/null; exit 7";
    let ended = script("3s", fill);
    assert!([7, 124].contains(&ended.code()), "{}: {}", ended.code(), ended.err());
}

#[test]
fn output_without_end() {
    let ended = script("2s", "yes > /dev/stderr & exec yes 'flood' | head -c 20000000 > /dev/kmsg");
    assert_eq!(ended.code(), 124, "{}", ended.err());
}

/// Takes what a script has made at `/out` in the guest to `target/taken`.
fn take(target: &Path, script: &str) -> Ended {
    let output = format!("/out:{}", target.join("taken").display());
    let policy = target.join("policy");
    fs::write(&policy, "[limits]\noutput_file_mib = 1\n").expect("a policy");
    let args = ["--timeout", "60s", "--output", &output, "--policy"].map(String::from);
    Program::sandbox(args).args([policy.as_os_str()]).args(["--", "sh", "-c", script]).run()
}

#[test]
fn files_that_are_not_what_they_seem() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let taken = directory.path().join("taken");
    for (what, script) in [
        ("a directory", "mkdir /out"),
        ("a pipe", "mkfifo /out"),
        ("a device without end", "ln -s /dev/zero /out"),
        ("a link to itself", "ln -s out /out"),
        ("a sparse giant", "truncate -s 1000000000000 /out"),
        ("a giant", "head -c 2000000 /dev/zero > /out"),
        ("nothing", "true"),
    ] {
        let ended = take(directory.path(), script);
        assert_eq!(ended.code(), 125, "{what}: {}", ended.err());
        assert!(
            ended.err().starts_with("ampoule: ") && ended.err().contains("/out"),
            "{what}: {}",
            ended.err()
        );
        assert_eq!(
            ended.err().contains("is larger than 1 MiB"),
            what.contains("giant"),
            "{what}: {}",
            ended.err()
        );
        assert!(!taken.exists(), "{what} was taken");
    }
    // A link in the guest leads to what the guest has there, not to what the host has.
    let secret = directory.path().join("secret");
    fs::write(&secret, "of the host").expect("a file");
    let ended = take(directory.path(), &format!("ln -s {} /out", secret.display()));
    assert_eq!(ended.code(), 125, "{}", ended.err());
    assert_eq!(take(directory.path(), "echo x > /x; ln /x /out; chmod 6777 /out").code(), 0);
    let metadata = fs::metadata(&taken).expect("the file");
    assert_eq!((metadata.nlink(), metadata.mode() & 0o6022), (1, 0), "no set-id bits, not for all to write");
    // A link of the host is replaced, not followed.
    fs::remove_file(&taken).expect("the file");
    symlink(&secret, &taken).expect("a link");
    assert_eq!(take(directory.path(), "echo theirs > /out").code(), 0);
    assert_eq!(fs::read_to_string(&secret).expect("a file"), "of the host");
    assert!(!fs::symlink_metadata(&taken).expect("the file").is_symlink());
}
