//! One job, as far as the protocol is concerned.

use super::violation::Violation;
use ampoule_protocol::{Input, JobId, ReceiveWindow, SendWindow, StartJob, Stdio, Stream};

/// A job between its `Start` and its end.
#[derive(Debug)]
pub(super) struct Job {
    phase: Phase,
    pub(super) stdin: Stdin,
    stdout: Output,
    /// `None`: the job is on a terminal, which has one output stream.
    stderr: Option<Output>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// `Start` was sent.
    Starting,
    /// The agent said `Started`.
    Running,
}

/// The input side.
#[derive(Debug)]
pub(super) enum Stdin {
    /// Data may be sent, as far as the credit goes.
    Open(SendWindow),
    /// The host sent `Eof`, or the guest `Close`. The latter may still cross the former, as may credit.
    Ended,
    /// The job has no input stream.
    Absent,
}

/// One output stream.
#[derive(Debug)]
struct Output {
    window: ReceiveWindow,
    state: OutputState,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum OutputState {
    Open,
    /// The host wants no more of it; what is under way is dropped.
    Closed,
    /// The guest said `Eof`.
    Ended,
}

impl Job {
    /// The state after `Start` was sent.
    pub(super) fn new(start: &StartJob) -> Self {
        let job = start.job;
        let (stdin, stderr) = match start.stdio {
            Stdio::Pipes { stdin: Input::Null } => (Stdin::Absent, Some(Output::new(Stream::Stderr(job)))),
            Stdio::Pipes { stdin: Input::Stream } => {
                (Stdin::open(job), Some(Output::new(Stream::Stderr(job))))
            }
            Stdio::Tty(_) => (Stdin::open(job), None),
        };
        Self { phase: Phase::Starting, stdin, stdout: Output::new(Stream::Stdout(job)), stderr }
    }

    /// `Started` came.
    pub(super) fn started(&mut self, job: JobId) -> Result<(), Violation> {
        self.expect_starting(job, "a start")?;
        self.phase = Phase::Running;
        Ok(())
    }

    /// Whether the agent owes a `Started` or `StartFailed`.
    pub(super) fn is_starting(&self) -> bool {
        self.phase == Phase::Starting
    }

    /// Checks that the job may be reported as not started.
    pub(super) fn expect_starting(&self, job: JobId, what: &'static str) -> Result<(), Violation> {
        match self.phase {
            Phase::Starting => Ok(()),
            Phase::Running => Err(Violation::WrongJobState { what, job }),
        }
    }

    /// Checks that the job may be reported as over.
    pub(super) fn expect_running(&self, job: JobId, what: &'static str) -> Result<(), Violation> {
        match self.phase {
            Phase::Running => Ok(()),
            Phase::Starting => Err(Violation::WrongJobState { what, job }),
        }
    }

    /// Data of an output stream came. Says whether anybody wants it.
    pub(super) fn output(&mut self, stream: Stream, len: usize) -> Result<bool, Violation> {
        let running = self.phase == Phase::Running;
        match self.output_mut(stream) {
            Some(output) if running && output.state != OutputState::Ended => {
                output.window.receive(len)?;
                Ok(output.state == OutputState::Open)
            }
            _ => Err(Violation::WrongState { what: "data", stream }),
        }
    }

    /// An output stream ended. Says whether anybody wants to know.
    pub(super) fn output_end(&mut self, stream: Stream) -> Result<bool, Violation> {
        let running = self.phase == Phase::Running;
        match self.output_mut(stream) {
            Some(output) if running && output.state != OutputState::Ended => {
                let wanted = output.state == OutputState::Open;
                output.state = OutputState::Ended;
                Ok(wanted)
            }
            _ => Err(Violation::WrongState { what: "an end of data", stream }),
        }
    }

    /// The host consumed data of an output stream. Says what credit to give for it.
    pub(super) fn consumed(&mut self, stream: Stream, len: usize) -> Option<u32> {
        let output = self.output_mut(stream)?;
        let grant = output.window.consume(len)?;
        (output.state == OutputState::Open).then_some(grant.get())
    }

    /// The host wants no more of an output stream. Says whether the guest is to be told.
    pub(super) fn close(&mut self, stream: Stream) -> bool {
        match self.output_mut(stream) {
            Some(output) if output.state == OutputState::Open => {
                output.state = OutputState::Closed;
                true
            }
            _ => false,
        }
    }

    fn output_mut(&mut self, stream: Stream) -> Option<&mut Output> {
        match stream {
            Stream::Stdout(_) => Some(&mut self.stdout),
            Stream::Stderr(_) => self.stderr.as_mut(),
            Stream::Stdin(_) | Stream::File(_) => None,
        }
    }
}

impl Stdin {
    fn open(job: JobId) -> Self {
        Self::Open(SendWindow::new(Stream::Stdin(job)))
    }

    /// Bytes that may be sent now; `None` if the stream takes no more, ever.
    pub(super) fn room(&self) -> Option<usize> {
        match self {
            Self::Open(window) => Some(window.available()),
            Self::Ended | Self::Absent => None,
        }
    }

    /// Credit came. Says whether it is news: there was none before.
    pub(super) fn grant(&mut self, job: JobId, bytes: u32) -> Result<bool, Violation> {
        match self {
            Self::Open(window) => {
                let news = window.available() == 0 && bytes > 0;
                window.grant(bytes)?;
                Ok(news)
            }
            Self::Ended => Ok(false),
            Self::Absent => Err(Violation::WrongState { what: "credit", stream: Stream::Stdin(job) }),
        }
    }

    /// The guest wants no more. Says whether it is news.
    pub(super) fn close(&mut self, job: JobId) -> Result<bool, Violation> {
        match self {
            Self::Open(_) => {
                *self = Self::Ended;
                Ok(true)
            }
            Self::Ended => Ok(false),
            Self::Absent => Err(Violation::WrongState { what: "a close", stream: Stream::Stdin(job) }),
        }
    }
}

impl Output {
    fn new(stream: Stream) -> Self {
        Self { window: ReceiveWindow::new(stream), state: OutputState::Open }
    }
}
