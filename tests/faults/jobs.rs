//! Jobs, each with all that can rightly come of it: its own end, or what is told when something was killed.

use ampoule_tests::{Ended, Program, Running};
use fastrand::Rng;
use std::fs;
use std::io::Write;
use std::path::PathBuf;
use std::thread::{self, JoinHandle};
use std::time::Duration;

/// Bytes that `cat` is to carry through a guest.
const STREAM: usize = 1 << 20;
/// Bytes of a file that is taken out of a guest.
const FILE: usize = 300_000;
/// How long a sandbox may take, whatever happens to it.
const LIMIT: Duration = Duration::from_secs(60);

/// A kind of job.
#[derive(Clone, Copy, Debug)]
pub enum Job {
    /// Ends at once.
    Brief,
    /// Writes to both streams and fails.
    Talker,
    /// Carries a stream through.
    Cat,
    /// Runs until its time is up.
    Spinner,
    /// Has children.
    Forker,
    /// Leaves a file that is taken out.
    Writer,
}

/// All kinds.
pub const KINDS: [Job; 6] = [Job::Brief, Job::Talker, Job::Cat, Job::Spinner, Job::Forker, Job::Writer];

/// A job in its sandbox.
pub struct Started {
    job: Job,
    /// The command line's process.
    pub running: Running,
    feeder: Option<JoinHandle<()>>,
    output: PathBuf,
}

impl Job {
    /// Starts it. `name` is its own among those that run.
    pub fn start(self, name: &str) -> Started {
        self.start_with(name, |program| program)
    }

    /// The same, with something about it changed before the job's own arguments.
    pub fn start_with(self, name: &str, change: impl FnOnce(Program) -> Program) -> Started {
        let output = PathBuf::from(format!("out-{name}"));
        let take_out = format!("/tmp/file:{}", output.display());
        let write = format!("head -c {FILE} /dev/zero > /tmp/file");
        let args: &[&str] = match self {
            Self::Brief => &["--", "true"],
            Self::Talker => &["--", "sh", "-c", "echo out; echo err >&2; exit 7"],
            Self::Cat => &["--", "cat"],
            Self::Spinner => &["--timeout", "0.2s", "--", "sh", "-c", "echo on; while :; do :; done"],
            Self::Forker => &["--", "sh", "-c", "for i in 1 2 3 4 5; do (echo $i) & done; wait"],
            Self::Writer => &["--output", &take_out, "--", "sh", "-c", &write],
        };
        let mut running = change(Program::sandbox(["-m", "64M"])).args(args).limit(LIMIT).start();
        let stdin = running.child.stdin.take();
        let feeder = matches!(self, Self::Cat).then(|| {
            let mut stdin = stdin.expect("standard input is piped");
            // Who was killed reads no more.
            thread::spawn(move || drop(stdin.write_all(&stream())))
        });
        Started { job: self, running, feeder, output }
    }

    /// A job by chance.
    pub fn any(rng: &mut Rng) -> Self {
        *rng.choice(&KINDS).expect("there are kinds")
    }

    /// Whether this is the job's own end.
    fn is_own_end(self, ended: &Ended) -> bool {
        let (out, err) = (ended.out(), ended.err());
        match self {
            Self::Brief | Self::Writer => (ended.code(), out.as_str(), err.as_str()) == (0, "", ""),
            Self::Talker => (ended.code(), out.as_str(), err.as_str()) == (7, "out\n", "err\n"),
            Self::Cat => ended.code() == 0 && ended.stdout == stream(),
            Self::Spinner => {
                ended.code() == 124 && out == "on\n" && err.contains("the time was up after 0.2 s")
            }
            Self::Forker => ended.code() == 0 && out.lines().count() == 5,
        }
    }

    /// Whether the job can have written this much until it was killed.
    fn may_have_written(self, ended: &Ended) -> bool {
        match self {
            Self::Brief | Self::Writer => ended.stdout.is_empty(),
            Self::Talker => b"out\n".starts_with(&ended.stdout),
            Self::Cat => stream().starts_with(&ended.stdout),
            Self::Spinner => b"on\n".starts_with(&ended.stdout),
            Self::Forker => ended.out().lines().count() <= 5,
        }
    }
}

impl Started {
    /// Waits for its end, which must be its own, or this one. Says whether it was its own.
    pub fn finish(mut self, is_expected: impl Fn(&Ended) -> bool) -> bool {
        let ended = self.running.finish();
        if let Some(feeder) = self.feeder {
            feeder.join().expect("the thread that feeds standard input");
        }
        let own = self.job.is_own_end(&ended);
        let seen = format!("{:?}: {}, stderr: {}", self.job, ended.status, ended.err());
        assert!(own || is_expected(&ended), "{seen}");
        assert!(own || self.job.may_have_written(&ended), "{seen}, stdout: {:.80}", ended.out());
        match fs::read(&self.output) {
            // All of it or nothing, and all if the command line says so.
            Ok(content) => assert_eq!(content, [0; FILE], "{seen}"),
            Err(_) => assert!(!(own && matches!(self.job, Job::Writer)), "{seen}: no output file"),
        }
        let _absent = fs::remove_file(&self.output);
        own
    }
}

/// What `cat` is given: no two parts of it are the same.
fn stream() -> Vec<u8> {
    (0..STREAM / 4).flat_map(|n| u32::try_from(n).expect("a small number").to_be_bytes()).collect()
}
