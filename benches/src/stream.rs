//! Bytes out of a sandbox and into it, beside the same command on the host.

use crate::command::run;
use crate::stats::median;
use crate::table::Row;
use anyhow::{Context, Result, ensure};
use std::io::{self, Read, Write};
use std::process::{Command, Stdio};
use std::time::Instant;

const BYTES: u64 = 100 << 20;
const ROUNDS: usize = 3;
const OUT: [&str; 3] = ["sh", "-c", "head -c 104857600 /dev/zero"];
const IN: [&str; 3] = ["sh", "-c", "cat > /dev/null"];

/// The rows of this bench.
pub fn rows() -> Result<Vec<Row>> {
    let host = |command: &[&str]| -> Command {
        let mut process = Command::new("busybox");
        process.args(command);
        process
    };
    let (mut out, mut out_host, mut into, mut into_host) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        out.push(read_all(run(&[], &OUT)?)?);
        out_host.push(read_all(host(&OUT))?);
        into.push(write_all(run(&[], &IN)?)?);
        into_host.push(write_all(host(&IN))?);
    }
    let row = |what: &str, ours, peer| -> Result<Row> {
        Ok(Row {
            what: what.into(),
            unit: "ms",
            ours: median(ours).context("no rounds")?,
            peer: Some(("host, a pipe".into(), median(peer).context("no rounds")?)),
            promise: None,
        })
    };
    Ok(vec![
        row("100 MiB out of a job through vsock, start included", out, out_host)?,
        row("100 MiB into a job through vsock, start included", into, into_host)?,
    ])
}

fn read_all(mut command: Command) -> Result<f64> {
    let start = Instant::now();
    let mut child = command.stdin(Stdio::null()).stdout(Stdio::piped()).spawn()?;
    let mut stdout = child.stdout.take().context("stdout is piped")?;
    let mut buffer = vec![0; 1 << 16];
    let mut total = 0;
    loop {
        match stdout.read(&mut buffer)? {
            0 => break,
            count => total += count as u64,
        }
    }
    ensure!(child.wait()?.success() && total == BYTES, "{total} bytes came out");
    Ok(start.elapsed().as_secs_f64() * 1e3)
}

fn write_all(mut command: Command) -> Result<f64> {
    let start = Instant::now();
    let mut child = command.stdin(Stdio::piped()).stdout(Stdio::null()).spawn()?;
    let mut stdin = child.stdin.take().context("stdin is piped")?;
    io::copy(&mut io::repeat(0).take(BYTES), &mut stdin)?;
    stdin.flush()?;
    drop(stdin);
    ensure!(child.wait()?.success(), "the job failed");
    Ok(start.elapsed().as_secs_f64() * 1e3)
}
