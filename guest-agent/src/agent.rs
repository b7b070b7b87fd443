//! The agent: its state and its loop.

use crate::Fatal;
use crate::boot::{self, Kernel};
use crate::connection::{Connection, Received};
use crate::job::{Job, Output, Phase};
use crate::leftovers;
use crate::network;
use crate::oom::OomKills;
use crate::options::Options;
use crate::poller::{MAX_EVENTS, Poller, Token, Wait};
use crate::sys::clock;
use crate::sys::process::{Reaped, reap};
use crate::sys::signal::{self, Target};
use crate::transfer::Transfer;
use alloc::collections::BTreeMap;
use alloc::string::ToString;
use alloc::vec::Vec;
use ampoule_protocol::{
    ByeReason, Decoder, FileId, GuestMessage, HostMessage, JobId, MAX_DATA, Status, Text, Usage,
};
use core::mem::MaybeUninit;
use linux_raw_sys::general::{SIGKILL, SIGTERM};
use rustix::process::{getpid, set_child_subreaper};

/// Times round the loop after which ended children are looked for even though there always was something to do.
const REAP_INTERVAL: u32 = 16;
/// How a job's status tells of SIGKILL.
const SIGKILLED: u8 = SIGKILL as u8;
/// How long a job may take to end after SIGKILL when the agent shuts down, in nanoseconds. Its output may be stuck.
const KILL_NS: u64 = 2_000_000_000;
/// How long the host may take to read the last message, in nanoseconds.
const LINGER_NS: u64 = 500_000_000;

/// What the agent is to the system.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// PID 1: all processes are its jobs', and its end is the machine's.
    Init,
    /// An ordinary process, for tests.
    Ordinary,
}

/// The agent.
#[derive(Debug)]
pub struct Agent {
    pub(crate) role: Role,
    pub(crate) host: Connection,
    pub(crate) poller: Poller,
    pub(crate) jobs: BTreeMap<JobId, Job>,
    pub(crate) transfers: BTreeMap<FileId, Transfer>,
    pub(crate) stopping: Option<Stopping>,
    pub(crate) oom: OomKills,
    decoder: Decoder<HostMessage>,
    scratch: Vec<u8>,
    /// How many jobs are over and have output left.
    draining: usize,
    /// Whether there may be processes that are no job's main process.
    others: bool,
}

/// The host asked for the end.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Stopping {
    /// When to use more force.
    deadline_ns: u64,
    /// Whether all that can be done was done.
    killed: bool,
}

/// Runs until the host asks for the end or something forces it, then powers off or exits.
pub fn run(options: Options) -> ! {
    let started_ns = clock::monotonic_ns();
    let role = if getpid().is_init() { Role::Init } else { Role::Ordinary };
    let mut agent = match Agent::connect(options, role, started_ns) {
        Ok(agent) => agent,
        Err(error) => {
            crate::power::complain(&error.to_string());
            crate::power::off(role, 1)
        }
    };
    let reason = match agent.serve() {
        Ok(()) => Some(ByeReason::Shutdown),
        Err(Fatal::HostGone) => None,
        Err(Fatal::Protocol(error)) => Some(ByeReason::ProtocolError(Text::new(&error.to_string()))),
        Err(error) => Some(ByeReason::Fatal(Text::new(&error.to_string()))),
    };
    agent.kill_all();
    // What was not complete leaves nothing behind.
    agent.transfers.clear();
    let code = u8::from(!matches!(reason, None | Some(ByeReason::Shutdown)));
    if let Some(reason) = reason {
        agent.say_bye(reason);
    }
    crate::power::off(role, code)
}

impl Agent {
    fn connect(options: Options, role: Role, started_ns: u64) -> Result<Self, Fatal> {
        let (socket, hello, kernel) = boot::connect(options.host, started_ns)?;
        let mut host = Connection::new(socket);
        host.say(&GuestMessage::Hello(hello))?;
        host.flush()?;
        // The host knows by now that the guest is up; the rest is done while it makes its first request.
        signal::set_up().map_err(Fatal::system("sigaction"))?;
        let mut oom = OomKills::default();
        match role {
            Role::Init => {
                if kernel == Kernel::Other {
                    boot::mount_all();
                }
                network::set_up(kernel);
            }
            Role::Ordinary => {
                set_child_subreaper(Some(getpid())).map_err(Fatal::system("prctl"))?;
                // The machine has been up for long.
                oom.read();
            }
        }
        let poller = Poller::new(host.fd())?;
        Ok(Self {
            role,
            host,
            poller,
            jobs: BTreeMap::new(),
            transfers: BTreeMap::new(),
            stopping: None,
            oom,
            decoder: Decoder::new(),
            scratch: Vec::new(),
            draining: 0,
            others: false,
        })
    }

    fn serve(&mut self) -> Result<(), Fatal> {
        let mut events = [MaybeUninit::uninit(); MAX_EVENTS];
        let mut busy = 0;
        loop {
            if !self.transfers.is_empty() {
                self.pump_transfers()?;
            }
            self.settle()?;
            self.host.flush()?;
            if self.is_stopped() {
                return Ok(());
            }
            let wait = match self.host.is_blocked() {
                true => Wait::Control { read: self.host.may_receive() },
                false => Wait::All,
            };
            let timeout = self.timeout_ms();
            match self.poller.wait(wait, self.host.fd(), &mut events, timeout)? {
                Ok(events) => {
                    for event in events {
                        self.handle(Token::of(event))?;
                    }
                    busy += 1;
                    if busy % REAP_INTERVAL == 0 {
                        self.reap_all()?;
                    }
                }
                Err(_child_ended) => self.reap_all()?,
            }
        }
    }

    fn handle(&mut self, token: Token) -> Result<(), Fatal> {
        match token {
            Token::Control => self.receive(),
            Token::Stdin(job) => match self.jobs.get_mut(&job) {
                Some(job) => {
                    let poller = &self.poller;
                    job.with_stdin(&mut self.host, |stdin, host| stdin.writable(poller, host))
                }
                None => Ok(()),
            },
            Token::Stdout(job) => self.pump(job, Output::Stdout),
            Token::Stderr(job) => self.pump(job, Output::Stderr),
        }
    }

    fn receive(&mut self) -> Result<(), Fatal> {
        if !self.host.may_receive() {
            return Ok(());
        }
        if self.host.receive(&mut self.decoder)? == Received::Nothing {
            return Ok(());
        }
        // Acting on a frame needs all of the agent but the decoder, which holds the frame.
        let mut decoder = core::mem::take(&mut self.decoder);
        while let Some(frame) = decoder.next_frame()? {
            self.dispatch(frame)?;
        }
        self.decoder = decoder;
        Ok(())
    }

    pub(crate) fn pump(&mut self, job: JobId, which: Output) -> Result<(), Fatal> {
        self.need_scratch();
        match self.jobs.get_mut(&job) {
            Some(job) => job.pump(which, &mut self.scratch, &self.poller, &mut self.host),
            None => Ok(()),
        }
    }

    fn need_scratch(&mut self) {
        if self.scratch.is_empty() {
            self.scratch = alloc::vec![0; MAX_DATA];
        }
    }

    #[cold]
    fn pump_transfers(&mut self) -> Result<(), Fatal> {
        self.need_scratch();
        let mut over = Vec::new();
        for (&file, transfer) in &mut self.transfers {
            let Transfer::Get(get) = transfer else { continue };
            if !get.is_ready() || self.host.is_blocked() {
                continue;
            }
            if let Some(result) = get.pump(&mut self.scratch, &mut self.host)? {
                self.host.say(&result)?;
                over.push(file);
            }
        }
        over.iter().for_each(|file| drop(self.transfers.remove(file)));
        Ok(())
    }

    /// Takes note of all children that ended.
    fn reap_all(&mut self) -> Result<(), Fatal> {
        loop {
            match reap() {
                Reaped::Child(pid, status, usage) => self.child_ended(pid, status, usage)?,
                Reaped::AllAlive => {
                    self.others = true;
                    return Ok(());
                }
                Reaped::None => {
                    self.others = false;
                    return Ok(());
                }
            }
        }
    }

    fn child_ended(&mut self, pid: u32, status: Status, usage: Usage) -> Result<(), Fatal> {
        let job = self.jobs.values_mut().find(|job| job.pid == pid && job.phase == Phase::Running);
        // Others are orphans of jobs, and children that could not execute their command.
        let Some(job) = job else { return Ok(()) };
        // Only a job that was killed may have been killed for that; the others need not wait for an answer.
        let oom_kills = match status {
            Status::Signal { signo: SIGKILLED, .. } => self.oom.read().saturating_sub(job.oom_kills_before),
            Status::Signal { .. } | Status::Code(_) => 0,
        };
        job.main_ended(status, usage, u32::try_from(oom_kills).unwrap_or(u32::MAX));
        let id = job.id;
        self.draining += 1;
        self.pump(id, Output::Stdout)?;
        self.pump(id, Output::Stderr)
    }

    /// Reports the jobs that are over, and hurries those that should be.
    fn settle(&mut self) -> Result<(), Fatal> {
        if self.stopping.is_some() {
            self.press()?;
        }
        if self.draining == 0 {
            return Ok(());
        }
        let draining = self.jobs.values().filter(|job| job.phase != Phase::Running);
        let draining: Vec<_> = draining.map(|job| (job.id, job.pid, job.deadline_ns())).collect();
        for (id, pid, deadline) in draining {
            if self.jobs.get(&id).is_some_and(|job| job.result().is_none()) {
                self.hurry(id, pid, deadline)?;
            }
            let Some(result) = self.jobs.get(&id).and_then(Job::result) else { continue };
            self.kill_leftovers(pid);
            self.jobs.remove(&id);
            self.draining -= 1;
            self.host.say(&GuestMessage::Exited(result))?;
        }
        Ok(())
    }

    /// Looks after a job that is over but for its output.
    fn hurry(&mut self, id: JobId, pid: u32, deadline_ns: Option<u64>) -> Result<(), Fatal> {
        match deadline_ns {
            Some(deadline_ns) if deadline_ns > clock::monotonic_ns() => return Ok(()),
            // Others still write, or could. That is enough.
            Some(_) => {
                self.kill_leftovers(pid);
                self.jobs.get_mut(&id).into_iter().for_each(Job::limit_output);
            }
            None => {}
        }
        // The pipe may be empty: no event will tell.
        self.pump(id, Output::Stdout)?;
        self.pump(id, Output::Stderr)
    }

    /// Kills what is left of a job whose main process had this id.
    fn kill_leftovers(&self, pid: u32) {
        let reused = self.jobs.values().any(|job| job.pid == pid && job.phase == Phase::Running);
        if self.others && !reused {
            leftovers::kill_session(pid);
        }
    }

    /// When to wake up without an event, in milliseconds; negative: never.
    fn timeout_ms(&self) -> i32 {
        let ready = |transfer: &Transfer| matches!(transfer, Transfer::Get(get) if get.is_ready());
        if !self.host.is_blocked() && self.transfers.values().any(ready) {
            return 0;
        }
        let jobs = self.jobs.values().filter_map(Job::deadline_ns);
        let stopping = self.stopping.map(|stopping| stopping.deadline_ns);
        let Some(deadline) = jobs.chain(stopping).min() else { return -1 };
        // Rounded up, so that the time has come when the wait is over.
        let ms = deadline.saturating_sub(clock::monotonic_ns()).div_ceil(1_000_000);
        i32::try_from(ms).unwrap_or(i32::MAX)
    }

    /// The host wants the end.
    #[cold]
    pub(crate) fn stop(&mut self, grace_ms: u32) {
        if self.stopping.is_some() {
            return;
        }
        let grace_ns = u64::from(grace_ms) * 1_000_000;
        let deadline_ns = clock::monotonic_ns().saturating_add(grace_ns);
        self.stopping = Some(Stopping { deadline_ns, killed: false });
        if grace_ms > 0 {
            self.signal_jobs(SIGTERM);
        }
    }

    /// Kills what did not end in time, and in the end forgets what cannot be killed.
    #[cold]
    fn press(&mut self) -> Result<(), Fatal> {
        let now = clock::monotonic_ns();
        let Some(stopping) = &mut self.stopping else { return Ok(()) };
        if stopping.deadline_ns > now {
            return Ok(());
        }
        if stopping.killed {
            self.jobs.clear();
            return Ok(());
        }
        *stopping = Stopping { deadline_ns: now.saturating_add(KILL_NS), killed: true };
        self.kill_all();
        Ok(())
    }

    fn is_stopped(&self) -> bool {
        self.stopping.is_some() && self.jobs.is_empty()
    }

    #[cold]
    fn signal_jobs(&self, signo: u32) {
        for job in self.jobs.values().filter(|job| job.phase == Phase::Running) {
            let _ended = signal::kill(Target::Group(job.pid), signo as u8);
        }
    }

    #[cold]
    fn kill_all(&self) {
        match self.role {
            Role::Init => {
                let _nobody = signal::kill(Target::Everybody, SIGKILL as u8);
            }
            Role::Ordinary => self.jobs.values().for_each(|job| leftovers::kill_session(job.pid)),
        }
    }

    /// Says the last word, and waits a little for the host to take it.
    #[cold]
    fn say_bye(&mut self, reason: ByeReason) {
        let deadline = clock::monotonic_ns().saturating_add(LINGER_NS);
        if self.host.say(&GuestMessage::Bye(reason)).is_err() {
            return;
        }
        while self.host.flush().is_ok() {
            let left = deadline.saturating_sub(clock::monotonic_ns());
            if left == 0 || self.host.discard(left).is_err() {
                return;
            }
        }
    }
}
