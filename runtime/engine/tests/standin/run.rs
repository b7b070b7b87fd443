//! Running a job with the stand-in.

use ampoule_engine::attach::{self, InputFile, JobSpec, OutputFile, Run, Signals, Streams};
use ampoule_engine::stdio::{Sink, Source};
use ampoule_engine::{Artifact, Console, Guest, Isolation, Manner, Sandbox, SandboxConfig, VmmProgram};
use ampoule_policies::Policy;
use ampoule_protocol::{CBytes, Input, Stdio};
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How a job is to be run.
pub struct Play {
    pub part: &'static str,
    pub stdin: Option<OwnedFd>,
    pub stdout: Sink,
    pub stderr: Sink,
    pub timeout: Option<Duration>,
    pub signals: Option<Signals>,
    pub inputs: Vec<InputFile>,
    pub outputs: Vec<OutputFile>,
    pub output_limit: u64,
    pub manner: Manner,
}

impl Play {
    pub fn new(part: &'static str) -> Self {
        Self {
            part,
            stdin: None,
            stdout: Sink::memory(10 << 20),
            stderr: Sink::memory(10 << 20),
            timeout: None,
            signals: None,
            inputs: Vec::new(),
            outputs: Vec::new(),
            output_limit: 1 << 20,
            manner: Manner::Kill,
        }
    }

    /// Runs it; it ends in bounded time and leaves no process behind.
    pub fn run(self) -> Run {
        let started = Instant::now();
        let program = VmmProgram::File(std::env::current_exe().expect("this program"));
        let null = Arc::new(OwnedFd::from(File::open("/dev/null").expect("/dev/null")));
        let nothing = Artifact::new("nothing", null, 0, 4096);
        let toml = "[deadlines]\nboot_ms = 300\nanswer_ms = 300\nping_ms = 100\n";
        let config = SandboxConfig {
            vmm: &program,
            kernel: nothing.clone(),
            root: nothing.clone(),
            agent: nothing,
            guest: Guest::Ampoule,
            initrd: Vec::new(),
            memory: Policy::builtin().expect("the built-in policy").machine.memory,
            cmdline: self.part.to_owned(),
            console: Console::Off,
            deadlines: Policy::parse(toml).expect("a policy").deadlines,
            // This program is linked dynamically, and would find no libraries in an empty root.
            isolation: Isolation::None,
            limits: Policy::parse(toml).expect("a policy").limits,
        };
        let mut sandbox = Sandbox::launch(&config).expect("a process");
        let pid = sandbox.vmm_pid();
        let stdin = if self.stdin.is_some() { Input::Stream } else { Input::Null };
        let spec = JobSpec {
            argv: vec![CBytes::new("job").expect("a word")],
            env: Vec::new(),
            cwd: None,
            user: None,
            stdio: Stdio::Pipes { stdin },
            inputs: self.inputs,
            outputs: self.outputs,
            timeout: self.timeout,
            kill_grace: Duration::from_millis(200),
            output_limit: self.output_limit,
            output_total: None,
            open_files: None,
            filter: None,
            manner: self.manner,
        };
        let stdin = self.stdin.map(|fd| Source::new(fd).expect("a source"));
        let (stdout, stderr) = (self.stdout, self.stderr);
        let streams = Streams { stdin, stdout, stderr, log: None, terminal: None };
        let mut signals = self.signals;
        let run = attach::run(&mut sandbox, spec, streams, signals.as_mut());
        assert!(started.elapsed() < Duration::from_secs(5), "{}: {:?}", self.part, started.elapsed());
        let pid = rustix::process::Pid::from_raw(pid).expect("a pid");
        assert!(rustix::process::test_kill_process(pid).is_err(), "{}: the VMM is still there", self.part);
        run
    }
}
