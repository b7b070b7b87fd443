//! Starting a job: from the host's request to a running process.

use crate::cstrings::{CPath, CStrings};
use crate::environment::Environment;
use crate::errno_number;
use crate::job::{Job, Phase, winsize};
use crate::oom::OomKills;
use crate::poller::{Poller, Token};
use crate::stdio::{Kind, Sink, Source};
use crate::sys::child::{self, Ids, Launch, Terminal};
use crate::sys::clock;
use crate::user::{Identity, NotFound};
use ampoule_protocol::{Input, JobId, StartFailed, StartJob, StartStep, Stdio, Stream, Text, TtySize};
use rustix::fd::{AsFd, OwnedFd};
use rustix::fs::{CWD, Mode, OFlags, fcntl_setfl, openat};
use rustix::io::{Errno, fcntl_dupfd_cloexec};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::pty::{OpenptFlags, openpt, ptsname, unlockpt};
use rustix::termios::tcsetwinsize;

/// Starts a job.
pub fn launch(start: &StartJob, poller: &Poller, oom: OomKills) -> Result<Job, StartFailed> {
    let failed = |step| move |errno| failure(start.job, step, errno, "");
    let identity =
        start.user.as_ref().map(Identity::find).transpose().map_err(|error| not_found(start, &error))?;
    let stdio = Ends::open(start.stdio).map_err(failed(StartStep::Stdio))?;
    let started_ns = clock::monotonic_ns();
    let pid = execute(start, identity.as_ref(), &stdio)?;
    // From here on there is a process, so nothing may fail: an output that cannot be watched is closed.
    let source =
        |token, stream, fd: Option<OwnedFd>| fd.and_then(|fd| Source::new(token, stream, fd, poller).ok());
    let id = start.job;
    Ok(Job {
        id,
        pid,
        started_ns,
        oom_kills_before: oom.known(),
        phase: Phase::Running,
        kind: stdio.kind,
        stdin: stdio.stdin.map(|fd| Sink::new(id, fd, stdio.kind)),
        stdout: source(Token::Stdout(id), Stream::Stdout(id), Some(stdio.stdout)),
        stderr: source(Token::Stderr(id), Stream::Stderr(id), stdio.stderr),
    })
}

fn execute(start: &StartJob, identity: Option<&Identity>, stdio: &Ends) -> Result<u32, StartFailed> {
    let terminal = stdio.kind == Kind::Terminal;
    let environment = Environment::new(identity, terminal, &start.env);
    let command = start.argv.first().map(|argument| argument.as_bytes()).unwrap_or_default();
    let mut launch = Launch {
        stdio: stdio.theirs.each_ref().map(|fd| fd.as_fd()),
        terminal: if terminal { Terminal::Stdin } else { Terminal::None },
        rlimits: &start.rlimits,
        cwd: start.cwd.as_ref().map(|cwd| CPath::new(cwd)),
        identity: identity.map(|who| Ids { uid: who.uid, gid: who.gid, groups: &who.groups }),
        filter: start.filter.as_deref(),
        candidates: &candidates(command, environment.path()),
        argv: &CStrings::new(start.argv.iter().map(|argument| [argument.as_bytes()])),
        envp: &CStrings::new(environment.iter()),
    };
    child::start(&mut launch).map_err(|error| failure(start.job, error.step, error.errno, ""))
}

/// The files that a command may mean: itself if it has a slash, else one in each directory of the path.
fn candidates(command: &[u8], path: &[u8]) -> CStrings {
    if command.is_empty() {
        return CStrings::new(core::iter::empty::<[&[u8]; 1]>());
    }
    if command.contains(&b'/') {
        return CStrings::new(core::iter::once([command]));
    }
    let directories = path.split(|&byte| byte == b':');
    // An empty element means the working directory.
    let directories = directories.map(|directory| if directory.is_empty() { &b"."[..] } else { directory });
    CStrings::new(directories.map(|directory| [directory, b"/", command]))
}

/// Both ends of a job's standard files.
struct Ends {
    kind: Kind,
    stdin: Option<OwnedFd>,
    stdout: OwnedFd,
    stderr: Option<OwnedFd>,
    theirs: [OwnedFd; 3],
}

impl Ends {
    fn open(stdio: Stdio) -> Result<Self, Errno> {
        match stdio {
            Stdio::Pipes { stdin } => Self::pipes(stdin),
            Stdio::Tty(size) => Self::terminal(size),
        }
    }

    fn pipes(stdin: Input) -> Result<Self, Errno> {
        let (stdin, their_stdin) = match stdin {
            Input::Null => (None, open(b"/dev/null", OFlags::RDONLY)?),
            Input::Stream => {
                let (read, write) = pipe()?;
                fcntl_setfl(&write, OFlags::NONBLOCK)?;
                (Some(write), read)
            }
        };
        let (stdout, their_stdout) = pipe()?;
        let (stderr, their_stderr) = pipe()?;
        fcntl_setfl(&stdout, OFlags::NONBLOCK)?;
        fcntl_setfl(&stderr, OFlags::NONBLOCK)?;
        let theirs = [their_stdin, their_stdout, their_stderr];
        Ok(Self { kind: Kind::Pipe, stdin, stdout, stderr: Some(stderr), theirs })
    }

    #[cold]
    fn terminal(size: TtySize) -> Result<Self, Errno> {
        let flags = OpenptFlags::RDWR | OpenptFlags::NOCTTY | OpenptFlags::CLOEXEC;
        let master = openpt(flags)?;
        fcntl_setfl(&master, OFlags::RDWR | OFlags::NONBLOCK)?;
        unlockpt(&master)?;
        tcsetwinsize(&master, winsize(size))?;
        let name = ptsname(&master, alloc::vec::Vec::new())?;
        let slave = open(name.to_bytes(), OFlags::RDWR | OFlags::NOCTTY)?;
        // A second descriptor, so that reading and writing can be waited for apart.
        let stdin = fcntl_dupfd_cloexec(&master, 3)?;
        let copy = || fcntl_dupfd_cloexec(&slave, 3);
        let theirs = [copy()?, copy()?, slave];
        Ok(Self { kind: Kind::Terminal, stdin: Some(stdin), stdout: master, stderr: None, theirs })
    }
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Errno> {
    pipe_with(PipeFlags::CLOEXEC)
}

fn open(path: &[u8], flags: OFlags) -> Result<OwnedFd, Errno> {
    openat(CWD, path, flags | OFlags::CLOEXEC, Mode::empty())
}

/// The report of a failure.
#[cold]
pub fn failure(job: JobId, step: StartStep, errno: Errno, message: &str) -> StartFailed {
    StartFailed { job, step, errno: errno_number(errno), message: Text::new(message) }
}

#[cold]
fn not_found(start: &StartJob, error: &NotFound) -> StartFailed {
    let (errno, message) = match error {
        NotFound::User => (0, "no such user in /etc/passwd"),
        NotFound::Group => (0, "no such group in /etc/group"),
        NotFound::Unreadable(errno) => (errno_number(*errno), "cannot read the user database"),
    };
    StartFailed { job: start.job, step: StartStep::User, errno, message: Text::new(message) }
}
