//! `make` in a tree of Linux: with a log of all that it says, and with an end that leaves nothing of it.

use super::workplace::Workplace;
use super::{Step, Watch, tools};
use crate::Error;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::process::{Pid, Signal, kill_process_group};
use std::io::{PipeReader, Read, Seek, SeekFrom, Write, pipe};
use std::num::NonZeroUsize;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command};
use std::time::{Duration, Instant};

/// What would else get into the kernel from the machine that it is built on.
const FIXED: [(&str, &str); 4] = [
    ("KBUILD_BUILD_TIMESTAMP", "Thu Jan  1 00:00:00 UTC 1970"),
    ("KBUILD_BUILD_USER", "ampoule"),
    ("KBUILD_BUILD_HOST", "ampoule"),
    ("KBUILD_BUILD_VERSION", "1"),
];
/// How much of the log's end an error shows.
const TAIL_LINES: usize = 20;
const TAIL_BYTES: u64 = 16 << 10;
const LINE_CHARS: usize = 240;
/// How long processes that were killed may take to be gone.
const PATIENCE: Duration = Duration::from_secs(10);

/// `make` for one tree and one directory of what comes of it.
pub struct Make {
    tree: PathBuf,
    output: PathBuf,
    jobs: NonZeroUsize,
    workplace: Workplace,
}

/// A `make` that runs, and the other end of its output.
struct Running {
    child: Child,
    output: PipeReader,
}

impl Make {
    /// Nothing runs yet. The tree itself is not written to.
    pub fn new(tree: &Path, output: &Path, jobs: NonZeroUsize, workplace: Workplace) -> Self {
        Self { tree: tree.to_owned(), output: output.to_owned(), jobs, workplace }
    }

    /// Makes a target, which is a part of a step.
    pub fn run(&mut self, target: &'static str, step: Step, watch: &mut Watch<'_>) -> Result<(), Error> {
        watch.tell(step, 0);
        let start = |error| Error::File { what: "run", path: "make".into(), error };
        let mut running = Running::start(self.command(target)).map_err(start)?;
        self.follow(&mut running, step, watch)?;
        let status = running.child.wait().map_err(start)?;
        match status.success() {
            true => Ok(()),
            false => {
                let tail = self.tail();
                Err(Error::Make { target, status, log: self.workplace.keep_log(), tail })
            }
        }
    }

    fn command(&self, target: &str) -> Command {
        let mut output = std::ffi::OsString::from("O=");
        output.push(&self.output);
        let mut command = tools::command("make", &self.workplace.path("tmp"));
        command.arg("-C").arg(&self.tree).arg(output).arg(format!("-j{}", self.jobs)).arg(target);
        command.envs(FIXED).process_group(0);
        command
    }

    /// Writes the log, and counts what is done, until the output is closed: until everything that was started is gone.
    fn follow(&mut self, running: &mut Running, step: Step, watch: &mut Watch<'_>) -> Result<(), Error> {
        let (mut buffer, mut count, mut at_start) = ([0; 8192], 0, true);
        loop {
            wait(&running.output, watch)?;
            let read = |error| Error::File { what: "read from", path: "make".into(), error };
            let len = running.output.read(&mut buffer).map_err(read)?;
            let said = buffer.get(..len).filter(|said| !said.is_empty());
            let Some(said) = said else { return Ok(()) };
            self.workplace.log().write_all(said).map_err(Error::file("write", "the build's log"))?;
            // The kernel's makefiles begin the lines of what they make with a space, and no others.
            for byte in said {
                count += usize::from(at_start && *byte == b' ');
                at_start = *byte == b'\n';
            }
            watch.tell(step, count);
        }
    }

    /// The last lines of the log, safe to print.
    fn tail(&mut self) -> Vec<String> {
        let log = self.workplace.log();
        let mut bytes = Vec::new();
        let end = log.seek(SeekFrom::End(0)).unwrap_or(0);
        let from = SeekFrom::Start(end.saturating_sub(TAIL_BYTES));
        if log.seek(from).is_err() || log.take(TAIL_BYTES).read_to_end(&mut bytes).is_err() {
            return vec!["(the log cannot be read)".into()];
        }
        let text = String::from_utf8_lossy(&bytes);
        let lines: Vec<&str> = text.lines().collect();
        lines
            .iter()
            .skip(lines.len().saturating_sub(TAIL_LINES))
            .map(|line| ampoule_text::line(&line.replace('\t', " "), LINE_CHARS))
            .collect()
    }
}

/// Waits until there is something to read.
fn wait(output: &PipeReader, watch: &Watch<'_>) -> Result<(), Error> {
    loop {
        let mut fds = [PollFd::new(output, PollFlags::IN), PollFd::new(&watch.stop, PollFlags::IN)];
        match poll(&mut fds, None) {
            Ok(_) | Err(rustix::io::Errno::INTR) => {}
            Err(error) => {
                return Err(Error::File { what: "wait for", path: "make".into(), error: error.into() });
            }
        }
        watch.go_on()?;
        if fds.first().is_some_and(|output| !output.revents().is_empty()) {
            return Ok(());
        }
    }
}

impl Running {
    fn start(mut command: Command) -> std::io::Result<Self> {
        let (output, input) = pipe()?;
        command.stdout(input.try_clone()?).stderr(input);
        Ok(Self { child: command.spawn()?, output })
        // The command goes here, and with it our ends of the input.
    }
}

impl Drop for Running {
    /// Ends whatever of it still runs: `make` and all below it are in one process group.
    fn drop(&mut self) {
        if let Ok(Some(_)) = self.child.try_wait() {
            return;
        }
        let _gone = kill_process_group(Pid::from_child(&self.child), Signal::KILL);
        let _status = self.child.wait();
        // All of them hold the pipe, so its end says that they are gone.
        let deadline = Instant::now() + PATIENCE;
        let mut buffer = [0; 8192];
        loop {
            let left = deadline.saturating_duration_since(Instant::now());
            let Ok(left) = Timespec::try_from(left) else { return };
            match poll(&mut [PollFd::new(&self.output, PollFlags::IN)], Some(&left)) {
                Ok(0) => return,
                Ok(_) if !matches!(self.output.read(&mut buffer), Ok(len) if len > 0) => return,
                Ok(_) | Err(rustix::io::Errno::INTR) => {}
                Err(_) => return,
            }
        }
    }
}
