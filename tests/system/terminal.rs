//! `ampoule shell` and `--tty`: a terminal here, driven as a user would, and one in the guest.

use ampoule_tests::{Program, Running, binary};
use rustix::fs::{Mode, OFlags, open};
use rustix::pty::{OpenptFlags, grantpt, openpt, ptsname, unlockpt};
use rustix::termios::{LocalModes, Winsize, tcgetattr, tcsetwinsize};
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::process::Stdio;
use std::sync::mpsc::{Receiver, channel};
use std::thread;
use std::time::{Duration, Instant};

const SOON: Duration = Duration::from_secs(30);

/// Somebody at a terminal on which `ampoule` runs.
struct User {
    keyboard: File,
    terminal: OwnedFd,
    screen: Receiver<Vec<u8>>,
    seen: String,
    running: Running,
}

fn size(rows: u16, columns: u16) -> Winsize {
    Winsize { ws_row: rows, ws_col: columns, ws_xpixel: 0, ws_ypixel: 0 }
}

impl User {
    fn start(args: &[&str]) -> Self {
        let controller = openpt(OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC).unwrap();
        grantpt(&controller).unwrap();
        unlockpt(&controller).unwrap();
        tcsetwinsize(&controller, size(33, 111)).unwrap();
        let name = ptsname(&controller, Vec::new()).unwrap();
        let terminal = open(&name, OFlags::RDWR | OFlags::NOCTTY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        // `setsid --ctty` makes it the controlling terminal of what it starts.
        let mut command = std::process::Command::new("setsid");
        command.args(["--ctty", "--wait"]).arg(binary::ampoule()).args(args).env("TERM", "vt100");
        let end = || Stdio::from(terminal.try_clone().unwrap());
        command.stdin(end()).stdout(end()).stderr(end());
        let running = Running::of(command.spawn().expect("setsid of util-linux"), SOON);
        let keyboard = File::from(controller);
        let (sender, screen) = channel();
        let mut output = keyboard.try_clone().unwrap();
        thread::spawn(move || {
            let mut buffer = [0; 4096];
            while let Ok(len @ 1..) = output.read(&mut buffer) {
                if sender.send(buffer[..len].to_vec()).is_err() {
                    break;
                }
            }
        });
        Self { keyboard, terminal, screen, seen: String::new(), running }
    }

    fn types(&mut self, keys: &str) {
        self.keyboard.write_all(keys.as_bytes()).unwrap();
    }

    /// Waits for these words on the screen, below what was waited for before.
    fn sees(&mut self, words: &str) {
        let until = Instant::now() + SOON;
        loop {
            if let Some(at) = self.seen.find(words) {
                self.seen.drain(..at + words.len());
                return;
            }
            let left = until.saturating_duration_since(Instant::now());
            match self.screen.recv_timeout(left) {
                Ok(bytes) => self.seen.push_str(&String::from_utf8_lossy(&bytes)),
                Err(_) => panic!("{words:?} did not come, but {:?}", self.seen),
            }
        }
    }

    /// All that is on the screen when it has ended with this code.
    fn sees_all_of(mut self, code: i32) -> String {
        assert_eq!(self.running.finish().code(), code);
        // Nothing more can come. What has come may still be on its way through the thread that reads it.
        let quiet = Duration::from_millis(500);
        while let Ok(bytes) = self.screen.recv_timeout(quiet) {
            self.seen.push_str(&String::from_utf8_lossy(&bytes));
        }
        self.seen
    }

    fn ends_with(mut self, code: i32) {
        assert_eq!(self.running.finish().code(), code, "{:?}", self.seen);
        let modes = tcgetattr(&self.terminal).unwrap().local_modes;
        assert!(modes.contains(LocalModes::ICANON | LocalModes::ECHO), "the terminal stayed raw");
    }
}

#[test]
fn a_shell_prompts_echoes_and_has_an_exit_status() {
    let mut user = User::start(&["shell"]);
    user.sees("# ");
    user.types("echo $((6 * 7))\r");
    user.sees("echo $((6 * 7))\r\n42\r\n");
    user.types("tty; echo $TERM\r");
    user.sees("/dev/pts/0\r\nvt100\r\n");
    user.types("exit 7\r");
    user.ends_with(7);
}

#[test]
fn the_guests_terminal_has_the_size_of_the_users() {
    let mut user = User::start(&["shell"]);
    user.sees("# ");
    user.types("stty size\r");
    user.sees("33 111\r\n");
    // At its prompt, the shell keeps the signal to itself.
    user.types("sh -c \"trap 'stty size' WINCH; echo s''et; while :; do sleep 0.05; done\"\r");
    user.sees("\r\nset\r\n");
    tcsetwinsize(&user.keyboard, size(20, 50)).unwrap();
    user.sees("20 50\r\n");
    user.types("\x03");
    user.sees("# ");
    user.types("exit 0\r");
    user.ends_with(0);
}

#[test]
fn ctrl_c_is_for_what_runs_in_the_foreground() {
    let mut user = User::start(&["shell"]);
    user.sees("# ");
    // What speaks is what runs in the foreground: before that, the shell may swallow the key, on any system.
    user.types("sh -c 'echo now; exec sleep 100'\r");
    user.sees("\r\nnow\r\n");
    user.types("\x03");
    user.sees("# ");
    user.types("echo $?\r");
    user.sees("130\r\n");
    user.sees("# ");
    // The end of input is the end of the shell, with the status of its last command: that of `echo`.
    user.types("\x04");
    user.ends_with(0);
}

#[test]
fn ctrl_z_stops_and_fg_goes_on() {
    let mut user = User::start(&["shell"]);
    user.sees("# ");
    user.types("sh -c 'echo now; read x; echo got $x'\r");
    user.sees("\r\nnow\r\n");
    user.types("\x1a");
    user.sees("Stopped");
    user.types("fg\r");
    user.sees("fg\r\nsh -c");
    user.types("word\r");
    user.sees("got word\r\n");
    user.types("exit 0\r");
    user.ends_with(0);
}

#[test]
fn a_command_can_have_a_terminal_too() {
    let mut user = User::start(&[
        "run",
        "--tty",
        "--",
        "sh",
        "-c",
        "test -t 0 && test -t 1 && test -t 2 && echo yes; exit 5",
    ]);
    user.sees("yes\r\n");
    user.ends_with(5);
}

#[test]
fn a_guests_log_does_not_control_the_terminal() {
    let script = "printf '\\033]0;title\\007\\033[2J\\302\\233 of the guest\\n' > /dev/console";
    let log = ["run", "--console", "--", "sh", "-c", script];
    let shown = "\\u{1b}]0;title\\u{7}\\u{1b}[2J\\u{9b} of the guest\r\n";
    // Nor while the terminal is raw, where lines have to be ended in full.
    for args in [&log[..], &["run", "--console", "--tty", "--", "sh", "-c", script]] {
        let seen = User::start(args).sees_all_of(0);
        assert!(seen.contains(shown) && !seen.contains(['\x1b', '\u{9b}']), "{seen:?}");
    }
    // Files and programs get what the guest said.
    let err = Program::ampoule(log).run().stderr;
    let said = b"\x1b]0;title\x07\x1b[2J\xc2\x9b of the guest\n";
    assert!(err.windows(said.len()).any(|bytes| bytes == said), "{}", String::from_utf8_lossy(&err));
}

#[test]
fn a_trace_does_not_control_the_terminal() {
    let script = "cat \"$(printf 'no\\033[2Jfile')\" 2> /dev/null";
    let seen = User::start(&["run", "--trace", "--", "sh", "-c", script]).sees_all_of(1);
    assert!(seen.contains("[2Jfile") && !seen.contains('\x1b'), "{seen:?}");
}

#[test]
fn without_a_terminal_there_is_one_in_the_guest_all_the_same() {
    let ended = Program::sandbox(["--tty", "--", "sh", "-c", "test -t 1 && echo yes"]).run();
    assert_eq!((ended.code(), ended.out().as_str()), (0, "yes\r\n"), "{}", ended.err());
}
