//! A job that runs, or that ran and has output left.

use crate::Fatal;
use crate::connection::Connection;
use crate::poller::Poller;
use crate::stdio::{Kind, Sink, SinkState, Source, SourceState};
use crate::sys::{clock, signal};
use ampoule_protocol::{
    Exited, GuestMessage, JobId, LogLevel, SignalTarget, Status, Stream, Text, TtySize, Usage,
};
use rustix::termios::{Winsize, tcgetpgrp, tcsetwinsize};

/// How long processes that outlive their job's main process may go on writing its output, in nanoseconds.
pub const GRACE_NS: u64 = 50_000_000;
/// How much of it is still taken after that, in bytes: more than a pipe holds by default.
const QUOTA: usize = 1 << 20;

/// A job.
#[derive(Debug)]
pub struct Job {
    /// Its name.
    pub id: JobId,
    /// Its main process, also its session and process group. Not to be used once that was reaped.
    pub pid: u32,
    /// When it started, by the monotonic clock.
    pub started_ns: u64,
    /// How many kills for want of memory were known of when it started.
    pub oom_kills_before: u64,
    /// Where it is in its life.
    pub phase: Phase,
    /// Whether it has pipes or a terminal.
    pub kind: Kind,
    /// Its input, while anybody wants it.
    pub stdin: Option<Sink>,
    /// Its output, while it is open.
    pub stdout: Option<Source>,
    /// Its error output, while it is open.
    pub stderr: Option<Source>,
}

/// Where a job is in its life.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// The main process runs.
    Running,
    /// The main process ended; output may be left in the pipes, or somebody else may be writing more.
    Draining {
        /// How it ended.
        status: Status,
        /// What it used.
        usage: Usage,
        /// How many processes the kernel killed for want of memory since the job started.
        oom_kills: u32,
        /// When to wait no more for others; `None`: they were waited for.
        deadline_ns: Option<u64>,
    },
}

impl Job {
    /// The main process ended.
    pub fn main_ended(&mut self, status: Status, mut usage: Usage, oom_kills: u32) {
        let now = clock::monotonic_ns();
        usage.wall_us = now.saturating_sub(self.started_ns) / 1000;
        let deadline_ns = Some(now.saturating_add(GRACE_NS));
        self.phase = Phase::Draining { status, usage, oom_kills, deadline_ns };
        self.stdin = None;
    }

    /// When to look at this job again, if at a certain time.
    pub const fn deadline_ns(&self) -> Option<u64> {
        match self.phase {
            Phase::Draining { deadline_ns, .. } => deadline_ns,
            Phase::Running => None,
        }
    }

    /// The report, if the job is over and all its output was sent.
    pub fn result(&self) -> Option<Exited> {
        match self.phase {
            Phase::Draining { status, usage, oom_kills, .. }
                if self.stdout.is_none() && self.stderr.is_none() =>
            {
                Some(Exited { job: self.id, status, usage, oom_kills })
            }
            _ => None,
        }
    }

    /// Takes no more output than there is.
    #[cold]
    pub fn limit_output(&mut self) {
        for source in [&mut self.stdout, &mut self.stderr].into_iter().flatten() {
            source.limit(QUOTA);
        }
        if let Phase::Draining { deadline_ns, .. } = &mut self.phase {
            *deadline_ns = None;
        }
    }

    /// Passes on output that is there: as long as there is some, if the job is over, else once.
    pub fn pump(
        &mut self,
        which: Output,
        scratch: &mut [u8],
        poller: &Poller,
        host: &mut Connection,
    ) -> Result<(), Fatal> {
        let draining = self.phase != Phase::Running;
        let output = self.output(which);
        while let Some(source) = output {
            match source.pump(scratch, poller, host)? {
                SourceState::More if draining => {}
                SourceState::More | SourceState::Waiting => break,
                SourceState::Ended => *output = None,
            }
        }
        Ok(())
    }

    /// One of the outputs.
    pub fn output(&mut self, which: Output) -> &mut Option<Source> {
        match which {
            Output::Stdout => &mut self.stdout,
            Output::Stderr => &mut self.stderr,
        }
    }

    /// Runs an operation on the input, if there is one, and drops that once it is of no more use.
    pub fn with_stdin(
        &mut self,
        host: &mut Connection,
        operation: impl FnOnce(&mut Sink, &mut Connection) -> Result<SinkState, Fatal>,
    ) -> Result<(), Fatal> {
        let Some(stdin) = &mut self.stdin else { return Ok(()) };
        match operation(stdin, host)? {
            SinkState::Open => return Ok(()),
            SinkState::Finished => {}
            SinkState::Broken => host.say(&GuestMessage::Close(Stream::Stdin(self.id)))?,
        }
        self.stdin = None;
        Ok(())
    }

    /// Sends a signal for the host.
    #[cold]
    pub fn signal(&self, signo: u8, target: SignalTarget, host: &mut Connection) -> Result<(), Fatal> {
        if self.phase != Phase::Running {
            return Ok(());
        }
        let to = match target {
            SignalTarget::Process => signal::Target::Process(self.pid),
            SignalTarget::Group => signal::Target::Group(self.foreground_group()),
        };
        match signal::kill(to, signo) {
            Ok(()) => Ok(()),
            Err(errno) => host.say(&GuestMessage::Log {
                level: LogLevel::Warning,
                text: Text::new(&alloc::format!("{}: signal {signo}: {errno}", self.id)),
            }),
        }
    }

    /// The process group that the terminal belongs to; without a terminal, the job's own.
    fn foreground_group(&self) -> u32 {
        let terminal = self.stdout.as_ref().filter(|_| self.kind == Kind::Terminal);
        let group = terminal.and_then(|source| tcgetpgrp(source.fd()).ok());
        group.and_then(|pid| u32::try_from(pid.as_raw_nonzero().get()).ok()).unwrap_or(self.pid)
    }

    /// Gives the terminal, if there is one, another size.
    #[cold]
    pub fn resize(&self, size: TtySize) {
        if let (Kind::Terminal, Some(source)) = (self.kind, &self.stdout) {
            // Cannot fail on a terminal; on the file of a job that is just over it does not matter.
            let _over = tcsetwinsize(source.fd(), winsize(size));
        }
    }
}

/// A size as the kernel has it.
pub const fn winsize(size: TtySize) -> Winsize {
    Winsize { ws_row: size.rows, ws_col: size.cols, ws_xpixel: 0, ws_ypixel: 0 }
}

/// An output stream.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Output {
    /// Standard output, or a terminal.
    Stdout,
    /// Standard error.
    Stderr,
}
