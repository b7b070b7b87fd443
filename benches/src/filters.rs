//! What the filters of the VMM's system calls cost: their installation, at the start of a VM, and their look at the call that
//! enters the guest, at each of its exits.
//!
//! The VMM runs no guest without filters, so that the same VM with and without them cannot be compared. What is measured are
//! the very filters that it installs, on threads of a process of the bench: nothing can take them off, and they let no thread end.
//! So this program starts itself again for each round, gets eight bytes at a time from it, and kills it.

use crate::stats::median;
use crate::table::Row;
use ampoule_seccomp::Thread;
use anyhow::{Context, Result, bail};
use std::io::Read;
use std::os::fd::AsFd;
use std::process::{Command, Stdio};
use std::time::Instant;

/// First argument of the process that installs filters.
pub const CHILD: &str = "filters-child";
const ROUNDS: usize = 40;
/// Calls in a measurement, of which the fastest counts.
const CALLS: u32 = 20_000;
const TRIES: usize = 5;
/// The request of a VMM's `ioctl` at each exit (linux/kvm.h), which passes the filters.
const KVM_RUN: u64 = 0xae80;

/// The rows of this bench.
pub fn rows() -> Result<Vec<Row>> {
    let (mut first, mut devices, mut with, mut without) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
    for _ in 0..ROUNDS {
        let [bare, installed, filtered] = child("vcpu")?;
        without.push(bare);
        first.push(installed);
        with.push(filtered);
        let [installed] = child("devices")?;
        devices.push(installed);
    }
    let row = |what: &str, ours: Vec<f64>, peer: Option<Vec<f64>>| -> Result<Row> {
        let peer = peer.and_then(median).map(|value| ("without filters".into(), value));
        Ok(Row {
            what: what.into(),
            unit: "us",
            ours: median(ours).context("no rounds")?,
            peer,
            promise: None,
        })
    };
    Ok(vec![
        row("system-call filters at a start: the two of the VMM's first thread, installed", first, None)?,
        row("the same, of its second thread, which installs its own meanwhile", devices, None)?,
        row("system-call filters at an exit: `ioctl(KVM_RUN)` that does nothing else", with, Some(without))?,
    ])
}

/// What a process measures that does the part of this thread, in microseconds.
fn child<const N: usize>(part: &str) -> Result<[f64; N]> {
    let mut child = Command::new(std::env::current_exe()?)
        .args([CHILD, part])
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .spawn()
        .context("cannot start this program again")?;
    let values = child.stdout.as_mut().context("stdout is piped").and_then(read_values);
    child.kill()?;
    child.wait()?;
    values.with_context(|| format!("the part {part} of the bench was stopped by the filters"))
}

fn read_values<const N: usize>(from: &mut impl Read) -> Result<[f64; N]> {
    let mut values = [0.0; N];
    for value in &mut values {
        let mut bytes = [0; 8];
        from.read_exact(&mut bytes)?;
        *value = f64::from_le_bytes(bytes);
    }
    Ok(values)
}

/// Does the part of a thread, tells the times, and waits to be killed: whoever has filters may not end.
pub fn run_child(part: &str) -> Result<()> {
    match part {
        "vcpu" => {
            tell(kvm_run())?;
            tell(microseconds(|| Thread::Main.install().and_then(|()| Thread::Vcpu.install()))?)?;
            tell(kvm_run())?;
        }
        "devices" => {
            tell(microseconds(|| Thread::Loader.install().and_then(|()| Thread::Devices.install()))?)?
        }
        _ => bail!("no such part: {part}"),
    }
    loop {
        std::thread::park();
    }
}

fn microseconds<E: Into<anyhow::Error>>(step: impl FnOnce() -> Result<(), E>) -> Result<f64> {
    let start = Instant::now();
    step().map_err(Into::into)?;
    Ok(start.elapsed().as_secs_f64() * 1e6)
}

/// The time of one call, without a VM behind it: it fails as soon as the kernel has let it in.
fn kvm_run() -> f64 {
    let tries = (0..TRIES).map(|_| {
        let start = Instant::now();
        for _ in 0..CALLS {
            // SAFETY: there is no such descriptor, so nothing is done.
            unsafe { libc::ioctl(-1, KVM_RUN, 0) };
        }
        start.elapsed().as_secs_f64() * 1e6 / f64::from(CALLS)
    });
    tries.fold(f64::INFINITY, f64::min)
}

fn tell(value: f64) -> Result<()> {
    let len = rustix::io::write(std::io::stdout().as_fd(), &value.to_le_bytes())?;
    anyhow::ensure!(len == 8, "the bench does not listen");
    Ok(())
}
