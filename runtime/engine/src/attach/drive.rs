//! The poll loop that runs one job in one sandbox.

use super::signals::{Signals, Wish};
use super::spec::JobSpec;
use super::steps::Steps;
use super::streams::Streams;
use crate::end::End;
use crate::outcome::Outcome;
use crate::sandbox::{Manner, Sandbox};
use crate::stdio::{Log, Sink};
use ampoule_protocol::{Exited, Hello, SignalTarget, TtySize};
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use rustix::termios::tcgetwinsize;
use std::os::fd::OwnedFd;
use std::time::{Duration, Instant};

/// How long output that a slow reader has not taken may wait once the user wants an end.
const FLUSH_GRACE: Duration = Duration::from_millis(500);

/// Signals within this time count once: timeout(1), for one, sends each to the process and then to its group.
const SAME_SIGNAL: Duration = Duration::from_millis(50);

const SIGTERM: u8 = nix::sys::signal::Signal::SIGTERM as u8;

/// What became of a job.
#[derive(Debug)]
pub struct Run {
    /// How it ended.
    pub outcome: Outcome,
    /// How its command ended and what it used, if it did end.
    pub exited: Option<Exited>,
    /// What the agent said of itself.
    pub hello: Option<Hello>,
    /// The streams, with what memory sinks kept.
    pub streams: Streams,
}

/// Runs a job in a fresh sandbox, and ends the sandbox. The process is gone when this returns.
///
/// Signals, as far as `signals` has them, are passed on to the job; the second one that asks for an end ends the
/// sandbox at once.
pub fn run(sandbox: &mut Sandbox, spec: JobSpec, streams: Streams, signals: Option<&mut Signals>) -> Run {
    let clock = Clock { timeout: spec.timeout, grace: spec.kill_grace, termed: None, flush_until: None };
    let manner = spec.manner;
    let mut steps = Steps::new(spec, streams, sandbox.memory());
    if let Err(error) = steps.begin(sandbox.session_mut()) {
        sandbox.stop(End::Unsayable(error), Manner::Kill);
    }
    let mut drive = Drive { sandbox, steps, signals, clock, manner, asked_to_end: None, forced: None };
    drive.sandbox.flush();
    while !drive.is_done() {
        drive.turn();
    }
    drive.sandbox.wait();
    drive.conclude()
}

struct Drive<'a> {
    sandbox: &'a mut Sandbox,
    steps: Steps,
    signals: Option<&'a mut Signals>,
    clock: Clock,
    manner: Manner,
    /// When a signal first asked for an end, and the job was told.
    asked_to_end: Option<Instant>,
    /// What the user's signals or the clock decided, whatever the job says.
    forced: Option<Outcome>,
}

/// What time does to the job.
struct Clock {
    timeout: Option<Duration>,
    grace: Duration,
    /// When the job was told that its time is up.
    termed: Option<Instant>,
    /// When output that nobody takes is given up.
    flush_until: Option<Instant>,
}

/// What is ready, besides the sandbox, which looks itself.
struct Ready {
    signals: bool,
    stdin: bool,
    sinks: bool,
}

impl Drive<'_> {
    /// Waits for something to happen, and deals with it.
    fn turn(&mut self) {
        let ready = self.wait();
        if ready.signals {
            self.obey();
        }
        self.sandbox.service(&mut self.steps);
        if let Err(error) = self.pass_on(&ready) {
            self.sandbox.stop(End::Unsayable(error), Manner::Kill);
        }
        self.look_at_the_clock(Instant::now());
        if self.steps.is_over() && !self.sandbox.is_ending() {
            self.sandbox.stop(End::Stopped, self.manner);
        }
        self.sandbox.flush();
    }

    fn is_done(&self) -> bool {
        // A job that is over by itself has no more to say: its killed VM need not be listened to.
        let heard_all = self.steps.is_over() && self.forced.is_none() && self.manner == Manner::Kill;
        let waiting = self.steps.streams.is_waiting();
        let given_up = self.clock.flush_until.is_some_and(|until| Instant::now() >= until);
        (heard_all || self.sandbox.end().is_some()) && (!waiting || given_up)
    }

    fn wait(&self) -> Ready {
        let streams = &self.steps.streams;
        let room = self.steps.job.and_then(|job| self.sandbox.session().input_room(job));
        let stdin = streams.stdin.as_ref().filter(|_| room.is_some_and(|room| room > 0));
        let log = streams.log.as_ref().and_then(Log::wants_room);
        let sinks = [&streams.stdout, &streams.stderr].into_iter().filter_map(Sink::wants_room);
        let waiting: Vec<_> = sinks.chain(log).collect();
        let mut fds = vec![PollFd::new(&*self.sandbox, PollFlags::IN)];
        let signals = self.signals.as_deref();
        fds.extend(signals.map(|signals| PollFd::new(signals, PollFlags::IN)));
        fds.extend(stdin.map(|stdin| PollFd::new(stdin, PollFlags::IN)));
        fds.extend(waiting.iter().map(|fd| PollFd::new(fd, PollFlags::OUT)));
        let now = Instant::now();
        let timeout = self.deadline().map(|deadline| deadline.saturating_duration_since(now));
        // It fails if a signal comes first; nothing is ready then.
        let _ = poll(&mut fds, timeout.and_then(|timeout| Timespec::try_from(timeout).ok()).as_ref());
        let mut ready = fds.iter().skip(1).map(|fd| !fd.revents().is_empty());
        let mut next = |is_there: bool| is_there && ready.next().unwrap_or_default();
        Ready { signals: next(signals.is_some()), stdin: next(stdin.is_some()), sinks: ready.any(|is| is) }
    }

    /// When something is due even if nothing is ready.
    fn deadline(&self) -> Option<Instant> {
        [self.sandbox.deadline(), self.job_deadline(), self.clock.flush_until].into_iter().flatten().min()
    }

    /// When the job's time is up, or its grace.
    fn job_deadline(&self) -> Option<Instant> {
        match self.clock.termed {
            Some(termed) if self.steps.is_running() => Some(termed + self.clock.grace),
            Some(_) => None,
            None => Some(self.steps.started? + self.clock.timeout?),
        }
    }

    /// Moves data between the caller's streams and the guest.
    fn pass_on(&mut self, ready: &Ready) -> Result<(), ampoule_protocol::Error> {
        let session = self.sandbox.session_mut();
        if ready.sinks {
            self.steps.streams.flush(session, self.steps.job)?;
        }
        if let Some(job) = self.steps.job.filter(|_| ready.stdin) {
            self.steps.streams.input(session, job)?;
        }
        self.steps.pump(session)
    }

    /// Does what the user's signals say.
    fn obey(&mut self) {
        while let Some(wish) = self.signals.as_mut().and_then(|signals| signals.next()) {
            match wish {
                Wish::End(signo) => self.ask_to_end(signo, Instant::now()),
                Wish::Pass(signo) if self.steps.is_running() => self.signal_job(signo),
                Wish::Pass(_) => {}
                Wish::Resize => self.resize(),
            }
        }
    }

    /// The first time, the job is asked; the second time, nobody is.
    fn ask_to_end(&mut self, signo: u8, now: Instant) {
        match self.asked_to_end {
            Some(first) if now < first + SAME_SIGNAL => {}
            None if self.steps.is_running() => {
                self.asked_to_end = Some(now);
                self.signal_job(signo);
            }
            None | Some(_) => self.interrupt(signo),
        }
    }

    fn signal_job(&mut self, signo: u8) {
        let Some(job) = self.steps.job else { return };
        if let Err(error) = self.sandbox.session_mut().signal(job, signo, SignalTarget::Group) {
            self.sandbox.stop(End::Unsayable(error), Manner::Kill);
        }
    }

    fn interrupt(&mut self, signo: u8) {
        self.force(Outcome::Interrupted { signo });
        self.clock.flush_until.get_or_insert(Instant::now() + FLUSH_GRACE);
        self.sandbox.stop(End::Interrupted { signo }, Manner::Kill);
    }

    /// Decides the outcome, unless the sandbox ended by itself before.
    fn force(&mut self, outcome: Outcome) {
        if self.steps.is_over() || !self.sandbox.is_ending() {
            self.forced.get_or_insert(outcome);
        }
    }

    fn resize(&mut self) {
        let Some(size) = self.steps.streams.terminal.as_ref().and_then(terminal_size) else { return };
        let Some(job) = self.steps.job else { return };
        if let Err(error) = self.sandbox.session_mut().resize(job, size) {
            self.sandbox.stop(End::Unsayable(error), Manner::Kill);
        }
    }

    fn look_at_the_clock(&mut self, now: Instant) {
        let (Some(deadline), Some(after)) = (self.job_deadline(), self.clock.timeout) else { return };
        if now < deadline {
            return;
        }
        match (self.clock.termed, self.steps.is_running()) {
            (None, true) => {
                self.force(Outcome::TimedOut { after });
                self.clock.termed = Some(now);
                self.signal_job(SIGTERM);
            }
            (Some(_), true) => {
                self.clock.flush_until.get_or_insert(now + FLUSH_GRACE);
                self.sandbox.stop(End::TimedOut { after }, Manner::Kill);
            }
            // The job ended in time, but nobody takes its output.
            (None, false) if self.steps.is_over() => {
                self.clock.termed = Some(now);
                if self.steps.streams.is_waiting() {
                    self.force(Outcome::TimedOut { after });
                    self.clock.flush_until.get_or_insert(now);
                }
            }
            // Its files are on their way out: the agent's answer has a deadline of its own.
            (_, false) => self.clock.termed = Some(now),
        }
    }

    fn conclude(mut self) -> Run {
        let lost = self
            .steps
            .streams
            .lost()
            .map(|lost| Outcome::OutputLost { stream: lost.stream, errno: lost.errno });
        let outcome = match (self.forced, self.steps.take_outcome()) {
            (Some(forced), _) => forced,
            (None, Some(ended @ (Outcome::Exited(_) | Outcome::OutOfMemory { .. }))) => lost.unwrap_or(ended),
            (None, Some(outcome)) => outcome,
            (None, None) => Outcome::Sandbox(self.sandbox.end().cloned().unwrap_or(End::Stopped)),
        };
        Run { outcome, exited: self.steps.exited, hello: self.steps.hello, streams: self.steps.streams }
    }
}

/// Size of a terminal; `None` if it is none, or does not know.
pub fn terminal_size(terminal: &OwnedFd) -> Option<TtySize> {
    let size = tcgetwinsize(terminal).ok()?;
    (size.ws_row > 0 && size.ws_col > 0).then_some(TtySize { rows: size.ws_row, cols: size.ws_col })
}
