//! Guest kernels and jobs that break the guest: the host ends it in bounded time and says why.

use crate::write;
use ampoule_tests::Program;
use std::path::{Path, PathBuf};
use std::time::Duration;

/// Builds a kernel that does what this macro stands for in `kernel.S`.
fn kernel(directory: &Path, case: &str) -> PathBuf {
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("system/kernel.S");
    let path = directory.join("kernel");
    let cc =
        Program::new("cc").args(["-nostdlib", "-static", "-no-pie", "-Wl,-Ttext=0x100000,--build-id=none"]);
    cc.args(["-Wl,-z,noexecstack,-N,--no-warn-rwx-segments", &format!("-D{case}"), "-o"])
        .args([&path, &source])
        .run()
        .succeeded();
    path
}

/// What becomes of a guest with this kernel, which is given a second to come up.
fn boot(case: &str, words: &[&str]) {
    let directory = tempfile::tempdir().unwrap();
    let policy = write(directory.path(), "policy", "[deadlines]\nboot_ms = 1000\n");
    let kernel = kernel(directory.path(), case);
    let args =
        ["--policy".as_ref(), policy.as_os_str(), "--kernel".as_ref(), kernel.as_os_str(), "true".as_ref()];
    let ended = Program::sandbox(args).run();
    ended.failed(125, words);
    assert!(ended.took < Duration::from_secs(15), "{:?}", ended.took);
}

#[test]
fn a_kernel_that_panics() {
    boot("END=2", &["the guest kernel panicked", "| oh dear"]);
}

#[test]
fn a_kernel_that_crashes() {
    boot("TRIPLE_FAULT", &["triple fault", "| oh dear"]);
}

#[test]
fn a_kernel_that_ends_at_once() {
    boot("END=0", &["the guest powered off before the command ended"]);
    boot("END=1", &["the guest asked for a reset"]);
    boot("END=3", &["the guest ran out of memory"]);
}

#[test]
fn a_kernel_that_never_gets_anywhere() {
    boot("SPIN", &["the guest did not come up within 1 s", "| oh dear"]);
    boot("HALT", &["the guest did not come up within 1 s", "| oh dear"]);
}

#[test]
fn a_kernel_that_never_stops_talking() {
    boot("CHATTER", &["the guest did not come up within 1 s", "| oh dear"]);
}

#[test]
fn the_agent_cannot_be_killed_or_stopped() {
    let script =
        "for s in KILL STOP SEGV TERM INT TSTP; do kill -$s 1; done; sleep 100 & kill -9 -1; echo alive";
    let ended = Program::sandbox(["--timeout", "20s", "--", "sh", "-c", script]).run();
    assert_eq!((ended.code(), ended.out().as_str()), (0, "alive\n"), "{}", ended.err());
}

#[test]
fn a_command_that_ends_the_guest_is_told() {
    for (command, words) in [("poweroff", "the guest powered off"), ("reboot", "the guest asked for a reset")]
    {
        let script = format!("echo before; {command} -f; sleep 60");
        let ended = Program::sandbox(["--timeout", "20s", "--", "sh", "-c", &script]).run();
        ended.failed(125, &[words]);
        assert_eq!(ended.out(), "before\n");
    }
}

#[test]
fn processes_that_the_command_leaves_do_not_hold_it_up() {
    let ended =
        Program::script("(trap '' TERM HUP; while :; do :; done) > /dev/null 2>&1 & echo done; exit 3").run();
    assert_eq!((ended.code(), ended.out().as_str()), (3, "done\n"));
    assert!(ended.took < Duration::from_secs(20), "{:?}", ended.took);
}

#[test]
fn devices_and_kernel_files_may_be_written_at_random() {
    let script = "for f in /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/shm /dev/kmsg \
                  /proc/* /proc/1/* /proc/self/* /proc/sys/*/* /sys/*; do \
                  test -f $f -o -c $f || continue; \
                  head -c 100 /dev/urandom > $f; timeout 1 head -c 5000 $f > /dev/null; done; echo alive >&3";
    let script = format!("exec 3>&1; ({script}) > /dev/null 2>&1");
    let ended = Program::sandbox(["--timeout", "50s", "--", "sh", "-c", &script]).run();
    assert_eq!((ended.code(), ended.out().as_str()), (0, "alive\n"), "{}", ended.err());
}
