//! What is to come of each part.

use crate::Test;
use crate::run::Play;
use ampoule_engine::attach::{InputFile, OutputFile, Signals};
use ampoule_engine::stdio::Sink;
use ampoule_engine::{HostFile, Manner};
use ampoule_protocol::CBytes;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use rustix::pipe::{PipeFlags, pipe_with};
use std::fs::File;
use std::io::Write;
use std::time::Duration;

pub const ALL: &[Test] = &[
    ("misbehaviour_ends_with_its_name_and_sentence", misbehaviour),
    ("input_comes_back_whole", echo),
    ("what_was_written_before_a_vmm_died_is_not_lost", last_words),
    ("a_reader_that_stops_does_not_fill_memory", flood),
    ("output_beyond_the_credit_is_misbehaviour", overflow),
    ("a_job_that_ignores_signals_ends_when_its_time_is_up", timeout),
    ("a_job_that_obeys_ends_when_its_time_is_up", polite_timeout),
    ("the_second_signal_ends_the_sandbox", signals),
    ("files_go_in_and_out", files),
    ("a_file_that_is_too_large_is_not_taken", too_large),
    ("a_lie_about_a_files_length_is_told", false_length),
    ("the_vmms_own_report_is_known", report),
    ("an_agent_that_talks_and_gets_nowhere_is_given_up", nowhere),
    ("a_vmm_that_says_that_it_ended_and_lives_on_is_ended", undead),
];

/// The time that some jobs are given.
const SOON: Option<Duration> = Some(Duration::from_millis(300));

/// Part, name of the outcome, exit code, and what the sentence has to contain.
const MISBEHAVIOUR: [(&str, &str, u8, &str); 15] = [
    ("silent", "boot_timed_out", 125, "did not come up within 0.3 s"),
    ("garbage", "agent_protocol_error", 125, "first byte 0x48"),
    ("huge", "agent_protocol_error", 125, "4294967295 bytes"),
    ("truncated", "agent_protocol_error", 125, "within a frame"),
    ("hang_up", "agent_gone", 125, "closed its connection"),
    ("no_hello", "agent_protocol_error", 125, "not a hello"),
    ("liar", "agent_protocol_error", 125, "job 99"),
    ("quiet", "agent_silent", 125, "did not answer for 0.3 s"),
    ("pong_only", "agent_silent", 125, "did not answer"),
    ("fatal", "agent_failed", 125, "no \\u{7} memory"),
    ("die", "vmm_killed", 125, "killed by signal 9"),
    ("filtered", "vmm_filtered", 125, "stopped by its seccomp filter"),
    ("fail", "vmm_failed", 125, "status 3: something \\u{1b}[31mbroke"),
    ("panic", "guest_kernel_panic", 125, "| first\n  | \\u{1b}[2Jlast"),
    ("no_kernel", "bad_kernel", 125, "the \\u{1b}[1mmessage"),
];

fn misbehaviour() {
    for (part, name, code, words) in MISBEHAVIOUR {
        let outcome = Play::new(part).run().outcome;
        let sentence = outcome.sentence().unwrap_or_default();
        assert_eq!((outcome.name(), outcome.exit_code()), (name, code), "{part}: {sentence}");
        assert!(sentence.contains(words), "{part}: {sentence:?} does not contain {words:?}");
    }
}

fn echo() {
    let data: Vec<u8> = (0..3_000_000u32).map(|i| (i % 251) as u8).collect();
    let (reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let copy = data.clone();
    let writing = std::thread::spawn(move || File::from(writer).write_all(&copy));
    let run = Play { stdin: Some(reader), ..Play::new("echo") }.run();
    writing.join().unwrap().unwrap();
    assert_eq!(run.outcome.exit_code(), 7);
    assert!(run.streams.stdout.into_kept() == (data, false));
}

fn last_words() {
    let run = Play::new("last_words").run();
    assert_eq!(run.outcome.name(), "vmm_killed");
    assert_eq!(run.streams.stdout.into_kept().0.len(), 60_000);
    assert_eq!(run.streams.stderr.into_kept().0, b"famous");
}

fn flood() {
    let before = resident_kib();
    let (_reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let stdout = Sink::file(writer).unwrap();
    let run = Play { stdout, timeout: SOON, ..Play::new("flood") }.run();
    assert_eq!((run.outcome.name(), run.outcome.exit_code()), ("timed_out", 124));
    let grown = resident_kib().saturating_sub(before);
    assert!(grown < 4096, "memory grew by {grown} KiB");
}

fn overflow() {
    let (_reader, writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let run = Play { stdout: Sink::file(writer).unwrap(), timeout: SOON, ..Play::new("overflow") }.run();
    assert_eq!((run.outcome.name(), run.outcome.exit_code()), ("agent_protocol_error", 125));
}

fn timeout() {
    let run = Play { timeout: SOON, ..Play::new("ignore_signals") }.run();
    assert_eq!((run.outcome.name(), run.outcome.exit_code()), ("timed_out", 124));
    assert!(run.exited.is_none());
}

fn polite_timeout() {
    let run = Play { timeout: SOON, ..Play::new("obey_signals") }.run();
    assert_eq!((run.outcome.name(), run.outcome.exit_code()), ("timed_out", 124));
    assert_eq!(run.exited.map(|exited| exited.status.exit_code()), Some(143));
}

fn signals() {
    let signals = Signals::block().unwrap();
    let interrupting = std::thread::spawn(|| {
        for _ in 0..2 {
            std::thread::sleep(Duration::from_millis(200));
            kill(Pid::this(), Signal::SIGINT).unwrap();
        }
    });
    let run = Play { signals: Some(signals), ..Play::new("ignore_signals") }.run();
    interrupting.join().unwrap();
    assert_eq!((run.outcome.name(), run.outcome.exit_code()), ("interrupted", 130));
}

/// Puts a file in, runs a job, and takes a file out to `out`.
fn with_files(part: &'static str, directory: &std::path::Path, output_limit: u64) -> ampoule_engine::Outcome {
    let input = directory.join("in");
    std::fs::write(&input, "put").unwrap();
    let guest = CBytes::new("/file").unwrap();
    let file = File::open(&input).unwrap();
    let inputs = vec![InputFile { file, host: input, guest: guest.clone(), mode: 0o644 }];
    let outputs = vec![OutputFile { guest, host: HostFile::new(&directory.join("out")).unwrap() }];
    Play { inputs, outputs, output_limit, ..Play::new(part) }.run().outcome
}

fn files() {
    let directory = tempfile::tempdir().unwrap();
    let outcome = with_files("files", directory.path(), 7);
    assert_eq!(outcome.exit_code(), 0, "{outcome:?}");
    assert_eq!(std::fs::read(directory.path().join("out")).unwrap(), b"content");
}

fn too_large() {
    let directory = tempfile::tempdir().unwrap();
    let outcome = with_files("files", directory.path(), 6);
    assert_eq!((outcome.name(), outcome.exit_code()), ("output_failed", 125));
    assert_eq!(std::fs::read_dir(directory.path()).unwrap().count(), 1, "only the input is there");
}

fn false_length() {
    let directory = tempfile::tempdir().unwrap();
    let outcome = with_files("false_length", directory.path(), 100);
    assert_eq!(outcome.name(), "agent_protocol_error");
    assert!(!directory.path().join("out").exists());
}

fn report() {
    let run = Play { manner: Manner::Terminate, ..Play::new("panic") }.run();
    assert_eq!(run.outcome.name(), "guest_kernel_panic");
}

fn nowhere() {
    let (reader, _writer) = pipe_with(PipeFlags::CLOEXEC).unwrap();
    let run = Play { stdin: Some(reader), timeout: SOON, ..Play::new("never_starts") }.run();
    assert_eq!(run.outcome.name(), "agent_silent");
    let directory = tempfile::tempdir().unwrap();
    assert_eq!(with_files("trickle", directory.path(), 1 << 20).name(), "agent_silent");
    assert!(!directory.path().join("out").exists());
}

fn undead() {
    for manner in [Manner::Kill, Manner::Terminate] {
        let run = Play { manner, ..Play::new("undead") }.run();
        assert_eq!((run.outcome.name(), run.outcome.exit_code()), ("exited", 5), "{manner:?}");
    }
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches("kB").trim().parse().unwrap()
}
