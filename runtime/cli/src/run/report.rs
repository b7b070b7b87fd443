//! What `--json` prints: one object on one line of standard output. `docs/cli.md` describes its fields.

use super::base64;
use super::timings::{Marks, Phase};
use ampoule_engine::attach::Run;
use ampoule_engine::stdio::Sink;
use ampoule_engine::{HostUsage, Jail, OWN_FAILURE, Outcome, Sandbox};
use ampoule_protocol::{Hello, Status, Usage};
use anyhow::{Context, Result};
use serde::Serialize;
use std::io::Write;

#[derive(Default, Serialize)]
struct Report {
    outcome: &'static str,
    exit_code: u8,
    /// The signal that ended the command.
    signal: Option<u8>,
    message: Option<String>,
    stdout: Option<Captured>,
    stderr: Option<Captured>,
    usage: Option<Resources>,
    agent: Option<Agent>,
    vmm_peak_rss_kib: Option<u64>,
    isolation: Option<Isolation>,
    /// What the control group of the sandbox counted.
    host: Option<Host>,
    timings: Vec<Phase>,
}

/// What the sandbox took of the host; null where the host does not count it.
#[derive(Serialize)]
struct Host {
    peak_memory_kib: Option<u64>,
    throttled_us: Option<u64>,
}

/// Output of the command: as text if it is UTF-8.
#[derive(Serialize)]
struct Captured {
    #[serde(skip_serializing_if = "Option::is_none")]
    text: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    base64: Option<String>,
    /// Whether there was more.
    truncated: bool,
}

/// What the command used.
#[derive(Serialize)]
struct Resources {
    wall_us: u64,
    user_us: u64,
    system_us: u64,
    max_rss_kib: u64,
    minor_faults: u64,
    major_faults: u64,
    voluntary_switches: u64,
    involuntary_switches: u64,
}

/// What the VMM is behind: its jail, its control group, its filters.
#[derive(Serialize)]
struct Isolation {
    /// Layers that it is behind.
    layers: Vec<&'static str>,
    /// Layers that this host does not give.
    missing: Vec<&'static str>,
}

/// Who ran the command.
#[derive(Serialize)]
struct Agent {
    version: String,
    kernel: String,
    kernel_release: String,
}

/// Prints how a run went.
pub fn print(run: Run, sandbox: &Sandbox, marks: &Marks) -> Result<()> {
    let exited = run.exited;
    let signal = exited.and_then(|exited| match exited.status {
        Status::Signal { signo, .. } => Some(signo),
        Status::Code(_) => None,
    });
    write(&Report {
        signal,
        stdout: Some(captured(run.streams.stdout)),
        stderr: Some(captured(run.streams.stderr)),
        usage: exited.map(|exited| resources(exited.usage)),
        agent: run.hello.as_ref().map(agent),
        vmm_peak_rss_kib: sandbox.peak_rss_kib(),
        isolation: Some(isolation(sandbox.jail())),
        host: Some(host(sandbox.usage())),
        timings: marks.phases(sandbox.timeline()),
        ..early(&run.outcome)
    })
    .context("cannot write the report")
}

/// Prints that there was no sandbox.
pub fn print_early(outcome: &Outcome) {
    // There is nobody to tell if it fails; the exit code says that it was no success.
    let _ = write(&early(outcome));
}

/// Prints that something was wrong before there could be a sandbox.
pub fn print_failure(message: &str) {
    let report = Report {
        outcome: "invalid_request",
        exit_code: OWN_FAILURE,
        message: Some(message.to_owned()),
        ..Report::default()
    };
    let _ = write(&report);
}

fn early(outcome: &Outcome) -> Report {
    Report {
        outcome: outcome.name(),
        exit_code: outcome.exit_code(),
        message: outcome.sentence(),
        ..Report::default()
    }
}

fn write(report: &Report) -> std::io::Result<()> {
    let mut line = serde_json::to_vec(report)?;
    line.push(b'\n');
    std::io::stdout().write_all(&line)
}

fn captured(sink: Sink) -> Captured {
    let (bytes, truncated) = sink.into_kept();
    let (text, base64) = match String::from_utf8(bytes) {
        Ok(text) => (Some(text), None),
        Err(error) => (None, Some(base64::encode(error.as_bytes()))),
    };
    Captured { text, base64, truncated }
}

fn host(usage: HostUsage) -> Host {
    Host {
        peak_memory_kib: usage.peak_memory.map(|bytes| bytes >> 10),
        throttled_us: usage.throttled.map(|time| u64::try_from(time.as_micros()).unwrap_or(u64::MAX)),
    }
}

fn resources(usage: Usage) -> Resources {
    Resources {
        wall_us: usage.wall_us,
        user_us: usage.user_us,
        system_us: usage.system_us,
        max_rss_kib: usage.max_rss_kib,
        minor_faults: usage.minor_faults,
        major_faults: usage.major_faults,
        voluntary_switches: usage.voluntary_switches,
        involuntary_switches: usage.involuntary_switches,
    }
}

fn isolation(jail: &Jail) -> Isolation {
    Isolation {
        layers: jail.layers.iter().map(|layer| layer.key()).collect(),
        missing: jail.missing.iter().map(|missing| missing.layer.key()).collect(),
    }
}

fn agent(hello: &Hello) -> Agent {
    Agent {
        version: hello.agent.to_string(),
        kernel: hello.kernel.to_string(),
        kernel_release: hello.release.to_string(),
    }
}
