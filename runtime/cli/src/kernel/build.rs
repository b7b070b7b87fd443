//! `ampoule kernel build`.

use super::progress::Progress;
use crate::args::KernelBuildArgs;
use ampoule_kernels::build::{Built, Recipe, Watch};
use ampoule_kernels::{Error, Name, Store};
use ampoule_rootfs::hex;
use anyhow::{Context, Result};
use nix::sys::signal::{SigSet, Signal};
use nix::sys::signalfd::{SfdFlags, SignalFd};
use serde::Serialize;
use std::num::NonZeroUsize;
use std::os::fd::AsFd;
use std::process::ExitCode;

/// What asks for the end of a build.
const STOPPING: [Signal; 4] = [Signal::SIGINT, Signal::SIGTERM, Signal::SIGHUP, Signal::SIGQUIT];
/// What shells add to the number of a signal that ended a command.
const SIGNALLED: u8 = 128;

/// A kernel that was built and stored.
#[derive(Serialize)]
struct Report {
    name: String,
    release: Option<String>,
    bytes: usize,
    sha256: String,
    source: String,
}

/// Builds a kernel and stores it.
pub fn build(args: KernelBuildArgs) -> Result<ExitCode> {
    // What would be wrong after minutes is looked at first.
    let (name, store) = (Name::parse(&args.name)?, Store::open_default()?);
    let signals = block().context("cannot wait for signals")?;
    let recipe = Recipe {
        source: args.source,
        fragment: args.config,
        jobs: args.jobs.or_else(|| std::thread::available_parallelism().ok()).unwrap_or(NonZeroUsize::MIN),
        keep: args.keep,
    };
    let mut progress = Progress::new();
    let mut watch = Watch { stop: signals.as_fd(), progress: &mut |step, count| progress.show(step, count) };
    let built = ampoule_kernels::build::build(&recipe, &mut watch);
    progress.end();
    let built = match built {
        Err(Error::Interrupted) => return Ok(interrupted(&signals)),
        built => built?,
    };
    let description = store.put(&name, &built.package, &built.source.display().to_string())?;
    print(&Report::new(&name, built, description.release), args.json);
    Ok(ExitCode::SUCCESS)
}

/// From now on, signals do not end this process but the build, so that it cleans up. Programs that it starts get them.
fn block() -> nix::Result<SignalFd> {
    let set: SigSet = STOPPING.into_iter().collect();
    set.thread_block()?;
    SignalFd::with_flags(&set, SfdFlags::SFD_NONBLOCK | SfdFlags::SFD_CLOEXEC)
}

/// Ends as a shell tells of a command that a signal ended.
fn interrupted(signals: &SignalFd) -> ExitCode {
    crate::complain("interrupted: there is no new kernel");
    let signo = signals.read_signal().ok().flatten().and_then(|info| u8::try_from(info.ssi_signo).ok());
    ExitCode::from(SIGNALLED.saturating_add(signo.unwrap_or_default()))
}

impl Report {
    fn new(name: &Name, built: Built, release: Option<String>) -> Self {
        Self {
            name: name.to_string(),
            release,
            bytes: built.package.kernel.len(),
            sha256: hex(&built.digest),
            source: built.source.display().to_string(),
        }
    }
}

fn print(report: &Report, json: bool) {
    if json {
        println!("{}", serde_json::json!(report));
        return;
    }
    let release = report.release.as_deref().unwrap_or("of unknown release");
    println!("{}: Linux {release}, {} KiB, sha256 {}", report.name, report.bytes >> 10, report.sha256);
}
