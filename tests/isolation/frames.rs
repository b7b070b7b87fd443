//! Agents that lie to the host. Each breach of the protocol ends the sandbox with a sentence that names it.

use crate::kernels::boot;
use ampoule_protocol::{
    ByeReason, Encoder, Exited, FileDone, FileId, GuestMessage, Hello, JobId, List, LogLevel, Status, Stream,
    Text, Usage, VERSION,
};
use ampoule_tests::Ended;
use std::ffi::OsString;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// The bytes of these messages.
fn said(messages: &[GuestMessage]) -> Vec<u8> {
    let mut encoder = Encoder::default();
    for message in messages {
        encoder.message(message).expect("a message of the protocol");
    }
    encoder.pending().to_vec()
}

fn hello() -> GuestMessage {
    let text = || Text::new("liar");
    GuestMessage::Hello(Hello { agent: text(), kernel: text(), release: text(), boot: List::default() })
}

/// Boots an agent that says these bytes, once or for ever.
fn agent(bytes: &[u8], again: bool, close: bool, words: &[&str]) {
    boot_agent(bytes, again, close, &[]).failed(125, words);
}

fn boot_agent(bytes: &[u8], again: bool, close: bool, args: &[OsString]) -> Ended {
    let list: Vec<String> = bytes.iter().map(u8::to_string).collect();
    let defines = [
        format!("-DFRAMES={}", list.join(",")),
        format!("-DAGAIN={}", u8::from(again)),
        format!("-DCLOSE={}", u8::from(close)),
    ];
    boot("frames", &defines, 60_000, args)
}

/// It is found to have broken the protocol in this way.
fn breaks(bytes: &[u8], how: &str) {
    agent(bytes, false, false, &["ampoule: the guest's agent broke the protocol: ", how]);
}

#[test]
fn bytes_that_are_no_frames() {
    breaks(&[0xff; 64], "not an ampoule frame: first byte 0xff");
    breaks(&[0xa9, VERSION + 1, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0], "protocol version");
    breaks(
        &[0xa9, VERSION, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0],
        "frame body of 4294967295 bytes is longer",
    );
    let half = &said(&[hello()])[..15];
    agent(half, false, true, &["the guest's agent broke the protocol: the connection ended within a frame"]);
}

#[test]
fn messages_out_of_turn() {
    breaks(&said(&[GuestMessage::Pong { token: 1 }]), "its first message is not a hello");
    breaks(&said(&[hello(), hello()]), "a second hello");
    breaks(&said(&[hello(), GuestMessage::Pong { token: 7 }]), "an answer to a ping that was not sent");
    breaks(&said(&[hello(), GuestMessage::Bye(ByeReason::Shutdown)]), "an end that nobody asked for");
}

#[test]
fn jobs_that_were_never_started() {
    let job = JobId::new(77).expect("not zero");
    breaks(&said(&[hello(), GuestMessage::Started { job, pid: 1 }]), "which does not exist");
    breaks(&said(&[hello(), GuestMessage::Credit { stream: Stream::Stdout(job), bytes: u32::MAX }]), "");
    let mut encoder = Encoder::<GuestMessage>::default();
    encoder.message(&hello()).expect("a message");
    encoder.data(Stream::Stdout(job), &[b'x'; 1000]).expect("data");
    breaks(encoder.pending(), "");
}

#[test]
fn an_agent_that_only_talks() {
    let log = GuestMessage::Log { level: LogLevel::Warning, text: Text::new(&"blah ".repeat(100)) };
    let flood = said(&vec![log; 20]);
    agent(&said(&[hello()]), false, false, &["the guest's agent did not answer for 2 s"]);
    agent(&flood, true, false, &["the guest's agent broke the protocol: its first message is not a hello"]);
}

/// What an agent says whose command has ended well, and whose file `/out` was asked for: these bytes and this end of it.
fn file_of(content: &[u8], done: impl IntoIterator<Item = FileDone>) -> Vec<u8> {
    let mut encoder = Encoder::<GuestMessage>::default();
    let status = Status::Code(0);
    let exited = Exited { job: job(), status, usage: Usage::default(), oom_kills: 0 };
    let eof = |stream| GuestMessage::Eof(stream);
    let ended = [
        hello(),
        GuestMessage::Started { job: job(), pid: 1 },
        eof(Stream::Stdout(job())),
        eof(Stream::Stderr(job())),
        GuestMessage::Exited(exited),
    ];
    ended.iter().for_each(|message| encoder.message(message).expect("a message"));
    if !content.is_empty() {
        encoder.data(Stream::File(file()), content).expect("data");
    }
    for done in done {
        encoder.message(&GuestMessage::FileDone(done)).expect("a message");
    }
    encoder.pending().to_vec()
}

/// The host counts jobs and files together, from 1.
fn job() -> JobId {
    JobId::new(1).expect("not zero")
}

fn file() -> FileId {
    FileId::new(2).expect("not zero")
}

fn done(bytes: u64) -> FileDone {
    FileDone { file: file(), bytes, mode: 0o7777 }
}

/// What comes of an agent that says this, and its file at `taken`.
fn take(said: &[u8], taken: &Path) -> Ended {
    let output = format!("/out:{}", taken.display());
    boot_agent(said, false, false, &["--output".into(), output.into()])
}

#[test]
fn files_whose_length_is_a_lie() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let taken = directory.path().join("taken");
    let other = FileDone { file: FileId::new(77).expect("not zero"), ..done(3) };
    for (what, said) in [
        ("shorter than it was", file_of(b"abc", [done(2)])),
        ("longer than it was", file_of(b"abc", [done(4)])),
        ("longer than anything", file_of(b"abc", [done(u64::MAX)])),
        ("something, where nothing came", file_of(b"", [done(3)])),
        ("of a file that nobody asked for", file_of(b"abc", [other])),
    ] {
        let ended = take(&said, &taken);
        ended.failed(125, &["the guest's agent broke the protocol: "]);
        let left = fs::read_dir(directory.path()).expect("a directory").count();
        assert_eq!(left, 0, "{what}: something was taken, or left beside it");
    }
}

#[test]
fn a_file_is_what_came_whatever_the_agent_says_of_it() {
    let directory = tempfile::tempdir().expect("a temporary directory");
    let taken = directory.path().join("taken");
    let ended = take(&file_of(b"abc", [done(3)]), &taken);
    assert_eq!(ended.code(), 0, "{}", ended.err());
    assert_eq!(fs::read(&taken).expect("the file"), b"abc");
    let mode = fs::metadata(&taken).expect("the file").permissions().mode();
    assert_eq!(mode & 0o7022, 0, "{mode:o}: set-id bits, or for all to write");
    // An end that never comes is no file, either.
    fs::remove_file(&taken).expect("the file");
    take(&file_of(b"abc", []), &taken).failed(125, &["did not answer"]);
    assert!(!taken.exists(), "half a file was taken");
}
