//! What a job is made of, and how it ends.

use crate::bounded::{CBytes, EnvVar, List, MAX_STRINGS, Text};
use crate::error::Error;
use crate::filter::Filter;
use crate::ids::JobId;
use serde::{Deserialize, Serialize};

/// Start a process. Answered by `Started` or `StartFailed`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartJob {
    /// The name for this job; may not be that of a running one.
    pub job: JobId,
    /// Command and arguments. A command without a `/` is looked up in the `PATH` of the job's environment.
    pub argv: List<CBytes, 1, MAX_STRINGS>,
    /// Added to, and overriding, the agent's clean default of `PATH`, `HOME`, `USER` and, on a terminal, `TERM`.
    pub env: List<EnvVar, 0, MAX_STRINGS>,
    /// Working directory, created (with parents) if it is not there. Default: `/`.
    pub cwd: Option<CBytes>,
    /// Who runs the job. Default: root.
    pub user: Option<User>,
    /// Resource limits that differ from the agent's own.
    pub rlimits: List<Rlimit, 0, 16>,
    /// What file descriptors 0, 1 and 2 are.
    pub stdio: Stdio,
    /// The system calls that the job may make. With a filter the job can gain no privileges (`no_new_privs`). The filter has
    /// to allow `execve`, which starts the command.
    pub filter: Option<Filter>,
}

impl StartJob {
    /// A job with this command on pipes, with everything else at its default.
    pub fn new(job: JobId, argv: List<CBytes, 1, MAX_STRINGS>) -> Self {
        let stdio = Stdio::Pipes { stdin: Input::Stream };
        Self {
            job,
            argv,
            env: List::default(),
            cwd: None,
            user: None,
            rlimits: List::default(),
            stdio,
            filter: None,
        }
    }
}

/// The standard file descriptors of a job.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Stdio {
    /// Three separate pipes.
    Pipes {
        /// Where standard input comes from.
        stdin: Input,
    },
    /// One pseudo-terminal, the controlling terminal of the job's session. Only `Stdin` and `Stdout` are used.
    Tty(TtySize),
}

/// Where standard input comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Input {
    /// `/dev/null`; the job has no `Stdin` stream.
    Null,
    /// The `Stdin` stream.
    Stream,
}

/// Size of a terminal in characters.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct TtySize {
    /// Lines.
    pub rows: u16,
    /// Characters in a line.
    pub cols: u16,
}

/// A user and perhaps a group, as `docker run --user` has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct User {
    /// The user.
    pub user: Principal,
    /// The group. Default: the user's own in the guest's `/etc/passwd` (for an unknown uid: group 0).
    pub group: Option<Principal>,
}

/// A user or a group, by number or by its name in the guest's `/etc/passwd` or `/etc/group`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Principal {
    /// uid or gid.
    Id(u32),
    /// A name.
    Name(CBytes),
}

impl Principal {
    fn parse(text: &str, what: &'static str) -> Result<Self, Error> {
        if text.is_empty() {
            return Err(Error::InvalidValue { what, problem: "empty" });
        }
        if !text.bytes().all(|byte| byte.is_ascii_digit()) {
            return Ok(Principal::Name(CBytes::new(text)?));
        }
        match text.parse() {
            // (uid_t)-1 means "leave unchanged" to the setuid family.
            Ok(u32::MAX) | Err(_) => Err(Error::InvalidValue { what, problem: "number out of range" }),
            Ok(id) => Ok(Principal::Id(id)),
        }
    }
}

impl User {
    /// Parses `USER[:GROUP]`, where each is a name or a number.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (user, group) = match text.split_once(':') {
            Some((user, group)) => (user, Some(Principal::parse(group, "group")?)),
            None => (text, None),
        };
        Ok(Self { user: Principal::parse(user, "user")?, group })
    }
}

/// A resource limit, as `prlimit(2)` has them.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rlimit {
    /// What is limited.
    pub resource: Resource,
    /// Soft limit, in the unit of the resource; `u64::MAX` is no limit.
    pub soft: u64,
    /// Hard limit, likewise.
    pub hard: u64,
}

/// What can be limited; the discriminants are the `RLIMIT_*` numbers of Linux on x86-64.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
#[expect(missing_docs, reason = "named as in prlimit(2)")]
pub enum Resource {
    Cpu = 0,
    Fsize = 1,
    Data = 2,
    Stack = 3,
    Core = 4,
    Rss = 5,
    Nproc = 6,
    Nofile = 7,
    Memlock = 8,
    As = 9,
    Locks = 10,
    Sigpending = 11,
    Msgqueue = 12,
    Nice = 13,
    Rtprio = 14,
    Rttime = 15,
}

impl Resource {
    /// The `RLIMIT_*` number.
    pub const fn number(self) -> u8 {
        self as u8
    }
}

/// A job did not start. Its id is free again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct StartFailed {
    /// The job.
    pub job: JobId,
    /// What the agent was doing.
    pub step: StartStep,
    /// The Linux errno, or 0 if it was no system call that failed.
    pub errno: u16,
    /// One clause for people, such as `no user named "bob" in /etc/passwd`; may be empty.
    pub message: Text,
}

impl StartFailed {
    /// The exit code that a shell or container runtime would give: 127 for a command that is not there, 126 for one
    /// that cannot be executed, 125 for everything that went wrong before the command was tried.
    pub fn exit_code(&self) -> u8 {
        const ENOENT: u16 = 2;
        match (self.step, self.errno) {
            (StartStep::Exec, ENOENT) => 127,
            (StartStep::Exec | StartStep::Cwd, _) => 126,
            _ => 125,
        }
    }
}

/// The steps of starting a job, in their order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum StartStep {
    /// Taking the request: the id is in use, or there are too many jobs.
    Accept,
    /// Finding the user and group.
    User,
    /// Creating the pipes or the terminal.
    Stdio,
    /// Creating the process.
    Spawn,
    /// Setting up its session, terminal and file descriptors.
    Session,
    /// Setting its resource limits.
    Rlimits,
    /// Creating or entering the working directory.
    Cwd,
    /// Becoming the user.
    SetUser,
    /// Installing its filter of system calls.
    Filter,
    /// Finding or executing the command.
    Exec,
}

impl StartStep {
    /// The steps, in order.
    pub const ALL: [StartStep; 10] = [
        StartStep::Accept,
        StartStep::User,
        StartStep::Stdio,
        StartStep::Spawn,
        StartStep::Session,
        StartStep::Rlimits,
        StartStep::Cwd,
        StartStep::SetUser,
        StartStep::Filter,
        StartStep::Exec,
    ];
}

/// A job ended, and all that it had written was sent before. Its id is free again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Exited {
    /// The job.
    pub job: JobId,
    /// How its main process ended.
    pub status: Status,
    /// What the main process and the children it waited for used.
    pub usage: Usage,
    /// If SIGKILL ended the main process: how many processes the guest's kernel has killed, to get memory back, since
    /// the job started, as far as the agent can tell them from earlier ones. Else 0.
    pub oom_kills: u32,
}

impl Exited {
    /// Whether it was, by all that is known, the guest's kernel that killed the main process, for want of memory.
    pub fn is_out_of_memory(&self) -> bool {
        const SIGKILL: u8 = 9;
        matches!(self.status, Status::Signal { signo: SIGKILL, .. }) && self.oom_kills > 0
    }
}

/// How a process ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Status {
    /// It exited with this code.
    Code(u8),
    /// A signal ended it.
    Signal {
        /// The signal's number.
        signo: u8,
        /// Whether it dumped core.
        core: bool,
    },
}

impl Status {
    /// The exit code that a shell would give: the code itself, or 128 and the signal's number.
    pub fn exit_code(self) -> u8 {
        match self {
            Status::Code(code) => code,
            Status::Signal { signo, .. } => 128 | (signo & 0x7f),
        }
    }
}

/// Resource usage, from `wait4(2)`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Usage {
    /// From the start of the process to its end, in microseconds.
    pub wall_us: u64,
    /// User mode CPU time in microseconds.
    pub user_us: u64,
    /// Kernel mode CPU time in microseconds.
    pub system_us: u64,
    /// Largest resident set in KiB.
    pub max_rss_kib: u64,
    /// Page faults without I/O.
    pub minor_faults: u64,
    /// Page faults with I/O.
    pub major_faults: u64,
    /// Context switches that the job asked for by waiting.
    pub voluntary_switches: u64,
    /// Context switches by preemption.
    pub involuntary_switches: u64,
}
