//! `wait4(2)` and `waitid(2)`: news of children.

use super::current;
use super::process::{self, ExitStatus, JobEvent, Process, Usage};
use super::sched;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, Result};
use core::sync::atomic::Ordering;

/// Which children a wait is about.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Selection {
    /// All.
    Any,
    /// One.
    Pid(u32),
    /// The members of a process group.
    Group(u32),
}

/// Children are told apart by the signal that their end sends.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum ChildKind {
    /// Those that send `SIGCHLD`.
    Ordinary,
    /// All others (`__WCLONE`).
    Clone,
    /// Both (`__WALL`).
    All,
}

/// What a wait is about.
#[derive(Clone, Copy)]
pub struct Options {
    /// Which children.
    pub selection: Selection,
    /// Children of which kind.
    pub kind: ChildKind,
    /// Their end.
    pub exited: bool,
    /// Their stop (`WUNTRACED`, `WSTOPPED`).
    pub stopped: bool,
    /// Their going on.
    pub continued: bool,
    /// Return at once.
    pub no_hang: bool,
    /// Leave the news for a later wait (`WNOWAIT`).
    pub keep: bool,
}

/// What has happened to a child.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Event {
    /// It has ended.
    Exited(ExitStatus),
    /// It was stopped by this signal.
    Stopped(u8),
    /// It went on.
    Continued,
}

/// News of one child.
#[derive(Clone, Copy)]
pub struct News {
    /// The child.
    pub pid: u32,
    /// Its user.
    pub uid: u32,
    /// What happened.
    pub event: Event,
    /// What it and its own children used.
    pub usage: Usage,
}

impl News {
    /// The status word of `wait4(2)`.
    pub fn status(&self) -> u32 {
        match self.event {
            Event::Exited(status) => status.wait_status(),
            Event::Stopped(signo) => u32::from(signo) << 8 | 0x7f,
            Event::Continued => 0xffff,
        }
    }
}

/// Waits. `None`: `no_hang`, and nothing has happened.
pub fn wait(options: Options) -> Result<Option<News>> {
    let process = &current().process;
    let attempt = || match look(process, &options) {
        Ok(None) if options.no_hang => Some(Ok(None)),
        Ok(None) => None,
        other => Some(other),
    };
    sched::block_on(&[&process.child_news], None, attempt).unwrap_or_else(|why| Err(why.errno(Errno::EINTR)))
}

fn look(process: &Process, options: &Options) -> Result<Option<News>> {
    let mut any = false;
    let found = process.children.lock().iter().filter(|child| matches(child, options)).find_map(|child| {
        // Of one that has ended there will be no other news.
        any |= options.exited || !child.ended();
        Some((child.clone(), event_of(child, options)?))
    });
    let Some((child, event)) = found else { return if any { Ok(None) } else { Err(Errno::ECHILD) } };
    let own = child.usage();
    let mut usage = *child.children_usage.lock();
    usage.add(own);
    let news = News { pid: child.pid, uid: child.credentials.lock().uid, event, usage };
    if !options.keep && matches!(event, Event::Exited(_)) {
        reap(process, &child, usage);
    }
    Ok(Some(news))
}

fn matches(child: &Process, options: &Options) -> bool {
    let ordinary = child.exit_signal.load(Ordering::Relaxed) == linux_raw_sys::general::SIGCHLD;
    let wanted = match options.kind {
        ChildKind::All => true,
        ChildKind::Ordinary => ordinary,
        ChildKind::Clone => !ordinary,
    };
    wanted
        && match options.selection {
            Selection::Any => true,
            Selection::Pid(pid) => child.pid == pid,
            Selection::Group(pgid) => child.pgid.load(Ordering::Relaxed) == pgid,
        }
}

fn event_of(child: &Process, options: &Options) -> Option<Event> {
    if let Some(status) = *child.exit_status.lock() {
        return options.exited.then_some(Event::Exited(status));
    }
    let mut event = child.job_event.lock();
    let found = match *event {
        JobEvent::Stopped(signo) if options.stopped => Event::Stopped(signo),
        JobEvent::Continued if options.continued => Event::Continued,
        _ => return None,
    };
    if !options.keep {
        *event = JobEvent::None;
    }
    Some(found)
}

fn reap(parent: &Process, child: &Arc<Process>, usage: Usage) {
    parent.children.lock().retain(|other| other.pid != child.pid);
    parent.children_usage.lock().add(usage);
    process::unregister(child.pid);
}
