//! Waiting for events.

use crate::Fatal;
use crate::sys::signal;
use ampoule_protocol::JobId;
use core::mem::MaybeUninit;
use rustix::event::epoll::{self, CreateFlags, Event, EventData, EventFlags};
use rustix::fd::{AsFd, BorrowedFd, OwnedFd};
use rustix::io::Errno;

/// Most events taken at once.
pub const MAX_EVENTS: usize = 32;

/// What an event is about.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// The connection to the host.
    Control,
    /// A job's input can be written.
    Stdin(JobId),
    /// A job's output can be read.
    Stdout(JobId),
    /// A job's error output can be read.
    Stderr(JobId),
}

impl Token {
    const fn number(self) -> u64 {
        let (kind, id) = match self {
            Token::Control => (0, 0),
            Token::Stdin(job) => (1, job.get()),
            Token::Stdout(job) => (2, job.get()),
            Token::Stderr(job) => (3, job.get()),
        };
        kind << 32 | id as u64
    }

    /// The token of an event.
    pub fn of(event: &Event) -> Self {
        let number = event.data.u64();
        match (number >> 32, JobId::new(number as u32)) {
            (1, Some(job)) => Token::Stdin(job),
            (2, Some(job)) => Token::Stdout(job),
            (3, Some(job)) => Token::Stderr(job),
            _ => Token::Control,
        }
    }
}

/// What to wait for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Wait {
    /// Anything.
    All,
    /// Only the connection to the host, to be writable or, if asked, readable: it does not take what there is.
    Control {
        /// Whether to wait for messages too.
        read: bool,
    },
}

/// An epoll instance, and a second one for when only the connection counts.
#[derive(Debug)]
pub struct Poller {
    all: OwnedFd,
    control: Option<(OwnedFd, EventFlags)>,
}

impl Poller {
    /// A poller that waits for the connection to be readable.
    pub fn new(control: BorrowedFd<'_>) -> Result<Self, Fatal> {
        let all = create()?;
        epoll::add(&all, control, EventData::new_u64(Token::Control.number()), EventFlags::IN)
            .map_err(Fatal::system("epoll_ctl on the connection"))?;
        Ok(Self { all, control: None })
    }

    /// Waits for a file to be readable from now on.
    pub fn add_reader(&self, fd: impl AsFd, token: Token) -> Result<(), Errno> {
        epoll::add(&self.all, fd, EventData::new_u64(token.number()), EventFlags::IN)
    }

    /// Waits for a file to be writable from now on.
    pub fn add_writer(&self, fd: impl AsFd, token: Token) -> Result<(), Errno> {
        epoll::add(&self.all, fd, EventData::new_u64(token.number()), EventFlags::OUT)
    }

    /// Waits for a file no more.
    pub fn remove(&self, fd: impl AsFd) -> Result<(), Errno> {
        epoll::delete(&self.all, fd)
    }

    /// Waits, at most `timeout_ms` (for ever, if negative). `INTR`: a child ended.
    pub fn wait<'e>(
        &mut self,
        wait: Wait,
        control: BorrowedFd<'_>,
        events: &'e mut [MaybeUninit<Event>; MAX_EVENTS],
        timeout_ms: i32,
    ) -> Result<Result<&'e [Event], Errno>, Fatal> {
        let epoll = match wait {
            Wait::All => self.all.as_fd(),
            Wait::Control { read } => self.control_only(control, read)?,
        };
        match signal::wait(epoll, events, timeout_ms) {
            Ok(events) => Ok(Ok(events)),
            Err(Errno::INTR) => Ok(Err(Errno::INTR)),
            Err(errno) => Err(Fatal::System { what: "epoll_pwait", errno }),
        }
    }

    #[cold]
    fn control_only(&mut self, control: BorrowedFd<'_>, read: bool) -> Result<BorrowedFd<'_>, Fatal> {
        let wanted = if read { EventFlags::OUT | EventFlags::IN } else { EventFlags::OUT };
        let data = EventData::new_u64(Token::Control.number());
        let (epoll, flags) = match self.control.take() {
            None => {
                let epoll = create()?;
                epoll::add(&epoll, control, data, wanted).map_err(Fatal::system("epoll_ctl"))?;
                (epoll, wanted)
            }
            Some(current) => current,
        };
        if flags != wanted {
            epoll::modify(&epoll, control, data, wanted).map_err(Fatal::system("epoll_ctl"))?;
        }
        Ok(self.control.insert((epoll, wanted)).0.as_fd())
    }
}

fn create() -> Result<OwnedFd, Fatal> {
    epoll::create(CreateFlags::CLOEXEC).map_err(Fatal::system("epoll_create1"))
}
