//! How long a start takes: phase by phase, and the whole command beside `bwrap`.

use crate::command::{bwrap, milliseconds, output, run};
use crate::stats::median;
use crate::table::{Promise, Row};
use anyhow::{Context, Result};
use serde_json::Value;
use std::process::Command;

const ROUNDS: usize = 60;

/// The rows of this bench.
pub fn rows() -> Result<Vec<Row>> {
    let mut rows = whole()?;
    rows.extend(phases()?);
    Ok(rows)
}

fn whole() -> Result<Vec<Row>> {
    let (mut ours, mut peer, mut bare) = (Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        ours.push(milliseconds(run(&[], &["/bin/true"])?)?);
        peer.push(milliseconds(bwrap(&["/bin/true"])).context("bwrap (Debian: bubblewrap) is the peer")?);
        bare.push(milliseconds(Command::new("/bin/true"))?);
    }
    let bare = median(bare).context("no rounds")?;
    Ok(vec![Row {
        what: format!("`ampoule run -- /bin/true`, whole process (a bare `/bin/true`: {bare:.2} ms)"),
        unit: "ms",
        ours: median(ours).context("no rounds")?,
        peer: Some(("bwrap --unshare-all".into(), median(peer).context("no rounds")?)),
        promise: Some(Promise::Ratio(3.0)),
    }])
}

/// An interval between two phases of `--json`'s timings.
struct Interval {
    what: &'static str,
    from: &'static str,
    to: &'static str,
    /// What is promised, in milliseconds.
    most: Option<f64>,
}

/// What the jail costs is a promise of its own, so it is left out of this one.
const WITHOUT_JAIL: [Interval; 1] = [Interval {
    what: "VMM start (launch: its program into memory, process, exec) to agent ready, without the jail",
    from: "launch",
    to: "agent ready",
    most: Some(5.0),
}];

const WITH_JAIL: [Interval; 6] = [
    Interval { what: "the same with the jail", from: "launch", to: "agent ready", most: None },
    Interval {
        what: "of which from the VMM's first instruction",
        from: "vmm: main",
        to: "agent ready",
        most: None,
    },
    Interval {
        what: "the guest's own part: first instruction to the agent's connection",
        from: "vmm: first run",
        to: "guest: agent-connected",
        most: Some(2.0),
    },
    Interval {
        what: "guest kernel: first instruction to the agent's first",
        from: "vmm: first run",
        to: "guest: agent-start",
        most: None,
    },
    Interval { what: "agent ready to job started", from: "agent ready", to: "job started", most: None },
    Interval { what: "job ended to everything gone", from: "job ended", to: "done", most: None },
];

/// Both kinds of start, in turns.
fn phases() -> Result<Vec<Row>> {
    let kinds: [(&[&str], &[Interval]); 2] =
        [(&["--json", "--isolation", "none"], &WITHOUT_JAIL), (&["--json"], &WITH_JAIL)];
    let mut values = kinds.map(|(_, intervals)| vec![Vec::new(); intervals.len()]);
    for _ in 0..ROUNDS {
        for ((options, intervals), values) in kinds.iter().zip(&mut values) {
            let report: Value = serde_json::from_slice(&output(run(options, &["/bin/true"])?)?.stdout)?;
            for (interval, values) in intervals.iter().zip(values) {
                values.push(interval.of(&report)?);
            }
        }
    }
    let intervals = kinds.iter().flat_map(|(_, intervals)| *intervals);
    intervals.zip(values.into_iter().flatten()).map(|(interval, values)| interval.row(values)).collect()
}

impl Interval {
    /// How long it was, in milliseconds.
    fn of(&self, report: &Value) -> Result<f64> {
        let timings = report["timings"].as_array().context("the report has timings")?;
        let at = |phase: &str| {
            let entry = timings.iter().find(|entry| entry["phase"] == phase);
            entry
                .and_then(|entry| entry["at_us"].as_f64())
                .with_context(|| format!("the report has no phase {phase:?}"))
        };
        Ok((at(self.to)? - at(self.from)?) / 1e3)
    }

    fn row(&self, values: Vec<f64>) -> Result<Row> {
        let ours = median(values).context("no rounds")?;
        Ok(Row {
            what: self.what.into(),
            unit: "ms",
            ours,
            peer: None,
            promise: self.most.map(Promise::Value),
        })
    }
}
