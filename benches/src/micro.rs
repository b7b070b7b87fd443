//! System calls, faults, pipes and processes: one small program (`micro.c`), run on the host and in a guest.

use crate::command::{output, run};
use crate::stats::median;
use crate::table::{Promise, Row};
use anyhow::{Context, Result, ensure};
use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

const ROUNDS: usize = 3;
/// Measurements with a promise: name, and the most it may be in microseconds.
const PROMISES: [(&str, f64); 1] = [("getppid, a system call", 3.0)];

/// The rows of this bench.
pub fn rows() -> Result<Vec<Row>> {
    let directory = tempfile::tempdir()?;
    let program = directory.path().join("micro");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("micro.c");
    let compiled = Command::new("cc").args(["-O2", "-static", "-o"]).arg(&program).arg(source).status()?;
    ensure!(compiled.success(), "micro.c does not compile");
    let input = format!("{}:/tmp/micro", program.display());
    let (mut ours, mut peer) = (Samples::default(), Samples::default());
    for _ in 0..ROUNDS {
        ours.add(&output(run(&["--input", &input], &["/tmp/micro"])?)?.stdout)?;
        peer.add(&output(Command::new(&program))?.stdout)?;
    }
    ours.order
        .iter()
        .map(|name| {
            let value = |samples: &Samples| {
                median(samples.values.get(name).cloned().unwrap_or_default()).context("no value")
            };
            let promise =
                PROMISES.iter().find(|(promised, _)| promised == name).map(|(_, most)| Promise::Value(*most));
            Ok(Row {
                what: name.clone(),
                unit: "us",
                ours: value(&ours)?,
                peer: Some(("host".into(), value(&peer)?)),
                promise,
            })
        })
        .collect()
}

#[derive(Default)]
struct Samples {
    order: Vec<String>,
    values: BTreeMap<String, Vec<f64>>,
}

impl Samples {
    /// Adds the lines `name: microseconds` of one run.
    fn add(&mut self, text: &[u8]) -> Result<()> {
        for line in String::from_utf8_lossy(text).lines() {
            let (name, value) = line.rsplit_once(": ").context("a line is `name: value`")?;
            if !self.values.contains_key(name) {
                self.order.push(name.into());
            }
            self.values.entry(name.into()).or_default().push(value.parse()?);
        }
        Ok(())
    }
}
