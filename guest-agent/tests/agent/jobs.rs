//! Several jobs, and what can be done to them.

use crate::client::*;
use ampoule_protocol::*;
use std::collections::BTreeMap;
use std::time::{Duration, Instant};

#[test]
fn many_at_once() {
    let mut guest = Guest::start();
    for number in 1..=200 {
        guest.send(&HostMessage::Start(sh(
            number,
            &format!("read x; echo {number} $x; exit {}", number % 256),
        )));
    }
    let mut output: BTreeMap<JobId, Vec<u8>> = BTreeMap::new();
    let (mut started, mut exited) = (0, 0);
    while exited < 200 {
        match guest.next() {
            Event::Message(GuestMessage::Started { .. }) => {
                started += 1;
                if started == 200 {
                    (1..=200).for_each(|number| guest.send_data(Stream::Stdin(job(number)), b"go\n"));
                }
            }
            Event::Message(GuestMessage::Exited(end)) => {
                assert_eq!(end.status, Status::Code((end.job.get() % 256) as u8));
                assert_eq!(output[&end.job], format!("{} go\n", end.job.get()).as_bytes());
                exited += 1;
            }
            Event::Message(GuestMessage::StartFailed(failed)) => panic!("{failed:?}"),
            Event::Data(Stream::Stdout(job), bytes) => output.entry(job).or_default().extend(bytes),
            _ => {}
        }
    }
}

#[test]
fn one_after_another_leaves_nothing() {
    let mut guest = Guest::start();
    let fds = |guest: &Guest| std::fs::read_dir(format!("/proc/{}/fd", guest.child.id())).unwrap().count();
    guest.sh("true");
    let (before, rss) = (fds(&guest), guest.rss_kib());
    for _ in 0..500 {
        assert_eq!(guest.run(command(1, &["/bin/echo", "x"]), b"").text(), "x\n");
    }
    assert_eq!(fds(&guest), before);
    assert!(guest.rss_kib() <= rss + 64, "{} KiB, then {}", rss, guest.rss_kib());
    let children = format!("/proc/{0}/task/{0}/children", guest.child.id());
    assert_eq!(std::fs::read_to_string(children).unwrap(), "");
}

#[test]
fn an_id_in_use_and_too_many_jobs_are_refused() {
    let mut guest = Guest::start();
    guest.launch(command(1, &["/bin/sleep", "100"]));
    let failed = guest.refuse(sh(1, "true"));
    assert_eq!((failed.step, failed.errno, failed.exit_code()), (StartStep::Accept, 0, 125));
    for number in 2..=256 {
        guest.launch(command(number, &["/bin/sleep", "100"]));
    }
    let failed = guest.refuse(sh(257, "true"));
    assert_eq!(failed.message.to_string(), "too many jobs");
    guest.send(&HostMessage::Signal { job: job(7), signo: 9, target: SignalTarget::Process });
    guest.until(|message| matches!(message, GuestMessage::Exited(_)).then_some(()));
    assert_eq!(guest.run(sh(257, "echo now"), b"").text(), "now\n");
}

#[test]
fn signals_reach_the_group_or_the_process() {
    let mut guest = Guest::start();
    for (target, both) in [(SignalTarget::Group, true), (SignalTarget::Process, false)] {
        let wait = if both { "wait;" } else { "" };
        let child = format!("sh -c 'trap \"echo child; exit\" TERM; echo ready; {LINGER}'");
        guest.launch(sh(1, &format!("trap '{wait} echo parent; exit 5' TERM; {child} & wait")));
        guest.next();
        guest.send(&HostMessage::Signal { job: job(1), signo: 15, target });
        let output = guest.finish(job(1), Some(b""));
        assert_eq!(output.status(), Status::Code(5));
        assert_eq!(output.text(), if both { "child\nparent\n" } else { "parent\n" }, "{target:?}");
    }
}

#[test]
fn signals_that_make_no_sense_do_no_harm() {
    let mut guest = Guest::start();
    guest.send(&HostMessage::Signal { job: job(9), signo: 9, target: SignalTarget::Group });
    guest.launch(command(1, &["/bin/sleep", "100"]));
    guest.send(&HostMessage::Signal { job: job(1), signo: 200, target: SignalTarget::Group });
    match guest.next_message() {
        GuestMessage::Log { level: LogLevel::Warning, text } => {
            assert!(text.to_string().contains("signal 200"))
        }
        other => panic!("{other:?}"),
    }
    guest.send(&HostMessage::Signal { job: job(1), signo: 64, target: SignalTarget::Group });
    assert_eq!(guest.finish(job(1), None).status(), Status::Signal { signo: 64, core: false });
}

#[test]
fn a_stopped_job_can_go_on() {
    let mut guest = Guest::start();
    let pid = guest.launch(sh(1, "read x; echo $x"));
    let mut signal =
        |signo| guest.send(&HostMessage::Signal { job: job(1), signo, target: SignalTarget::Group });
    signal(19);
    let state = || std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    eventually(|| state().contains(") T ").then_some(()));
    signal(18);
    assert_eq!(guest.finish(job(1), Some(b"on\n")).text(), "on\n");
}

#[test]
fn shutdown_asks_first_and_then_kills() {
    let mut guest = Guest::start();
    guest.launch(sh(1, &format!("trap 'echo asked; exit 7' TERM; echo ready; {LINGER}")));
    guest.launch(sh(2, &format!("trap '' TERM; echo ready; {LINGER}")));
    let mut ready = 0;
    while ready < 2 {
        ready += usize::from(matches!(guest.next(), Event::Data(..)));
    }
    let start = Instant::now();
    guest.send(&HostMessage::Shutdown { grace_ms: 200 });
    guest.send(&HostMessage::Start(sh(3, "true")));
    let mut ends = BTreeMap::new();
    let mut refused = false;
    loop {
        match guest.next() {
            Event::Message(GuestMessage::Exited(end)) => drop(ends.insert(end.job, end.status)),
            Event::Message(GuestMessage::StartFailed(failed)) => {
                assert_eq!((failed.job, failed.step), (job(3), StartStep::Accept));
                refused = true;
            }
            Event::Message(GuestMessage::Bye(reason)) => {
                assert_eq!(reason, ByeReason::Shutdown);
                break;
            }
            Event::End => panic!("no goodbye"),
            _ => {}
        }
    }
    assert!(start.elapsed() >= Duration::from_millis(200));
    assert!(refused);
    assert_eq!(ends[&job(1)], Status::Code(7));
    assert_eq!(ends[&job(2)], Status::Signal { signo: 9, core: false });
    // The agent waits for the host to hear it out, but not for long.
    assert!(guest.exit().success());
}

#[test]
fn shutdown_without_jobs_is_immediate() {
    let mut guest = Guest::start();
    let start = Instant::now();
    guest.send(&HostMessage::Shutdown { grace_ms: 60_000 });
    assert_eq!(guest.next_message(), GuestMessage::Bye(ByeReason::Shutdown));
    guest.stream.shutdown(std::net::Shutdown::Both).unwrap();
    assert!(guest.exit().success());
    assert!(start.elapsed() < Duration::from_millis(400));
}

#[test]
fn shutdown_is_not_held_up_by_output_that_nobody_takes() {
    let mut guest = Guest::start();
    guest.launch(command(1, &["/usr/bin/yes"]));
    guest.send(&HostMessage::Shutdown { grace_ms: 0 });
    guest.until(|message| matches!(message, GuestMessage::Bye(ByeReason::Shutdown)).then_some(()));
    assert!(guest.exit().success());
}

#[test]
fn ping() {
    let mut guest = Guest::start();
    for token in [0, 7, u32::MAX] {
        guest.send(&HostMessage::Ping { token });
        assert_eq!(guest.next_message(), GuestMessage::Pong { token });
    }
}

#[test]
fn time_and_entropy() {
    let mut guest = Guest::start();
    guest.send(&HostMessage::AddEntropy([1; 32]));
    // An agent that is not PID 1 leaves the clock alone.
    guest.send(&HostMessage::SetTime { unix_ns: 1 });
    match guest.next_message() {
        GuestMessage::Log { text, .. } => assert!(text.to_string().contains("clock"), "{text}"),
        other => panic!("{other:?}"),
    }
}
