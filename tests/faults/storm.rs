//! Deaths at random moments, under load: SIGKILL for the command line and the VMM, a filter that kills for the agent.

use crate::census::{Census, shared_memory_kib};
use crate::chamber;
use crate::jobs::{Job, Started};
use ampoule_tests::{Ended, Program, image, need};
use fastrand::Rng;
use rustix::process::{Pid, Signal, kill_process};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::Duration;
use std::{env, fs};

/// Sandboxes that are struck.
const SANDBOXES: usize = 600;
/// At a time: more than there are processors on most machines that run this.
const AT_ONCE: usize = 4;
/// When a blow falls, after the start, at the latest.
const LATEST: Duration = Duration::from_millis(60);
/// What the machine's other users may do to the amount of shared memory meanwhile. As many VMs that leave a tenth of
/// their memory behind would be far beyond.
const SHARED_MEMORY_SLACK_KIB: u64 = 256 << 10;

/// One in so many of the agent's calls is its last: 2 to the power of this. A job takes some dozens.
const WHIM_BITS: u32 = 5;

/// Who is killed.
#[derive(Clone, Copy, Debug)]
enum Victim {
    CommandLine,
    Vmm,
    Agent,
}

/// Images of an agent that dies at some moment, and of what it needs.
struct Whim {
    agent: PathBuf,
    root: PathBuf,
}

impl Whim {
    fn new(directory: &Path) -> Self {
        need("cc", "gcc");
        // Its file may be where nobody can see it inside.
        let source = directory.join("whim.c");
        fs::write(&source, include_str!("whim.c")).expect("room for the source");
        let (root, agent) = (directory.join("root"), directory.join("whim"));
        let real = env::var_os(chamber::AGENT).expect("the agent's path");
        image::Tree::new(&root).busybox().file(Path::new(&real), "/agent.real");
        fs::create_dir(&agent).expect("a directory for the image");
        let compile = Program::new("cc").args(["-static", "-O1", &format!("-DBITS={WHIM_BITS}"), "-o"]);
        compile.args([&agent.join("agent"), &source]).run().succeeded();
        Self { agent: image::build(&agent), root: image::build(&root) }
    }

    fn start(&self, job: Job, name: &str) -> Started {
        job.start_with(name, |program| {
            let image = ["--image".as_ref(), self.root.as_os_str()];
            program.args(image).args(["--env", "PATH=/applets"]).env("AMPOULE_AGENT", &self.agent)
        })
    }
}

#[test]
fn random_kills_leave_nothing() {
    let _alone = crate::alone();
    if !chamber::enter("storm::random_kills_leave_nothing") {
        return;
    }
    let seed = std::env::var("AMPOULE_SEED")
        .ok()
        .and_then(|seed| seed.parse().ok())
        .unwrap_or_else(|| fastrand::u64(..));
    println!("AMPOULE_SEED={seed}");
    let whim = Whim::new(&env::current_dir().expect("a home directory"));
    // Whatever the first run makes for later ones is there.
    Job::Brief.start("first").finish(|_| false);
    let before = Census::take();
    let memory = shared_memory_kib();
    let (next, struck) = (AtomicUsize::new(0), [const { AtomicUsize::new(0) }; 3]);
    thread::scope(|scope| {
        for worker in 0..AT_ONCE {
            let (next, struck, whim) = (&next, &struck, &whim);
            scope.spawn(move || {
                let mut rng = Rng::with_seed(seed.wrapping_add(worker as u64));
                while next.fetch_add(1, Ordering::Relaxed) < SANDBOXES {
                    if let Some(victim) = strike(&mut rng, whim, worker) {
                        struck[victim as usize].fetch_add(1, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    before.await_same();
    let grown = shared_memory_kib().saturating_sub(memory);
    assert!(grown < SHARED_MEMORY_SLACK_KIB, "{grown} KiB of shared memory more than before");
    let struck = struck.map(AtomicUsize::into_inner);
    let [cli, vmm, agent] = struck;
    println!(
        "killed: {cli} times the command line, {vmm} times the VMM, {agent} times the agent, of {SANDBOXES} sandboxes"
    );
    assert!(struck.iter().all(|&hits| hits >= SANDBOXES / 6), "too few blows hit: {struck:?}");
}

/// Starts a job, and kills somebody at some moment. Says whom, if he was still there.
fn strike(rng: &mut Rng, whim: &Whim, worker: usize) -> Option<Victim> {
    let (job, name) = (Job::any(rng), worker.to_string());
    let victim = [Victim::CommandLine, Victim::Vmm, Victim::Agent][rng.usize(..3)];
    if matches!(victim, Victim::Agent) {
        let lived = whim.start(job, &name).finish(|ended| is_told(victim, ended));
        return (!lived).then_some(victim);
    }
    let started = job.start(&name);
    thread::sleep(LATEST.mul_f64(rng.f64().powi(2)));
    let pid = match victim {
        Victim::CommandLine => Some(started.running.pid()),
        _ => child_of(started.running.pid()),
    };
    let hit = pid.is_some_and(|pid| kill_process(pid, Signal::KILL).is_ok());
    started.finish(|ended| hit && is_told(victim, ended));
    hit.then_some(victim)
}

/// The VMM of a command line, if it has one at the moment.
fn child_of(parent: Pid) -> Option<Pid> {
    let parent = parent.as_raw_nonzero();
    let children = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children")).ok()?;
    Pid::from_raw(children.split_whitespace().next()?.parse().ok()?)
}

fn is_told(victim: Victim, ended: &Ended) -> bool {
    match victim {
        Victim::CommandLine => ended.code() == 128 + 9,
        // If not the agent itself, what it had forked to become the command.
        Victim::Agent => {
            let whether = |sentence| ended.err().contains(sentence);
            let agent = whether("the guest kernel panicked") && whether("the first process has ended");
            ended.code() == 125 && (agent || whether("ampoule: cannot start")) || ended.code() == 128 + 31
        }
        Victim::Vmm => {
            let whether = |sentence| ended.err().contains(sentence);
            ended.code() == 125
                && (whether("the VMM process was killed by signal 9")
                    || whether("the new process was killed before it could execute the program"))
        }
    }
}
