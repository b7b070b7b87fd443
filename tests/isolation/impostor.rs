//! Commands that run as root in the guest, and try to speak for the agent or to be heard where they may not be.

use crate::siege::under_siege;
use ampoule_tests::{Program, need};
use std::path::Path;

#[test]
fn a_command_cannot_speak_for_the_agent() {
    need("cc", "gcc");
    let directory = tempfile::tempdir().expect("a temporary directory");
    let program = directory.path().join("impostor");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("isolation/impostor.c");
    Program::new("cc").args(["-O1", "-static", "-o"]).args([&program, &source]).run().succeeded();
    let input = format!("{}:/impostor", program.display());
    let ended = Program::sandbox(["--timeout", "50s", "--input", &input, "--", "/impostor"]).run();
    assert_eq!((ended.code(), ended.out().as_str(), ended.err().as_str()), (7, "", ""));
}

#[test]
fn a_command_that_takes_the_agents_limits_and_clock_away_harms_itself() {
    let script = "renice 19 1; date -s @0; mount -t tmpfs none /tmp; mount -t tmpfs none /proc; ulimit -n 4; \
                  date -s @4000000000; exit 9";
    let ended =
        Program::sandbox(["--timeout", "30s", "--", "sh", "-c", &format!("({script}) > /dev/null 2>&1")])
            .run();
    assert_eq!((ended.code(), ended.err().as_str()), (9, ""));
    // The deadline is the host's, whatever time the guest thinks it is.
    let script = "trap '' TERM; date -s @9000000000 > /dev/null; while :; do :; done";
    Program::sandbox(["--timeout", "1s", "--", "sh", "-c", script])
        .run()
        .failed(124, &["the time was up after 1 s"]);
}

/// Bytes of a limit, and what may come beside: one line of the log, and the command line's own messages.
const LIMIT: usize = 64 << 10;
const BESIDE: usize = 1 << 10;

#[test]
fn a_log_that_is_watched_ends_with_the_limit_of_output() {
    let attack = Program::sandbox(["-m", "64M", "--console", "--output-limit", "64K", "--timeout", "2s"])
        .args(["--", "sh", "-c", "yes 'all work and no play' > /dev/kmsg"]);
    let ended = under_siege(attack, 64);
    let end = "\n[the rest of the guest's log is left out: it is longer than --output-limit]\n\
               ampoule: the time was up after 2 s\n";
    assert!(ended.code() == 124 && ended.err().ends_with(end), "{}: {:.300}", ended.code(), ended.err());
    assert!((LIMIT..LIMIT + BESIDE).contains(&ended.stderr.len()), "{} bytes of log", ended.stderr.len());
}
