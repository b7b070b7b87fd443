//! Agents that lie to the host. Each breach of the protocol ends the sandbox with a sentence that names it.

use crate::kernels::boot;
use ampoule_protocol::{
    ByeReason, Encoder, GuestMessage, Hello, JobId, List, LogLevel, Stream, Text, VERSION,
};

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
    let list: Vec<String> = bytes.iter().map(u8::to_string).collect();
    let defines = [
        format!("-DFRAMES={}", list.join(",")),
        format!("-DAGAIN={}", u8::from(again)),
        format!("-DCLOSE={}", u8::from(close)),
    ];
    boot("frames", &defines, 60_000, &[]).failed(125, words);
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
