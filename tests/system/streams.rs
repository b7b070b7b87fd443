//! Standard input, output and error of the command are those of `ampoule`.

use crate::noise;
use ampoule_tests::Program;
use std::fs;
use std::io::{Read, Write};
use std::thread;
use std::time::Duration;

#[test]
fn a_pipeline_runs_in_a_guest() {
    let script = "cat /etc/passwd | awk -F: '{ print $1 }' | sort | head -n1; \
                  seq 1 1000 | grep 7 | wc -l; \
                  mkdir -p d/e && echo x > d/e/f && tar cz d | tar tz | tail -n1; \
                  find d -type f -exec cat {} +; (exit 3) || echo $?";
    let theirs = "271\nd/e/f\nx\n3\n";
    let ours = Program::script(script).run().succeeded();
    assert_eq!(ours.split_once('\n').unwrap().1, theirs);
}

#[test]
fn standard_error_is_apart_from_standard_output() {
    let ended = Program::script("echo out; echo err >&2; echo more").run();
    assert_eq!((ended.code(), ended.out().as_str(), ended.err().as_str()), (0, "out\nmore\n", "err\n"));
}

#[test]
fn every_byte_passes() {
    let bytes: Vec<u8> = (0..=255).cycle().take(70_000).collect();
    let ended = Program::sandbox(["--", "cat"]).input(bytes.clone()).run();
    assert_eq!(ended.code(), 0, "{}", ended.err());
    assert!(ended.stdout == bytes, "bytes changed on their way");
}

#[test]
fn twenty_megabytes_pass_unchanged() {
    let bytes = noise(20 << 20);
    let ended = Program::sandbox(["--", "cat"]).input(bytes.clone()).run();
    assert_eq!((ended.code(), ended.stdout.len()), (0, bytes.len()), "{}", ended.err());
    assert!(ended.stdout == bytes, "bytes changed on their way");
}

#[test]
fn the_guest_sees_what_the_host_sends() {
    let bytes = noise(3 << 20);
    let theirs = Program::new("sha256sum").input(bytes.clone()).run().succeeded();
    assert_eq!(Program::sandbox(["--", "sha256sum"]).input(bytes).run().succeeded(), theirs);
}

#[test]
fn input_that_nobody_reads_holds_nothing_up() {
    assert_eq!(Program::sandbox(["--", "echo", "done"]).input(noise(4 << 20)).run().succeeded(), "done\n");
}

#[test]
fn no_input_is_the_end_of_it() {
    assert_eq!(Program::sandbox(["--", "wc", "-c"]).run().succeeded().trim(), "0");
}

#[test]
fn input_that_comes_late_is_passed_on_at_once() {
    let mut running =
        Program::sandbox(["--", "sh", "-c", "echo ready; while read x; do echo got $x; done"]).start();
    running.wait_for_output("ready\n");
    for word in ["one", "two"] {
        writeln!(running.child.stdin.as_mut().unwrap(), "{word}").unwrap();
        running.wait_for_output(&format!("got {word}\n"));
    }
    drop(running.child.stdin.take());
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn a_reader_that_goes_ends_the_command() {
    let mut running = Program::sandbox(["--", "yes"]).start();
    running.wait_for_output("y\n");
    drop(running.child.stdout.take());
    let ended = running.finish();
    assert_eq!((ended.code(), ended.err().as_str()), (128 + 13, ""));
}

#[test]
fn a_slow_reader_loses_nothing_and_nobody_grows() {
    const LEN: usize = 64 << 20;
    let script = format!("head -c {LEN} /dev/zero | tr '\\0' x");
    let mut running = Program::sandbox(["--memory", "64M", "--", "sh", "-c", &script])
        .limit(Duration::from_secs(120))
        .start();
    running.wait_for_output("x");
    // No event says that the guest has come to rest. Had it gone on meanwhile, memory would tell.
    thread::sleep(Duration::from_millis(700));
    let pid = running.child.id();
    let vmm = children(pid);
    assert_eq!(vmm.len(), 1, "the VMM is the only child");
    let (cli, vmm) = (resident_kib(pid), resident_kib(vmm[0]));
    assert!(cli < 16 << 10, "the CLI has {cli} KiB");
    assert!(vmm < 40 << 10, "the VMM has {vmm} KiB");
    let mut rest = Vec::new();
    running.child.stdout.take().unwrap().read_to_end(&mut rest).unwrap();
    assert_eq!(rest.len(), LEN - 1);
    assert!(rest.iter().all(|&byte| byte == b'x'));
    assert_eq!(running.finish().code(), 0);
}

#[test]
fn output_that_cannot_be_written_is_said() {
    let ended = Program::new("sh").args(["-c", "exec \"$0\" run -- echo hello > /dev/full"]);
    let ended = ended.args([ampoule_tests::binary::ampoule()]).run();
    ended.failed(125, &["cannot write the command's stdout", "No space left"]);
}

#[test]
fn closed_standard_streams_do_no_harm() {
    let script = "\"$0\" run -- sh -c 'echo hello; cat; exit 3' <&- 2>&-";
    let ended = Program::new("sh").args(["-c", script]).args([ampoule_tests::binary::ampoule()]).run();
    assert_eq!((ended.code(), ended.out().as_str()), (3, "hello\n"));
}

fn children(pid: u32) -> Vec<u32> {
    let list = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    list.split_ascii_whitespace().map(|pid| pid.parse().unwrap()).collect()
}

fn resident_kib(pid: u32) -> u64 {
    let status = fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("a process that is there");
    line.trim().trim_end_matches(" kB").parse().unwrap()
}
