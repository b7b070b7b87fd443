//! Input and output: big, slow, closed, abandoned.

use crate::client::*;
use ampoule_protocol::*;
use std::time::{Duration, Instant};

const MEGABYTE: usize = 1 << 20;

/// Bytes that are not the same everywhere.
fn pattern(len: usize) -> Vec<u8> {
    (0..len).map(|at| (at * 31 + at / 251) as u8).collect()
}

#[test]
fn a_big_stream_both_ways() {
    let mut guest = Guest::start();
    let input = pattern(50 * MEGABYTE);
    let output = guest.run(command(1, &["/bin/cat"]), &input);
    assert!(output.stdout == input);
    assert_eq!(output.status(), Status::Code(0));
    assert!(guest.rss_kib() < 1500, "{} KiB", guest.rss_kib());
}

#[test]
fn stdout_and_stderr_are_apart_and_complete() {
    let mut guest = Guest::start();
    let output = guest.sh("head -c 3000000 /dev/zero & head -c 2000000 /dev/zero >&2; wait");
    assert_eq!((output.stdout.len(), output.stderr.len()), (3_000_000, 2_000_000));
}

#[test]
fn a_reader_without_credit_stops_the_job_and_nothing_grows() {
    let mut guest = Guest::start();
    guest.launch(command(1, &["/usr/bin/yes"]));
    let mut received = 0;
    while received < INITIAL_WINDOW as usize {
        match guest.next() {
            Event::Data(Stream::Stdout(_), bytes) => received += bytes.len(),
            other => panic!("{other:?}"),
        }
    }
    assert_eq!(received, INITIAL_WINDOW as usize);
    // Other jobs go on meanwhile.
    assert_eq!(guest.run(sh(2, "echo hello"), b"").text(), "hello\n");
    assert!(guest.rss_kib() < 1000, "{} KiB", guest.rss_kib());
    guest.send(&HostMessage::Credit { stream: Stream::Stdout(job(1)), bytes: 5 });
    let Event::Data(_, bytes) = guest.next() else { panic!("no data") };
    assert_eq!(bytes.len(), 5);
    // Credit comes in pieces and is used up exactly.
    guest.send(&HostMessage::Credit { stream: Stream::Stdout(job(1)), bytes: 100_000 });
    let mut received = 0;
    while received < 100_000 {
        let Event::Data(_, bytes) = guest.next() else { panic!("no data") };
        received += bytes.len();
    }
    assert_eq!(received, 100_000);
}

#[test]
fn a_host_that_does_not_read_at_all_loses_nothing() {
    let mut guest = Guest::start();
    for number in 1..=20 {
        guest.send(&HostMessage::Start(sh(number, "head -c 200000 /dev/zero")));
    }
    std::thread::sleep(Duration::from_millis(300));
    assert!(guest.rss_kib() < 1500, "{} KiB", guest.rss_kib());
    let (mut bytes, mut exited) = (0, 0);
    while exited < 20 {
        match guest.next() {
            Event::Data(_, data) => bytes += data.len(),
            Event::Message(GuestMessage::Exited(end)) => {
                assert_eq!(end.status, Status::Code(0));
                exited += 1;
            }
            _ => {}
        }
    }
    assert_eq!(bytes, 20 * 200_000);
}

#[test]
fn a_job_that_does_not_read_gets_no_more_than_the_window() {
    let mut guest = Guest::start();
    let start = Instant::now();
    guest.launch(sh(1, "sleep 0.3; wc -c"));
    guest.send_data(Stream::Stdin(job(1)), &vec![b'x'; INITIAL_WINDOW as usize]);
    // No credit before half of it was read, and nobody reads yet.
    let early = match guest.next_message() {
        GuestMessage::Credit { bytes, .. } => bytes,
        other => panic!("{other:?}"),
    };
    guest.send_data(Stream::Stdin(job(1)), &vec![b'y'; early as usize]);
    guest.send(&HostMessage::Eof(Stream::Stdin(job(1))));
    assert!(start.elapsed() >= Duration::from_millis(300));
    let output = guest.finish(job(1), None);
    assert_eq!(output.text().trim(), (INITIAL_WINDOW + early).to_string());
}

#[test]
fn more_than_the_window_is_a_violation() {
    let mut guest = Guest::start();
    guest.launch(command(1, &["/bin/sleep", "100"]));
    guest.send_data(Stream::Stdin(job(1)), &vec![b'x'; INITIAL_WINDOW as usize]);
    guest.send_data(Stream::Stdin(job(1)), b"y");
    match guest.next_message() {
        GuestMessage::Bye(ByeReason::ProtocolError(text)) => {
            assert!(text.to_string().contains("stdin of job 1: 1 bytes sent with a credit of 0"), "{text}");
        }
        other => panic!("{other:?}"),
    }
}

#[test]
fn a_job_that_closes_its_input_says_so() {
    let mut guest = Guest::start();
    let output = guest.run(sh(1, "head -c 1; exec <&-; sleep 0.2"), &vec![b'x'; 10 * MEGABYTE]);
    assert!(output.closed_stdin);
    assert_eq!((output.text(), output.status()), ("x", Status::Code(0)));
}

#[test]
fn a_closed_output_breaks_the_pipe() {
    let mut guest = Guest::start();
    guest.launch(sh(1, "trap '' USR1; yes; echo $? >&2"));
    guest.send(&HostMessage::Close(Stream::Stdout(job(1))));
    let output = guest.finish(job(1), Some(b""));
    assert_eq!(output.stderr.last(), Some(&b'\n'));
    assert_eq!(output.status(), Status::Code(0));
    let text = String::from_utf8(output.stderr).unwrap();
    assert!(text.ends_with("141\n"), "{text}");
}

#[test]
fn what_was_written_before_the_end_arrives() {
    let mut guest = Guest::start();
    for _ in 0..50 {
        let output = guest.sh("head -c 60000 /dev/zero; echo end >&2");
        assert_eq!((output.stdout.len(), output.stderr.as_slice()), (60_000, &b"end\n"[..]));
    }
}

#[test]
fn who_holds_the_pipe_open_does_not_hold_up_the_end() {
    let mut guest = Guest::start();
    let start = Instant::now();
    let output = guest.sh("sleep 100 & echo $!");
    assert!(start.elapsed() < Duration::from_secs(5));
    assert_eq!(output.status(), Status::Code(0));
    let pid = output.text().trim().parse().unwrap();
    eventually(|| (!is_running(pid)).then_some(()));
}

#[test]
fn nor_does_one_that_left_the_session() {
    let mut guest = Guest::start();
    let start = Instant::now();
    let output = guest.sh("setsid sleep 5 & sleep 0.1; echo end");
    assert_eq!((output.text(), output.status()), ("end\n", Status::Code(0)));
    assert!(start.elapsed() < Duration::from_secs(4));
}

#[test]
fn a_short_afterword_is_still_heard() {
    let mut guest = Guest::start();
    let output = guest.sh("(sleep 0.01; echo late) & echo early");
    assert_eq!(output.text(), "early\nlate\n");
}

#[test]
fn a_background_flood_ends_with_the_job() {
    let mut guest = Guest::start();
    let output = guest.sh("yes & exit 3");
    assert_eq!(output.status(), Status::Code(3));
    // One that left the session, and so is not killed, cannot go on either.
    let output = guest.sh("setsid sh -c 'echo $$ >&2; exec yes' & sleep 0.1; exit 4");
    assert_eq!(output.status(), Status::Code(4));
    let text = String::from_utf8(output.stderr).unwrap();
    let pid = text.trim().parse().unwrap();
    eventually(|| (!is_running(pid)).then_some(()));
}

#[test]
fn a_daemon_of_its_own_session_survives_its_job() {
    let mut guest = Guest::start();
    let output = guest.sh("setsid sleep 100 > /dev/null 2>&1 & echo $!; sleep 0.1");
    let pid: u32 = output.text().trim().parse().unwrap();
    assert!(is_running(pid));
    guest.send(&HostMessage::Shutdown { grace_ms: 0 });
    guest.exit();
    // Only PID 1 takes it along; here somebody else has to.
    assert!(std::process::Command::new("kill").arg(pid.to_string()).status().unwrap().success());
}
