//! The programs that are measured.

use anyhow::{Context, Result, bail, ensure};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::time::Instant;

/// The release binary: `AMPOULE_BIN`, or where `cargo build --release` puts it.
pub fn ampoule() -> Result<PathBuf> {
    let path = match std::env::var_os("AMPOULE_BIN") {
        Some(path) => PathBuf::from(path),
        None => Path::new(env!("CARGO_MANIFEST_DIR")).join("../target/release/ampoule"),
    };
    ensure!(path.is_file(), "{} is not there: run `cargo build --release` first", path.display());
    Ok(path)
}

/// `ampoule run` with options, then the command.
pub fn run(options: &[&str], command: &[&str]) -> Result<Command> {
    let mut process = Command::new(ampoule()?);
    process.arg("run").args(options).arg("--").args(command).stdin(Stdio::null());
    Ok(process)
}

/// The peer: the same command in a full set of namespaces.
pub fn bwrap(command: &[&str]) -> Command {
    let mut process = Command::new("bwrap");
    process.args(["--ro-bind", "/", "/", "--unshare-all", "--dev", "/dev", "--proc", "/proc"]).args(command);
    process.stdin(Stdio::null());
    process
}

/// Runs to the end; the output, if it succeeded.
pub fn output(mut command: Command) -> Result<Output> {
    let output = command.output().with_context(|| format!("cannot run {command:?}"))?;
    if !output.status.success() {
        bail!("{command:?}: {}: {}", output.status, String::from_utf8_lossy(&output.stderr));
    }
    Ok(output)
}

/// Milliseconds from start to end.
pub fn milliseconds(command: Command) -> Result<f64> {
    let start = Instant::now();
    output(command)?;
    Ok(start.elapsed().as_secs_f64() * 1e3)
}
