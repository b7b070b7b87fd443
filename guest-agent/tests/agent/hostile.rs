//! A host that breaks the protocol, or goes away.

use crate::client::*;
use ampoule_protocol::*;
use std::os::unix::process::ExitStatusExt;
use std::time::{Duration, Instant};

/// Sends bytes, and expects the agent to name this violation and end.
fn expect_violation(guest: &mut Guest, bytes: &[u8], text: &str) {
    guest.send_bytes(bytes);
    let reason = guest.until(|message| match message {
        GuestMessage::Bye(reason) => Some(reason.clone()),
        _ => None,
    });
    match reason {
        ByeReason::ProtocolError(said) => assert!(said.to_string().contains(text), "{said}"),
        other => panic!("{other:?}"),
    }
    let start = Instant::now();
    assert_eq!(guest.exit().code(), Some(1));
    assert!(start.elapsed() < Duration::from_secs(2));
}

fn encoded(message: &HostMessage) -> Vec<u8> {
    let mut encoder = Encoder::new();
    encoder.message(message).unwrap();
    encoder.pending().to_vec()
}

#[test]
fn garbage_is_named_and_ends_the_agent() {
    let stdout = Stream::Stdout(job(1));
    let mut wrong_way = frame::data_header(stdout, 1).unwrap().to_vec();
    wrong_way.push(0);
    let mut trailing = encoded(&HostMessage::Ping { token: 1 });
    trailing[4] += 1;
    trailing.push(0);
    let mut huge = encoded(&HostMessage::Ping { token: 1 });
    huge[7] = 0x7f;
    for (bytes, text) in [
        (&b"GET / HTTP/1.1\r\n"[..], "not an ampoule frame"),
        (&[0xa9, 99], "protocol version 99"),
        (&wrong_way, "frame kind 2"),
        (&trailing, "1 bytes after the end"),
        (&huge, "longer than"),
        (&encoded(&HostMessage::Eof(stdout)), "flows the other way"),
        (&encoded(&HostMessage::Close(Stream::Stdin(job(1)))), "flows the other way"),
        (&encoded(&HostMessage::Credit { stream: Stream::Stdin(job(1)), bytes: 1 }), "flows the other way"),
    ] {
        expect_violation(&mut Guest::start(), bytes, text);
    }
}

#[test]
fn garbage_ends_the_jobs_too() {
    let mut guest = Guest::start();
    let pid = guest.launch(sh(1, "sleep 100 & echo $!; wait"));
    let Event::Data(_, bytes) = guest.next() else { panic!("no data") };
    let child = String::from_utf8(bytes).unwrap().trim().parse().unwrap();
    expect_violation(&mut guest, b"!", "not an ampoule frame");
    eventually(|| (!is_running(pid) && !is_running(child)).then_some(()));
}

#[test]
fn too_much_credit_is_a_violation() {
    let mut guest = Guest::start();
    guest.launch(command(1, &["/bin/sleep", "100"]));
    let credit = HostMessage::Credit { stream: Stream::Stdout(job(1)), bytes: u32::MAX };
    expect_violation(&mut guest, &encoded(&credit), "makes the window larger");
}

#[test]
fn data_after_the_end_is_a_violation() {
    let mut guest = Guest::start();
    guest.launch(command(1, &["/bin/sleep", "100"]));
    // More than a pipe holds, so that the agent still has some of it.
    guest.send_data(Stream::Stdin(job(1)), &[0; 200_000]);
    guest.send(&HostMessage::Eof(Stream::Stdin(job(1))));
    let mut bytes = frame::data_header(Stream::Stdin(job(1)), 1).unwrap().to_vec();
    bytes.push(0);
    expect_violation(&mut guest, &bytes, "data after its end");
}

#[test]
fn what_is_late_is_not_wrong() {
    let mut guest = Guest::start();
    let stdin = Stream::Stdin(job(1));
    guest.sh("true");
    guest.send_data(stdin, b"late");
    guest.send(&HostMessage::Eof(stdin));
    guest.send(&HostMessage::Close(Stream::Stdout(job(1))));
    guest.send(&HostMessage::Credit { stream: Stream::Stdout(job(1)), bytes: 9 });
    guest.send(&HostMessage::Resize { job: job(1), size: TtySize { rows: 1, cols: 1 } });
    guest.send_data(Stream::File(file(1)), b"late");
    guest.send(&HostMessage::Eof(Stream::File(file(1))));
    guest.send(&HostMessage::Credit { stream: Stream::File(file(1)), bytes: 9 });
    assert_eq!(guest.sh("echo fine").text(), "fine\n");
}

#[test]
fn a_host_that_goes_away_takes_its_jobs_along() {
    for half in [&b""[..], &[frame::MAGIC, VERSION, 0]] {
        let mut guest = Guest::start();
        let pid = guest.launch(sh(1, "trap '' HUP TERM; sleep 100 & sleep 100"));
        guest.send_bytes(half);
        guest.stream.shutdown(std::net::Shutdown::Both).unwrap();
        assert_eq!(guest.exit().code(), Some(0));
        eventually(|| (!is_running(pid)).then_some(()));
    }
}

#[test]
fn questions_without_end_and_no_ear_for_the_answers() {
    let mut guest = Guest::start();
    let flood = encoded(&HostMessage::Ping { token: 7 }).repeat(1000);
    guest.stream.set_write_timeout(Some(Duration::from_millis(300))).unwrap();
    let mut sent = 0;
    while std::io::Write::write_all(&mut guest.stream, &flood).is_ok() {
        sent += flood.len();
        assert!(sent < 100 << 20, "the agent takes everything");
    }
    assert!(guest.rss_kib() < 2000, "{} KiB", guest.rss_kib());
    // It answers as soon as it is heard. The last question may be half sent.
    guest.until(|message| matches!(message, GuestMessage::Pong { token: 7 }).then_some(()));
}

#[test]
fn random_bytes_never_crash_it() {
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = || {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        seed.to_le_bytes()
    };
    for round in 0..40 {
        let mut guest = Guest::start();
        let mut body: Vec<u8> = (0..20).flat_map(|_| random()).collect();
        // The kinds of messages that do not start anything on this machine.
        body[0] = [1, 2, 3, 4, 5, 7, 10][round % 7];
        let mut bytes = vec![frame::MAGIC, VERSION, 0, 0];
        bytes.extend((body.len() as u32).to_le_bytes());
        bytes.extend([0; 4]);
        bytes.extend(body);
        guest.send_bytes(&bytes);
        let reason = guest.until(|message| match message {
            GuestMessage::Bye(reason) => Some(reason.clone()),
            _ => None,
        });
        assert!(matches!(reason, ByeReason::ProtocolError(_)), "{reason:?}");
        drop(guest.stream.shutdown(std::net::Shutdown::Both));
        let status = guest.exit();
        assert_eq!((status.code(), status.signal()), (Some(1), None));
    }
}

#[test]
fn no_more_processes_to_be_had() {
    let mut command = std::process::Command::new("setpriv");
    command.args(["--reuid", "54322", "--clear-groups", "prlimit", "--nproc=1:1"]).arg(agent_binary());
    let mut guest = Guest::start_with(command);
    let failed = guest.refuse(sh(1, "true"));
    assert_eq!((failed.step, failed.errno, failed.exit_code()), (StartStep::Spawn, 11, 125));
}
