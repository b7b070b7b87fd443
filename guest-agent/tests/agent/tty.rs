//! Jobs on a terminal.

use crate::client::*;
use ampoule_protocol::*;

fn on_tty(number: u32, script: &str) -> StartJob {
    let mut start = sh(number, script);
    start.stdio = Stdio::Tty(TtySize { rows: 12, cols: 345 });
    start
}

/// Takes output until it contains `text`.
fn wait_for(guest: &mut Guest, text: &str) {
    let mut seen = String::new();
    while !seen.contains(text) {
        match guest.next() {
            Event::Data(Stream::Stdout(_), bytes) => seen.push_str(&String::from_utf8_lossy(&bytes)),
            other => panic!("{other:?}, after {seen:?}"),
        }
    }
}

#[test]
fn a_job_sees_a_terminal_of_that_size() {
    let mut guest = Guest::start();
    let output =
        guest.run(on_tty(1, "test -t 0 && test -t 1 && test -t 2 && stty size; echo $TERM; tty"), b"");
    let lines: Vec<_> = output.text().lines().collect();
    assert_eq!(lines[..2], ["12 345", "xterm"]);
    assert!(lines[2].starts_with("/dev/pts/"), "{lines:?}");
    assert_eq!((output.status(), output.stderr.len()), (Status::Code(0), 0));
}

#[test]
fn it_is_the_controlling_terminal() {
    let mut guest = Guest::start();
    let pid = guest.launch(on_tty(1, "echo ctty > /dev/tty; exec cut -d' ' -f6,8 /proc/self/stat"));
    // The session, and the foreground group of the terminal.
    assert_eq!(guest.finish(job(1), Some(b"")).text(), format!("ctty\r\n{pid} {pid}\r\n"));
}

#[test]
fn a_resize_is_noticed() {
    let mut guest = Guest::start();
    guest.launch(on_tty(1, &format!("trap 'stty size; exit' WINCH; echo ready; {LINGER}")));
    wait_for(&mut guest, "ready");
    guest.send(&HostMessage::Resize { job: job(1), size: TtySize { rows: 40, cols: 50 } });
    assert_eq!(guest.finish(job(1), None).text(), "40 50\r\n");
}

#[test]
fn control_c_interrupts() {
    let mut guest = Guest::start();
    guest.launch(on_tty(1, "echo ready; exec sleep 100"));
    wait_for(&mut guest, "ready");
    guest.send_data(Stream::Stdin(job(1)), b"\x03");
    assert_eq!(guest.finish(job(1), None).status(), Status::Signal { signo: 2, core: false });
}

#[test]
fn a_signal_to_the_group_reaches_the_foreground() {
    let mut guest = Guest::start();
    // An interactive shell gives each command a process group of its own.
    let mut start = command(1, &["/bin/bash", "--norc", "-i"]);
    start.stdio = Stdio::Tty(TtySize { rows: 24, cols: 80 });
    guest.launch(start);
    guest.send_data(Stream::Stdin(job(1)), b"sh -c 'echo re''ady; exec sleep 100'; echo st=$?\n");
    wait_for(&mut guest, "ready\r\n");
    guest.send(&HostMessage::Signal { job: job(1), signo: 15, target: SignalTarget::Group });
    wait_for(&mut guest, "st=143");
    guest.send_data(Stream::Stdin(job(1)), b"exit 9\n");
    assert_eq!(guest.finish(job(1), None).status(), Status::Code(9));
}

#[test]
fn the_end_of_input_ends_a_reader_even_within_a_line() {
    let mut guest = Guest::start();
    for (input, expected) in [("", ""), ("a\n", "a\n"), ("a\nb", "a\nb")] {
        guest.launch(on_tty(1, "stty -echo; echo ready; cat > /tmp/$$; cat /tmp/$$; rm /tmp/$$"));
        wait_for(&mut guest, "ready\r\n");
        let output = guest.finish(job(1), Some(input.as_bytes()));
        assert_eq!(output.text().replace("\r\n", "\n"), expected, "{input:?}");
        assert_eq!(output.status(), Status::Code(0));
    }
}

#[test]
fn closing_the_terminal_hangs_up() {
    let mut guest = Guest::start();
    guest.launch(on_tty(1, "echo ready; exec sleep 100"));
    wait_for(&mut guest, "ready");
    guest.send(&HostMessage::Close(Stream::Stdout(job(1))));
    let output = guest.finish(job(1), None);
    assert_eq!(output.status(), Status::Signal { signo: 1, core: false });
    assert!(output.closed_stdin);
}

#[test]
fn much_output_and_a_background_process() {
    let mut guest = Guest::start();
    let output = guest.run(on_tty(1, "seq 1 50000; sleep 100 & exit 2"), b"");
    assert_eq!(output.text().lines().count(), 50_000);
    assert_eq!(output.status(), Status::Code(2));
}
