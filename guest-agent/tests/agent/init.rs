//! The agent as PID 1, in namespaces of its own.

use crate::client::*;
use ampoule_protocol::*;
use std::process::Command;
use std::time::{Duration, Instant};

/// An agent that is PID 1. Without `/proc` and the rest, as a stock kernel starts it, unless `mounted`.
fn init(setup: &str) -> Guest {
    let mut command = Command::new("unshare");
    let script = format!("{setup}; exec \"$@\"");
    command.args(["--pid", "--mount", "--fork", "--propagation", "private", "/bin/sh", "-c", &script, "sh"]);
    command.arg(agent_binary());
    Guest::start_with(command)
}

#[test]
fn it_mounts_what_is_missing() {
    let mut guest = init("mount -t tmpfs none /proc; mount -t tmpfs none /dev; mount -t tmpfs none /sys");
    let pid =
        guest.launch(sh(1, "echo $$; ls /proc/1/exe; ls -d /sys/kernel; stat -f -c %T /dev/shm /dev/pts"));
    let output = guest.finish(job(1), Some(b""));
    assert_eq!(output.text(), format!("{pid}\n/proc/1/exe\n/sys/kernel\ntmpfs\ndevpts\n"));
    let mut start = sh(1, "echo x > /dev/null; test -c /dev/ptmx && test -e /dev/stdin && tty");
    start.stdio = Stdio::Tty(TtySize { rows: 1, cols: 1 });
    assert_eq!(guest.run(start, b"").text(), "/dev/pts/0\r\n");
}

#[test]
fn a_job_cannot_kill_it() {
    let mut guest = init("mount -t proc none /proc");
    guest.launch(command(2, &["/bin/sleep", "100"]));
    guest.launch(sh(1, "kill -9 1; kill -15 1; kill -2 1; kill -9 -1; kill -9 $$"));
    // The other job is hit as well.
    for _ in 0..2 {
        let status = guest.until(|message| match message {
            GuestMessage::Exited(end) => Some(end.status),
            _ => None,
        });
        assert_eq!(status, Status::Signal { signo: 9, core: false });
    }
    assert_eq!(guest.sh("echo alive").text(), "alive\n");
}

#[test]
fn it_reaps_orphans() {
    let mut guest = init("mount -t proc none /proc");
    let script = "for i in $(seq 50); do (setsid sh -c 'exit 1' &); done; sleep 0.1; cat /proc/[0-9]*/stat";
    let output = guest.sh(script);
    // PID 1, the shell and cat.
    assert_eq!(output.text().lines().filter(|line| line.contains(") Z ")).count(), 0, "{}", output.text());
}

#[test]
fn its_end_is_the_end_of_all() {
    for clean in [true, false] {
        let mut guest = init("mount -t proc none /proc");
        let output = guest.sh("setsid sleep 4321 > /dev/null 2>&1 & sleep 0.1");
        assert_eq!(output.status(), Status::Code(0));
        assert_eq!(sleepers(), 1);
        let start = Instant::now();
        if clean {
            guest.send(&HostMessage::Shutdown { grace_ms: 10 });
            guest.until(|message| matches!(message, GuestMessage::Bye(ByeReason::Shutdown)).then_some(()));
        }
        guest.stream.shutdown(std::net::Shutdown::Both).unwrap();
        guest.exit();
        assert!(start.elapsed() < Duration::from_secs(3));
        eventually(|| (sleepers() == 0).then_some(()));
    }
}

fn sleepers() -> usize {
    let output = Command::new("pgrep").args(["-cfx", "sleep 4321"]).output().unwrap();
    String::from_utf8(output.stdout).unwrap().trim().parse().unwrap()
}

#[test]
fn it_starts_without_standard_files() {
    let mut command = Command::new("/bin/sh");
    command.args(["-c", "exec \"$@\" 1>&- 2>&-", "sh"]).arg(agent_binary());
    let mut guest = Guest::start_with(command);
    let output = guest.sh("echo out; echo err >&2; cat");
    assert_eq!((output.text(), output.stderr.as_slice()), ("out\n", &b"err\n"[..]));
}

#[test]
fn kills_for_want_of_memory_are_told_of_jobs_that_were_killed() {
    let directory = tempfile::tempdir().unwrap();
    let vmstat = directory.path().join("vmstat");
    std::fs::write(&vmstat, "nr_free_pages 7\noom_kill 3\n").unwrap();
    let mut guest =
        init(&format!("mount -t proc none /proc; mount --bind {} /proc/vmstat", vmstat.display()));
    let mut kills = |script: &str| guest.sh(script).exited.unwrap().oom_kills;
    assert_eq!(kills("exit 137"), 0);
    assert_eq!(kills("kill -15 $$"), 0);
    // PID 1 came up with the machine, so the kills before its first look are not older than it.
    assert_eq!(kills("kill -9 $$"), 3);
    assert_eq!(kills("kill -9 $$"), 0);
    assert_eq!(kills("echo 'oom_kill 5' > /proc/vmstat; kill -9 $$"), 2);
    assert_eq!(kills("echo 'oom_kill many' > /proc/vmstat; kill -9 $$"), 0);
}

#[test]
fn jobs_cannot_make_it_wait_for_a_file() {
    let mut guest =
        init("mount -t proc none /proc; mkfifo /dev/shm/never; mount --bind /dev/shm/never /proc/vmstat");
    let output = guest.sh("rm /dev/shm/never; kill -9 $$");
    assert_eq!(
        (output.status(), output.exited.unwrap().oom_kills),
        (Status::Signal { signo: 9, core: false }, 0)
    );
    assert_eq!(guest.sh("echo alive").text(), "alive\n");
}
