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

/// The intervals between two phases of `--json`'s timings.
const INTERVALS: [(&str, &str, &str, Option<f64>); 6] = [
    ("VMM start (its first instruction) to agent ready", "vmm: main", "agent ready", Some(5.0)),
    ("the same, with all before: VMM into memory, jail, exec", "launch", "agent ready", None),
    (
        "the guest's own part: first instruction to the agent's connection",
        "vmm: first run",
        "guest: agent-connected",
        Some(2.0),
    ),
    ("guest kernel: first instruction to the agent's first", "vmm: first run", "guest: agent-start", None),
    ("agent ready to job started", "agent ready", "job started", None),
    ("job ended to everything gone", "job ended", "done", None),
];

fn phases() -> Result<Vec<Row>> {
    let mut values = vec![Vec::new(); INTERVALS.len()];
    for _ in 0..ROUNDS {
        let report: Value = serde_json::from_slice(&output(run(&["--json"], &["/bin/true"])?)?.stdout)?;
        let at = |phase: &str| -> Result<f64> {
            let timings = report["timings"].as_array().context("the report has timings")?;
            let entry = timings.iter().find(|entry| entry["phase"] == phase);
            entry
                .and_then(|entry| entry["at_us"].as_f64())
                .with_context(|| format!("the report has no phase {phase:?}"))
        };
        for ((_, from, to, _), values) in INTERVALS.iter().zip(&mut values) {
            values.push((at(to)? - at(from)?) / 1e3);
        }
    }
    INTERVALS
        .iter()
        .zip(values)
        .map(|((what, _, _, most), values)| {
            let ours = median(values).context("no rounds")?;
            Ok(Row { what: (*what).into(), unit: "ms", ours, peer: None, promise: most.map(Promise::Value) })
        })
        .collect()
}
