//! Programs with input, a deadline, and all of their output.

use rustix::process::{Pid, Signal, kill_process};
use std::ffi::OsStr;
use std::io::{Read, Write};
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::Path;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::thread;
use std::time::{Duration, Instant};

/// How long a program may run if nothing else is said. Far more than any takes: it is there for what hangs.
const LIMIT: Duration = Duration::from_secs(60);

/// How many times longer everything may take, on machines that are slow for a known reason: `AMPOULE_TEST_SLOWDOWN`.
pub fn slowdown() -> u32 {
    std::env::var("AMPOULE_TEST_SLOWDOWN").ok().and_then(|factor| factor.parse().ok()).unwrap_or(1)
}

/// A program to run.
pub struct Program {
    command: Command,
    input: Vec<u8>,
    limit: Duration,
}

/// How a program ended, and what it wrote.
#[derive(Debug)]
pub struct Ended {
    /// Its exit status.
    pub status: ExitStatus,
    /// What it wrote to standard output.
    pub stdout: Vec<u8>,
    /// What it wrote to standard error.
    pub stderr: Vec<u8>,
    /// How long it ran.
    pub took: Duration,
}

impl Program {
    /// Any program.
    pub fn new(program: impl AsRef<OsStr>) -> Self {
        Self { command: Command::new(program), input: Vec::new(), limit: LIMIT }
    }

    /// `ampoule` with these arguments.
    pub fn ampoule<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        Self::new(crate::binary::ampoule()).args(args)
    }

    /// `ampoule run` with these arguments.
    pub fn sandbox<S: AsRef<OsStr>>(args: impl IntoIterator<Item = S>) -> Self {
        Self::ampoule(["run"]).args(args)
    }

    /// `ampoule run -- sh -c SCRIPT`.
    pub fn script(script: &str) -> Self {
        Self::sandbox(["--", "sh", "-c", script])
    }

    /// More arguments.
    pub fn args<S: AsRef<OsStr>>(mut self, args: impl IntoIterator<Item = S>) -> Self {
        self.command.args(args);
        self
    }

    /// An environment variable.
    pub fn env(mut self, name: impl AsRef<OsStr>, value: impl AsRef<OsStr>) -> Self {
        self.command.env(name, value);
        self
    }

    /// No environment but these variables.
    pub fn only_env(mut self, variables: &[(&str, &str)]) -> Self {
        self.command.env_clear().envs(variables.iter().copied());
        self
    }

    /// The working directory.
    pub fn cwd(mut self, directory: &Path) -> Self {
        self.command.current_dir(directory);
        self
    }

    /// What it is called.
    pub fn named(mut self, name: &str) -> Self {
        self.command.arg0(name);
        self
    }

    /// What it reads from standard input; without this, there is nothing to read.
    pub fn input(mut self, input: impl Into<Vec<u8>>) -> Self {
        self.input = input.into();
        self
    }

    /// How long it may run.
    pub fn limit(mut self, limit: Duration) -> Self {
        self.limit = limit;
        self
    }

    /// The command, for what this type does not have.
    pub fn command(mut self, change: impl FnOnce(&mut Command)) -> Self {
        change(&mut self.command);
        self
    }

    /// Makes it start as a job in a guest does: the leader of a session of its own, with no descriptor beyond the
    /// standard ones, and no signal ignored.
    pub fn like_a_job(mut self) -> Self {
        let start = || {
            rustix::process::setsid()?;
            for signal in 1..=64 {
                let default = [0u64; 4];
                // SAFETY: the structure is as large as the kernel's, and the default action needs no handler. The C
                // library would refuse signals that it uses itself.
                unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, &default, 0, 8) };
            }
            // What this process inherited without close-on-exec is not for others.
            for fd in 3..256 {
                // SAFETY: only a flag of the descriptor changes, in a process that is about to execute another program.
                let fd = unsafe { rustix::fd::BorrowedFd::borrow_raw(fd) };
                let _closed = rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::CLOEXEC);
            }
            Ok(())
        };
        // SAFETY: between fork and exec, the closure makes plain system calls and allocates nothing.
        unsafe { self.command.pre_exec(start) };
        self
    }

    /// Starts it with all of its standard streams piped, for what has to happen while it runs. It is killed if it is
    /// still there when the value is dropped.
    pub fn start(mut self) -> Running {
        self.command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.command));
        Running::of(child, self.limit)
    }

    /// Runs it to its end.
    ///
    /// # Panics
    /// If it does not end in time. It is killed then.
    pub fn run(mut self) -> Ended {
        let input = std::mem::take(&mut self.input);
        if input.is_empty() {
            self.command.stdin(Stdio::null());
        } else {
            self.command.stdin(Stdio::piped());
        }
        self.command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = self.command.spawn().unwrap_or_else(|error| panic!("{:?}: {error}", self.command));
        let mut running = Running::of(child, self.limit);
        let feeder = running.child.stdin.take().map(|mut stdin| {
            // A program that does not read all of its input is no error here.
            thread::spawn(move || drop(stdin.write_all(&input)))
        });
        let ended = running.finish();
        if let Some(feeder) = feeder {
            feeder.join().expect("the thread that feeds standard input");
        }
        ended
    }
}

/// A program that runs.
pub struct Running {
    /// The process and its streams.
    pub child: Child,
    limit: Duration,
    since: Instant,
}

impl Running {
    /// A process that was started in another way, with what it may take from now on.
    pub fn of(child: Child, limit: Duration) -> Self {
        Self { child, limit: limit * slowdown(), since: Instant::now() }
    }

    /// Its process id.
    pub fn pid(&self) -> Pid {
        Pid::from_child(&self.child)
    }

    /// Sends it a signal.
    pub fn signal(&self, signal: Signal) {
        kill_process(self.pid(), signal).expect("the process is there until it is waited for");
    }

    /// Reads from its standard output until these bytes have come.
    ///
    /// # Panics
    /// If the output ends before.
    pub fn wait_for_output(&mut self, wanted: &str) {
        let stdout = self.child.stdout.as_mut().expect("standard output is piped");
        let (mut seen, mut byte) = (Vec::new(), [0]);
        while !seen.ends_with(wanted.as_bytes()) {
            let len = stdout.read(&mut byte).expect("a pipe can be read");
            assert!(len > 0, "output ended before {wanted:?}: {:?}", String::from_utf8_lossy(&seen));
            seen.push(byte[0]);
        }
    }

    /// Waits for its end, with whatever it wrote that was not read yet.
    ///
    /// # Panics
    /// If it does not end in time. It is killed then.
    pub fn finish(&mut self) -> Ended {
        let stdout = collect(self.child.stdout.take());
        let stderr = collect(self.child.stderr.take());
        let status = self.wait();
        let text = |reader: thread::JoinHandle<Vec<u8>>| reader.join().expect("the thread that reads output");
        match status {
            Some(status) => {
                Ended { status, stdout: text(stdout), stderr: text(stderr), took: self.since.elapsed() }
            }
            None => {
                let _gone = self.child.kill();
                let (stdout, stderr) = (text(stdout), text(stderr));
                let (stdout, stderr) = (String::from_utf8_lossy(&stdout), String::from_utf8_lossy(&stderr));
                panic!("no end within {:?}\n--- stdout\n{stdout}\n--- stderr\n{stderr}", self.limit);
            }
        }
    }

    fn wait(&mut self) -> Option<ExitStatus> {
        self.wait_until(self.since + self.limit)
    }

    fn wait_until(&mut self, deadline: Instant) -> Option<ExitStatus> {
        let mut pause = Duration::from_millis(1);
        while Instant::now() < deadline {
            if let Some(status) = self.child.try_wait().expect("a child can be waited for") {
                return Some(status);
            }
            thread::sleep(pause);
            pause = (pause * 2).min(Duration::from_millis(20));
        }
        None
    }
}

impl Drop for Running {
    /// Asks it to end first: a killed `ampoule` leaves its control group to the next one.
    fn drop(&mut self) {
        if let Ok(None) = self.child.try_wait() {
            let _asked = kill_process(self.pid(), Signal::TERM);
            if self.wait_until(Instant::now() + Duration::from_secs(5)).is_some() {
                return;
            }
            let _gone = self.child.kill();
            let _reaped = self.child.wait();
        }
    }
}

impl Ended {
    /// The exit code; that of a process that a signal ended is 128 and the signal, as shells have it.
    pub fn code(&self) -> i32 {
        self.status.code().unwrap_or_else(|| 128 + self.status.signal().unwrap_or_default())
    }

    /// Standard output as text.
    pub fn out(&self) -> String {
        String::from_utf8_lossy(&self.stdout).into_owned()
    }

    /// Standard error as text.
    pub fn err(&self) -> String {
        String::from_utf8_lossy(&self.stderr).into_owned()
    }

    /// Asserts that it ended with 0 and wrote nothing to standard error; gives its standard output.
    pub fn succeeded(&self) -> String {
        assert_eq!((self.code(), self.err().as_str()), (0, ""), "stdout: {}", self.out());
        self.out()
    }

    /// Asserts the exit code, and that standard error is one sentence of ampoule that has these words.
    pub fn failed(&self, code: i32, words: &[&str]) -> String {
        let err = self.err();
        assert_eq!(self.code(), code, "stderr: {err}");
        assert!(err.starts_with("ampoule: ") && err.ends_with('\n'), "not a sentence of ampoule: {err:?}");
        for word in words {
            assert!(err.contains(word), "{word:?} is not in {err:?}");
        }
        err
    }
}

fn collect(stream: Option<impl Read + Send + 'static>) -> thread::JoinHandle<Vec<u8>> {
    thread::spawn(move || {
        let mut bytes = Vec::new();
        if let Some(mut stream) = stream {
            // What came until then counts.
            let _broken = stream.read_to_end(&mut bytes);
        }
        bytes
    })
}
