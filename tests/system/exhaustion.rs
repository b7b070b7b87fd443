//! Guests that take all they can get: the guest feels it, the host does not.

use ampoule_tests::Program;
use std::fs;
use std::path::Path;
use std::time::Duration;

/// Takes all memory that there is, in small steps.
const HOG: &str = "BEGIN { while (1) a[i++] = i \"xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx\" }";

#[test]
fn memory_that_runs_out_kills_the_command() {
    let ended = Program::sandbox(["-m", "64M", "--", "awk", HOG]).run();
    ended.failed(137, &["the guest ran out of memory (64 MiB; see --memory)"]);
}

#[test]
fn a_child_that_takes_all_memory_is_the_one_that_goes() {
    let script = format!("awk '{HOG}'; echo $?; echo alive");
    let ended = Program::sandbox(["-m", "64M", "--", "sh", "-c", &script]).run();
    assert_eq!((ended.code(), ended.out().as_str()), (0, "137\nalive\n"), "{}", ended.err());
}

/// The shell that is the job forks once, before there is a bomb: a shell whose own fork is refused ends with an error, as it
/// does on Linux.
#[test]
fn a_fork_bomb_ends_with_its_time() {
    let script = "f() { f | f & f; }; f & while :; do :; done";
    let ended = Program::sandbox(["-m", "64M", "--timeout", "1s", "--", "sh", "-c", script]).run();
    assert_eq!(ended.code(), 124, "{}", ended.err());
    assert!(ended.err().ends_with("ampoule: the time was up after 1 s\n"));
    assert!(ended.took < Duration::from_secs(30), "{:?}", ended.took);
}

#[test]
fn a_spinning_command_ends_with_its_time() {
    let ended = Program::sandbox(["--timeout", "0.5s", "--", "sh", "-c", "while :; do :; done"]).run();
    ended.failed(124, &["the time was up after 0.5 s"]);
    assert!(ended.took < Duration::from_secs(20), "{:?}", ended.took);
}

#[test]
fn a_full_disk_is_the_guests_alone() {
    let script =
        "dd if=/dev/zero of=/tmp/x bs=1M 2>&1 | head -n1; rm /tmp/x; echo again > /tmp/x && cat /tmp/x";
    let out = Program::sandbox(["-m", "64M", "--", "sh", "-c", script]).run().succeeded();
    assert_eq!(out, "dd: error writing '/tmp/x': No space left on device\nagain\n");
}

#[test]
fn files_run_out_before_memory_does() {
    let script =
        "i=0; while true > /tmp/$i; do i=$((i + 1)); done 2>/dev/null; rm -r /tmp/[0-9]*; echo alive";
    let ended = Program::sandbox(["-m", "32M", "--timeout", "50s", "--", "sh", "-c", script]).run();
    assert_eq!((ended.code(), ended.out().as_str()), (0, "alive\n"), "{}", ended.err());
}

#[test]
fn descriptors_run_out_with_an_error() {
    let script =
        "ulimit -n 20; i=3; while [ $i -lt 40 ]; do eval \"exec $i</dev/null\" || exit 4; i=$((i + 1)); done";
    assert_ne!(Program::script(script).run().code(), 0);
}

#[test]
fn what_one_guest_writes_no_other_sees() {
    Program::script(
        "echo mine > /shared; rm /bin/true; echo mine > /bin/true; rm -f /bin/ls; test -e /shared",
    )
    .run()
    .succeeded();
    Program::script("test ! -e /shared && test -x /bin/ls && /bin/true").run().succeeded();
    assert!(!fs::exists("/shared").unwrap(), "it is on the host");
}

#[test]
fn the_hosts_files_are_not_there() {
    let directory = tempfile::tempdir().unwrap();
    let secret = crate::write(directory.path(), "secret", "secret");
    let path = secret.to_str().unwrap();
    let ended = Program::sandbox(["--", "cat", path]).run();
    assert_eq!((ended.code(), ended.out().as_str()), (1, ""));
    assert!(ended.err().contains("No such file"), "{}", ended.err());
}

/// Runs one of the programs of `bombs.c` in 64 MiB. Whatever it is refused or killed by, the guest goes on: the shell that
/// started it, and after it another program.
fn bomb(name: &str) {
    let directory = tempfile::tempdir().unwrap();
    let program = directory.path().join("bombs");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("system/bombs.c");
    Program::new("cc").args(["-O1", "-static", "-pthread", "-o"]).args([&program, &source]).run().succeeded();
    let input = format!("{}:/bombs", program.to_str().unwrap());
    let script = format!("/bombs '{name}'; echo $?; cd /; exec /bin/echo alive");
    let ended = Program::sandbox(["-m", "64M", "--timeout", "50s", "--workdir", "/work", "--input", &input])
        .args(["--", "sh", "-c", &script])
        .limit(Duration::from_secs(90))
        .run();
    assert_eq!(ended.code(), 0, "{name}: {}", ended.err());
    let out = ended.out();
    assert!(out == "survived\n0\nalive\n" || out == "137\nalive\n", "{name}: {out}\n{}", ended.err());
}

#[test]
fn descriptors_of_many_processes() {
    bomb("descriptors");
}

#[test]
fn full_pipes_and_sockets() {
    ["pipes", "streams", "datagrams", "empty messages"].into_iter().for_each(bomb);
}

#[test]
fn sockets_in_sockets_and_epolls_in_epolls() {
    ["nested sockets", "nested epolls", "watched"].into_iter().for_each(bomb);
}

#[test]
fn mappings_and_page_tables() {
    ["memory", "areas", "page tables"].into_iter().for_each(bomb);
}

#[test]
fn threads_and_zombies() {
    ["threads", "zombies"].into_iter().for_each(bomb);
}

#[test]
fn signals_that_wait() {
    bomb("signals");
}

#[test]
fn deep_directories_and_many_files() {
    ["deep directories", "files"].into_iter().for_each(bomb);
}

#[test]
fn long_lists_of_arguments() {
    bomb("arguments");
}
