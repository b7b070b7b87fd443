//! The wire format, byte by byte, against files: a change of it is a new version of the protocol.
//!
//! `UPDATE_GOLDEN=1 cargo test -p ampoule-protocol golden` writes the files anew.

use crate::samples;
use ampoule_protocol::{Encoder, Frame, Message, Stream, decode, frame};
use std::fmt::{Debug, Write as _};
use std::path::PathBuf;

fn check(name: &str, lines: &str) {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden").join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        std::fs::write(&path, lines).unwrap();
    }
    let golden = std::fs::read_to_string(&path).unwrap();
    assert_eq!(lines, golden, "the wire format differs from {}", path.display());
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().fold(String::new(), |mut hex, byte| {
        write!(hex, "{byte:02x}").unwrap();
        hex
    })
}

fn unhex(text: &str) -> Vec<u8> {
    (0..text.len()).step_by(2).map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap()).collect()
}

fn messages<M: Message + Clone + PartialEq + Debug>(file: &str, samples: &[(&str, M)]) {
    let mut lines = String::new();
    for (name, message) in samples {
        let mut encoder = Encoder::new();
        encoder.message(message).unwrap();
        writeln!(lines, "{name} {}", hex(encoder.pending())).unwrap();
    }
    check(file, &lines);
    // What the file says decodes to the samples, so old bytes stay readable.
    for (line, (name, message)) in lines.lines().zip(samples) {
        let bytes = unhex(line.split_once(' ').unwrap().1);
        let (decoded, len) = decode::<M>(&bytes).unwrap().unwrap();
        assert_eq!(len, bytes.len(), "{name}");
        assert_eq!(decoded, Frame::Message(message.clone()), "{name}");
    }
}

#[test]
fn host_messages() {
    messages("host-v3.txt", &samples::host());
}

#[test]
fn guest_messages() {
    messages("guest-v3.txt", &samples::guest());
}

#[test]
fn data_headers() {
    let streams = [
        Stream::Stdin(samples::job(1)),
        Stream::Stdout(samples::job(2)),
        Stream::Stderr(samples::job(3)),
        Stream::File(samples::file(0x0403_0201)),
    ];
    let mut lines = String::new();
    for stream in streams {
        writeln!(lines, "{} {}", hex(&frame::data_header(stream, 0x1234).unwrap()), stream).unwrap();
    }
    check("data-v3.txt", &lines);
}
