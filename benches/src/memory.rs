//! What an idle sandbox costs the host in memory.

use crate::command::run;
use crate::table::{Promise, Row};
use anyhow::{Context, Result};
use std::fs;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

/// The rows of this bench.
pub fn rows() -> Result<Vec<Row>> {
    let mut command = run(&[], &["sh", "-c", "echo up; read line"])?;
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn()?;
    let measured = wait_for_word(&mut child).and_then(|()| resident_mib(&child));
    drop(child.stdin.take());
    child.wait()?;
    Ok(vec![Row {
        what: "memory of an idle VM: resident set of the VMM process, guest RAM included".into(),
        unit: "MiB",
        ours: measured?,
        peer: None,
        promise: Some(Promise::Value(12.0)),
    }])
}

fn wait_for_word(child: &mut Child) -> Result<()> {
    use std::io::Read;
    let mut word = [0; 3];
    child.stdout.as_mut().context("stdout is piped")?.read_exact(&mut word)?;
    Ok(())
}

/// The resident set of the VMM that is a child of `child`.
fn resident_mib(child: &Child) -> Result<f64> {
    let deadline = Instant::now() + Duration::from_secs(5);
    while Instant::now() < deadline {
        let path = format!("/proc/{0}/task/{0}/children", child.id());
        for pid in fs::read_to_string(path)?.split_whitespace() {
            let status = fs::read_to_string(format!("/proc/{pid}/status"))?;
            let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
            if let Some(kib) = line.and_then(|line| line.trim().trim_end_matches(" kB").parse::<f64>().ok()) {
                return Ok(kib / 1024.0);
            }
        }
    }
    anyhow::bail!("the VMM process was not found")
}
