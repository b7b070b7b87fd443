//! What to run.

use crate::Manner;
use crate::hostfile::HostFile;
use ampoule_protocol::{
    CBytes, EnvVar, Error, Filter, Input, JobId, List, Resource, Rlimit, StartJob, Stdio, User,
};
use std::fs::File;
use std::path::PathBuf;
use std::time::Duration;

/// Where nothing else is said.
const KILL_GRACE: Duration = Duration::from_secs(2);

/// A job: a command, its surroundings, and files that go in before it and come out after it.
#[derive(Debug)]
pub struct JobSpec {
    /// Command and arguments, at least the command.
    pub argv: Vec<CBytes>,
    /// Environment variables.
    pub env: Vec<EnvVar>,
    /// Working directory.
    pub cwd: Option<CBytes>,
    /// Who runs it.
    pub user: Option<User>,
    /// Pipes or a terminal.
    pub stdio: Stdio,
    /// Files to copy into the guest.
    pub inputs: Vec<InputFile>,
    /// Files to copy out of the guest.
    pub outputs: Vec<OutputFile>,
    /// How long it may run.
    pub timeout: Option<Duration>,
    /// How long it may go on after the SIGTERM at the end of that time.
    pub kill_grace: Duration,
    /// Most bytes of standard output and error together; more end the sandbox.
    pub output_total: Option<u64>,
    /// Most open files of each of its processes.
    pub open_files: Option<u32>,
    /// The system calls that it may make.
    pub filter: Option<Filter>,
    /// Largest file taken out of the guest, in bytes.
    pub output_limit: u64,
    /// How the sandbox is ended once the job is over.
    pub manner: Manner,
}

/// A file to copy into the guest.
#[derive(Debug)]
pub struct InputFile {
    /// The content.
    pub file: File,
    /// Its name on the host, for messages.
    pub host: PathBuf,
    /// Its path in the guest.
    pub guest: CBytes,
    /// Its permission bits in the guest.
    pub mode: u16,
}

/// A file to copy out of the guest.
#[derive(Debug)]
pub struct OutputFile {
    /// Its path in the guest.
    pub guest: CBytes,
    /// Where it goes.
    pub host: HostFile,
}

impl JobSpec {
    /// A command with no environment, input, files or limits, whose sandbox ends with it.
    pub fn new(argv: Vec<CBytes>) -> Self {
        Self {
            argv,
            env: Vec::new(),
            cwd: None,
            user: None,
            stdio: Stdio::Pipes { stdin: Input::Null },
            inputs: Vec::new(),
            outputs: Vec::new(),
            timeout: None,
            kill_grace: KILL_GRACE,
            output_total: None,
            open_files: None,
            filter: None,
            output_limit: 0,
            manner: Manner::Kill,
        }
    }

    /// The message that starts the job.
    pub(super) fn start(&mut self, job: JobId) -> Result<StartJob, Error> {
        let argv = List::new(std::mem::take(&mut self.argv))?;
        let nofile = self.open_files.map(|files| {
            let files = files.into();
            Rlimit { resource: Resource::Nofile, soft: files, hard: files }
        });
        Ok(StartJob {
            rlimits: List::new(nofile.into_iter().collect())?,
            filter: self.filter.take(),
            env: List::new(std::mem::take(&mut self.env))?,
            cwd: self.cwd.take(),
            user: self.user.take(),
            stdio: self.stdio,
            ..StartJob::new(job, argv)
        })
    }
}
