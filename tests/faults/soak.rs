//! A thousand sandboxes from one process, as of a server that embeds the engine: it stays as large as it was.

use crate::mortal::embedded;
use ampoule_engine::attach::{self, JobSpec, Streams};
use ampoule_engine::stdio::Sink;
use ampoule_engine::{Artifact, Console, Guest, Isolation, Outcome, Sandbox, SandboxConfig, VmmProgram};
use ampoule_policies::Policy;
use ampoule_protocol::{CBytes, Status};
use ampoule_tests::image;
use std::fs::{self, File};
use std::path::Path;
use std::sync::Arc;

const SANDBOXES: usize = 1000;
/// After so many, whatever is made once has been made.
const WARM_UP: usize = 50;
/// What the heap may do meanwhile. A leak of a hundred bytes a sandbox would be a tenth of it.
const SLACK_KIB: u64 = 1024;

/// What a process has.
#[derive(Debug)]
struct Size {
    descriptors: usize,
    threads: usize,
    children: usize,
    resident_kib: u64,
}

impl Size {
    fn now() -> Self {
        let count = |path: &str| fs::read_dir(path).expect("a directory of /proc").count();
        let status = fs::read_to_string("/proc/self/status").expect("the process's status");
        let resident = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).expect("the resident set");
        let children = fs::read_dir("/proc/self/task").expect("threads").flatten();
        let children = children.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        Self {
            descriptors: count("/proc/self/fd"),
            threads: count("/proc/self/task"),
            children: children.map(|list| list.split_whitespace().count()).sum(),
            resident_kib: resident.trim().trim_end_matches(" kB").parse().expect("a number of KiB"),
        }
    }
}

fn artifact(path: &Path) -> Artifact {
    let file = File::open(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let len = file.metadata().expect("its length").len();
    Artifact::new(&path.display().to_string(), Arc::new(file.into()), 0, len)
}

fn word(text: &str) -> CBytes {
    CBytes::new(text).expect("a word")
}

#[test]
fn a_thousand_sandboxes_of_one_process() {
    let _alone = crate::alone();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let (root, agent) = (directory.path().join("root"), directory.path().join("agent"));
    image::Tree::new(&root).busybox();
    fs::create_dir(&agent).expect("a directory for the agent");
    fs::copy(embedded("ampoule-agent"), agent.join("agent")).expect("the agent");
    let policy = Policy::builtin().expect("the built-in policy");
    let vmm = VmmProgram::load(&artifact(&embedded("ampoule-vmm"))).expect("the VMM");
    let config = SandboxConfig {
        guest: Guest::Ampoule,
        initrd: Vec::new(),
        vmm: &vmm,
        kernel: artifact(&embedded("ampoule-kernel")),
        root: artifact(&image::build(&root)),
        agent: artifact(&image::build(&agent)),
        memory: policy.machine.memory,
        cmdline: String::new(),
        console: Console::Off,
        deadlines: policy.deadlines,
        isolation: Isolation::BestEffort,
        limits: policy.limits,
    };
    let mut before = None;
    for number in 0..SANDBOXES {
        if number == WARM_UP {
            before = Some(Size::now());
        }
        run(&config, number);
    }
    let (before, after) = (before.expect("a size"), Size::now());
    println!("after {WARM_UP}: {before:?}\nafter {SANDBOXES}: {after:?}");
    assert_eq!(
        (after.descriptors, after.threads, after.children),
        (before.descriptors, before.threads, 0),
        "{before:?}, {after:?}"
    );
    assert!(after.resident_kib < before.resident_kib + SLACK_KIB, "{before:?}, {after:?}");
}

fn run(config: &SandboxConfig<'_>, number: usize) {
    let mut sandbox = Sandbox::launch(config).expect("a sandbox");
    let spec = JobSpec::new(vec![word("/bin/busybox"), word("echo"), word(&number.to_string())]);
    let streams = Streams {
        stdin: None,
        stdout: Sink::memory(4096),
        stderr: Sink::memory(4096),
        log: None,
        terminal: None,
    };
    let run = attach::run(&mut sandbox, spec, streams, None);
    let text = String::from_utf8_lossy(&run.streams.stdout.into_kept().0).into_owned();
    assert!(matches!(run.outcome, Outcome::Exited(Status::Code(0))), "{:?}", run.outcome);
    assert_eq!(text, format!("{number}\n"));
}
