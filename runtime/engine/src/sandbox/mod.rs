//! A sandbox: the VMM's process, the connection to the agent, and the state of both.
//!
//! It has no threads and never blocks, but for [`Sandbox::wait`]. Its one descriptor ([`AsFd`]) is readable when
//! [`Sandbox::service`] has something to do; with [`Sandbox::deadline`] that is all that a poll loop, or an
//! asynchronous runtime, needs to know.

mod launch;

use crate::control::{Control, Received};
use crate::end::End;
use crate::life::{Action, Input, State};
use crate::liveness::Liveness;
use crate::process::{Gone, Jail, Process};
use crate::quota::{HostUsage, Quota};
use crate::report::Report;
use crate::session::{Event, Session, Violation};
use crate::timeline::{Nanos, Timeline};
use ampoule_cgroup::Cgroup;
use ampoule_policies::{Deadlines, Mib};
use ampoule_protocol::ByeReason;
use ampoule_vmm_api::Reason;
use rustix::event::epoll;
use rustix::io::{Errno, read};
use rustix::process::Signal;
use rustix::time::Timespec;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::time::Instant;

/// Most receives in one [`Sandbox::service`], so that the caller's other work has its turn.
const RECEIVES: usize = 16;
/// Most receives from a process that is gone: more than a socket holds.
const LAST_RECEIVES: usize = 64;

/// Somebody who wants to know what happens in a sandbox.
pub trait Handler {
    /// The agent said something. An error says that the answer cannot be sent; it ends the sandbox.
    fn event(&mut self, session: &mut Session, event: Event<'_>) -> Result<(), ampoule_protocol::Error>;

    /// The guest kernel wrote to its log. Hostile bytes.
    fn console(&mut self, bytes: &[u8]);
}

/// What a sandbox's epoll watches.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Watched {
    Control,
    Console,
    Report,
    Process,
}

impl Watched {
    /// In the order in which they are to be looked at.
    const ALL: [Self; 4] = [Self::Control, Self::Console, Self::Report, Self::Process];
}

/// How to end a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Manner {
    /// As fast as possible.
    Kill,
    /// The VMM is to say how the VM was (its timings, the end of the guest's log); it has a second for that.
    Terminate,
}

/// A running sandbox. Dropping it ends it, and waits until its process is gone.
#[derive(Debug)]
pub struct Sandbox {
    process: Process,
    control: Control,
    session: Session,
    report: Report,
    console: Option<OwnedFd>,
    /// Its other end is the VMM's: the VM ends when this process does, in whatever way.
    _lifeline: OwnedFd,
    /// `None` only within [`Sandbox::input`].
    state: Option<State>,
    liveness: Option<Liveness>,
    deadlines: Deadlines,
    memory: Mib,
    /// What to call the guest kernel: the VMM has it as an open file only.
    kernel: String,
    timeline: Timeline,
    epoll: OwnedFd,
    /// Whether the epoll also waits for room to send.
    wants_room: bool,
    /// The agent's bytes are not looked at any more.
    deaf: bool,
    peak_rss_kib: Option<u64>,
    quota: Quota,
    /// After the process, which is gone when this is dropped. `None` once it is removed.
    cgroup: Option<Cgroup>,
}

impl Sandbox {
    /// What was said to the agent and by it.
    pub fn session(&self) -> &Session {
        &self.session
    }

    /// The agent, to be told things. What is said goes out with the next [`Sandbox::service`] or [`Sandbox::flush`].
    pub fn session_mut(&mut self) -> &mut Session {
        &mut self.session
    }

    /// The guest's RAM.
    pub fn memory(&self) -> Mib {
        self.memory
    }

    /// When things happened.
    pub fn timeline(&self) -> &Timeline {
        &self.timeline
    }

    /// The VMM's greatest resident set in KiB, as far as it said so.
    pub fn peak_rss_kib(&self) -> Option<u64> {
        self.peak_rss_kib
    }

    /// The VMM's process id.
    pub fn vmm_pid(&self) -> i32 {
        self.process.pid()
    }

    /// What the VMM is locked up in.
    pub fn jail(&self) -> &Jail {
        self.process.jail()
    }

    /// Why it ended, if its process is gone. Everything that the guest had sent was handled before.
    pub fn end(&self) -> Option<&End> {
        match &self.state {
            Some(State::Over(end)) => Some(end),
            _ => None,
        }
    }

    /// Whether it is ending or has ended.
    pub fn is_ending(&self) -> bool {
        matches!(self.state, Some(State::Ending { .. } | State::Over(_)))
    }

    /// Ends it. The first reason given is the one that counts.
    pub fn stop(&mut self, end: End, manner: Manner) {
        self.input(match manner {
            Manner::Kill => Input::Kill(end),
            Manner::Terminate => Input::Terminate(end),
        });
    }

    /// When [`Sandbox::service`] is due even if nothing is readable.
    pub fn deadline(&self) -> Option<Instant> {
        let state = match &self.state {
            Some(State::Serving) => self.liveness.as_ref().map(Liveness::deadline),
            Some(state) => state.deadline(),
            None => None,
        };
        let quota = self.quota.deadline().filter(|_| !self.is_ending());
        [state, quota].into_iter().flatten().min()
    }

    /// What the sandbox has used of the host, as far as that is known: all of it once its process is gone.
    pub fn usage(&self) -> HostUsage {
        self.quota.usage()
    }

    /// Does what there is to do: receives, handles, sends, looks at the clock.
    pub fn service(&mut self, handler: &mut impl Handler) {
        for event in self.ready() {
            match event {
                Watched::Control => self.receive(handler, RECEIVES),
                Watched::Console => self.read_console(handler),
                Watched::Report => self.read_report(RECEIVES),
                Watched::Process => self.check_process(handler),
            }
        }
        self.tick();
        self.flush();
    }

    /// What is readable, with the process last: what it had written goes before its end.
    fn ready(&self) -> impl Iterator<Item = Watched> + use<> {
        let mut events = Vec::with_capacity(Watched::ALL.len());
        // It fails only if a signal comes first; the descriptor is still readable then.
        let _ =
            epoll::wait(&self.epoll, rustix::buffer::spare_capacity(&mut events), Some(&Timespec::default()));
        let is_ready =
            move |watched: &Watched| events.iter().any(|event| event.data.u64() == *watched as u64);
        Watched::ALL.into_iter().filter(is_ready)
    }

    /// Sends what waits, as far as possible.
    pub fn flush(&mut self) {
        let left = self.control.send(self.session.outgoing());
        if left != self.wants_room {
            let room = if left { epoll::EventFlags::OUT } else { epoll::EventFlags::empty() };
            let flags = epoll::EventFlags::IN | room;
            // It fails only after the connection ended, when there is nothing to wait for.
            let data = epoll::EventData::new_u64(Watched::Control as u64);
            let _ = epoll::modify(&self.epoll, self.control.socket(), data, flags);
            self.wants_room = left;
        }
    }

    /// Waits until its process is gone, once it is ending. What the agent says meanwhile is dropped. A process that has
    /// not gone by itself when its time is up, whatever it said, is killed.
    pub fn wait(&mut self) -> Option<&End> {
        while let Some(State::Ending { until, .. }) = self.state {
            if let Some(until) = until {
                self.process.wait_until(until);
            }
            let gone = if until.is_some() { self.process.poll_gone() } else { self.process.wait() };
            match gone {
                Some(gone) => self.gone(gone),
                None => self.input(Input::Tick),
            }
        }
        self.end()
    }

    fn receive(&mut self, handler: &mut impl Handler, times: usize) {
        for _ in 0..times {
            if self.deaf {
                return;
            }
            let received = self.control.receive();
            self.decode(handler);
            match received {
                Received::More => {}
                Received::All => return,
                Received::End => {
                    self.deaf = true;
                    self.unwatch(self.control.socket().as_fd());
                    // A VM that ended may have cut the stream anywhere.
                    self.input(Input::ConnectionLost(match self.control.decoder.is_at_boundary() {
                        true => End::AgentGone,
                        false => End::AgentViolation(Violation::Truncated),
                    }));
                }
            }
        }
    }

    fn decode(&mut self, handler: &mut impl Handler) {
        while !self.deaf {
            let event = match self.control.decoder.next_frame() {
                Ok(None) => return,
                Ok(Some(frame)) => self.session.handle(frame),
                Err(error) => Err(error.into()),
            };
            let input = match event {
                Ok(None) => None,
                Ok(Some(event)) => {
                    if let Some(liveness) = &mut self.liveness {
                        liveness.heard(Instant::now());
                    }
                    let input = consequence(&event, &mut self.timeline);
                    match handler.event(&mut self.session, event) {
                        Ok(()) => input,
                        Err(error) => Some(Input::Kill(End::Unsayable(error))),
                    }
                }
                Err(violation) => Some(Input::Violation(violation)),
            };
            if let Some(input) = input {
                self.input(input);
            }
        }
    }

    fn read_console(&mut self, handler: &mut impl Handler) {
        let Some(console) = &self.console else { return };
        let mut chunk = [0; 4096];
        for _ in 0..RECEIVES {
            match read(console, &mut chunk) {
                Ok(len @ 1..) => handler.console(chunk.get(..len).unwrap_or_default()),
                Err(Errno::INTR) => {}
                Err(Errno::AGAIN) => return,
                Ok(_) | Err(_) => {
                    self.unwatch(console.as_fd());
                    self.console = None;
                    return;
                }
            }
        }
    }

    fn read_report(&mut self, times: usize) {
        if !self.report.read(times) {
            return;
        }
        self.unwatch(self.report.as_fd());
        if let Some(mut status) = self.report.status() {
            if status.reason == Reason::BadKernel {
                status.message = format!("{}: {}", self.kernel, status.message);
            }
            self.timeline.vmm = status.timings;
            self.peak_rss_kib = Some(status.peak_rss_kib);
            self.input(Input::Status(status, self.memory));
        }
    }

    fn check_process(&mut self, handler: &mut impl Handler) {
        if let Some(gone) = self.process.poll_gone() {
            // All that it had written is there now.
            self.read_report(LAST_RECEIVES);
            self.receive(handler, LAST_RECEIVES);
            self.read_console(handler);
            self.gone(gone);
        }
    }

    fn gone(&mut self, gone: Gone) {
        self.timeline.gone = Some(Nanos::now());
        self.unwatch(self.process.as_fd());
        let said = self.report.said();
        if let Some(cgroup) = self.cgroup.take() {
            self.quota.note_group(cgroup.usage());
        }
        if let Some(end) = self.quota.end_of(gone, self.memory) {
            return self.input(Input::ProcessGone(end));
        }
        self.input(Input::ProcessGone(match gone {
            Gone::Exited(code) => End::VmmExited { code, said },
            Gone::Killed(signo) if signo == Signal::SYS.as_raw() => End::VmmFiltered { said },
            Gone::Killed(signo) => End::VmmKilled { signo, said },
        }));
    }

    fn tick(&mut self) {
        let now = Instant::now();
        self.input(Input::Tick);
        if !self.is_ending()
            && let Some(end) = self.quota.tick(&self.process, now)
        {
            self.input(Input::Kill(end));
        }
        if !matches!(self.state, Some(State::Serving)) {
            return;
        }
        if let Some(liveness) = &mut self.liveness {
            liveness.update(&self.session, now);
            if let Some(end) = liveness.tick(&mut self.session, now) {
                self.input(Input::Kill(end));
            }
        }
    }

    fn input(&mut self, input: Input) {
        let now = Instant::now();
        if input == Input::Hello {
            self.liveness = Some(Liveness::new(self.deadlines.answer, self.deadlines.ping, now));
        }
        // Nothing that an agent says counts once it misbehaved.
        self.deaf |= matches!(input, Input::Violation(_));
        let Some(state) = self.state.take() else { return };
        let (state, action) = state.transition(input, now);
        self.state = Some(state);
        match action {
            Action::Nothing => {}
            Action::Terminate => self.process.terminate(),
            Action::Kill => self.process.kill(),
        }
    }

    fn unwatch(&self, fd: BorrowedFd<'_>) {
        // It fails only if that was done already.
        let _ = epoll::delete(&self.epoll, fd);
    }
}

impl AsFd for Sandbox {
    fn as_fd(&self) -> BorrowedFd<'_> {
        self.epoll.as_fd()
    }
}

/// What an event means for the sandbox as a whole.
fn consequence(event: &Event<'_>, timeline: &mut Timeline) -> Option<Input> {
    match event {
        Event::Hello(hello) => {
            timeline.note_hello(hello);
            Some(Input::Hello)
        }
        Event::Started { .. } => {
            timeline.job_started.get_or_insert_with(Nanos::now);
            None
        }
        Event::Exited(_) | Event::StartFailed(_) => {
            timeline.job_ended = Some(Nanos::now());
            None
        }
        Event::Bye(ByeReason::Fatal(why)) => Some(Input::Terminate(End::AgentFatal(why.clone()))),
        Event::Bye(ByeReason::ProtocolError(why)) => Some(Input::Terminate(End::AgentRefused(why.clone()))),
        Event::Bye(ByeReason::Shutdown) => Some(Input::Terminate(End::Stopped)),
        _ => None,
    }
}
