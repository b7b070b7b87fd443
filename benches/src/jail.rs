//! What the jail around the VMM costs: the same command with it and without it, in turns.

use crate::command::{milliseconds, run};
use crate::stats::median;
use crate::table::{Promise, Row};
use anyhow::{Context, Result};

const ROUNDS: usize = 60;

/// The rows of this bench.
pub fn rows() -> Result<Vec<Row>> {
    let (mut with, mut without) = (Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        with.push(milliseconds(run(&["--strict"], &["/bin/true"])?)?);
        without.push(milliseconds(run(&["--isolation", "none"], &["/bin/true"])?)?);
    }
    Ok(vec![Row {
        what: "`ampoule run --strict -- /bin/true`, the jail included".into(),
        unit: "ms",
        ours: median(with).context("no rounds")?,
        peer: Some(("without the jail".into(), median(without).context("no rounds")?)),
        promise: Some(Promise::Added(3.0)),
    }])
}
