//! Options of the command line on top of a policy.

use crate::policy::{Limits, Policy};
use crate::units::Mib;
use core::fmt::{self, Display};
use core::time::Duration;
use thiserror::Error;

/// What the command line says. The outer `None` is what it does not say.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
#[expect(missing_docs, reason = "named as the fields of the policy")]
pub struct Overrides {
    pub memory: Option<Mib>,
    pub job: Option<Option<Duration>>,
    pub cpu_milli: Option<Option<u32>>,
    pub cpu_weight: Option<Option<u16>>,
    pub cpu_time: Option<Option<Duration>>,
    pub processes: Option<Option<u32>>,
    pub open_files: Option<Option<u32>>,
    pub disk: Option<Option<u64>>,
    pub disk_files: Option<Option<u32>>,
    pub output: Option<Option<u64>>,
    pub vsock_rate: Option<Option<u64>>,
    pub user: Option<String>,
    /// Names of variables whose values are taken from the host.
    pub pass: Vec<String>,
}

/// An option that would loosen a policy that may only be tightened.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[error("{flag} {asked} is looser than the policy allows: `{field}` is {has}, and the policy is locked")]
pub struct Looser {
    /// The option.
    pub flag: &'static str,
    /// What it asked for.
    pub asked: String,
    /// The field of the policy.
    pub field: &'static str,
    /// What the policy has.
    pub has: String,
}

impl Policy {
    /// The policy with options on top. A locked one can only become tighter.
    pub fn with(&self, overrides: &Overrides) -> Result<Self, Looser> {
        let mut policy = self.clone();
        overrides.set(&mut policy);
        match self.locked {
            true => policy.check_tighter(self, overrides).map(|()| policy),
            false => Ok(policy),
        }
    }

    fn check_tighter(&self, base: &Self, overrides: &Overrides) -> Result<(), Looser> {
        let (own, has) = (&self.limits, &base.limits);
        let memory = (Some(self.machine.memory), Some(base.machine.memory));
        at_most("--memory", "machine.memory_mib", memory, |mib| mib.to_string())?;
        let job = (self.deadlines.job, base.deadlines.job);
        at_most("--timeout", "deadlines.job_ms", job, seconds)?;
        let cpus = (own.cpu_milli, has.cpu_milli);
        at_most("--cpus", "limits.cpus", cpus, |milli| (f64::from(milli) / 1000.0).to_string())?;
        // Without a weight, a sandbox has that of all others.
        let weight = |limits: &Limits| Some(limits.cpu_weight.unwrap_or(100));
        at_most("--cpu-weight", "limits.cpu_weight", (weight(own), weight(has)), plain)?;
        at_most("--cpu-time", "limits.cpu_time_ms", (own.cpu_time, has.cpu_time), seconds)?;
        at_most("--pids-limit", "limits.processes", (own.processes, has.processes), plain)?;
        at_most("--ulimit nofile", "limits.open_files", (own.open_files, has.open_files), plain)?;
        at_most("--disk", "limits.disk_mib", (own.disk, has.disk), bytes)?;
        at_most("--disk-files", "limits.disk_files", (own.disk_files, has.disk_files), plain)?;
        at_most("--output-limit", "limits.output_kib", (own.output, has.output), bytes)?;
        at_most("--rate", "limits.vsock_kib_per_second", (own.vsock_rate, has.vsock_rate), bytes)?;
        self.check_user(base)?;
        self.check_passed(base, overrides)
    }

    /// Whoever is not root may become another who is not, but not root. That a name is not root's only the guest knows.
    fn check_user(&self, base: &Self) -> Result<(), Looser> {
        let is_number = |part: &str| part.parse().is_ok_and(|id: u32| id != 0);
        let is_plain = |user: &str| user.split(':').all(is_number);
        if base.user.is_none() || self.user == base.user || self.user.as_deref().is_some_and(is_plain) {
            return Ok(());
        }
        Err(Looser {
            flag: "--user",
            asked: self.user.clone().unwrap_or_default(),
            field: "job.user",
            has: format!(
                "{} (another user can be given as a number that is not 0)",
                base.user.clone().unwrap_or_default()
            ),
        })
    }

    fn check_passed(&self, base: &Self, overrides: &Overrides) -> Result<(), Looser> {
        match overrides.pass.iter().find(|name| !base.environment.pass.contains(name)) {
            None => Ok(()),
            Some(name) => Err(Looser {
                flag: "--env",
                asked: name.clone(),
                field: "environment.pass",
                has: format!("{:?}", base.environment.pass),
            }),
        }
    }
}

impl Overrides {
    fn set(&self, policy: &mut Policy) {
        fn put<T: Clone>(place: &mut T, value: &Option<T>) {
            if let Some(value) = value {
                place.clone_from(value);
            }
        }
        put(&mut policy.machine.memory, &self.memory);
        put(&mut policy.deadlines.job, &self.job);
        let limits = &mut policy.limits;
        put(&mut limits.cpu_milli, &self.cpu_milli);
        put(&mut limits.cpu_weight, &self.cpu_weight);
        put(&mut limits.cpu_time, &self.cpu_time);
        put(&mut limits.processes, &self.processes);
        put(&mut limits.open_files, &self.open_files);
        put(&mut limits.disk, &self.disk);
        put(&mut limits.disk_files, &self.disk_files);
        put(&mut limits.output, &self.output);
        put(&mut limits.vsock_rate, &self.vsock_rate);
        if self.user.is_some() {
            policy.user.clone_from(&self.user);
        }
        for name in &self.pass {
            if !policy.environment.pass.contains(name) {
                policy.environment.pass.push(name.clone());
            }
        }
    }
}

/// A limit, where none is more than any: what is asked for and what the policy has.
fn at_most<T: PartialOrd + Copy>(
    flag: &'static str,
    field: &'static str,
    (asked, has): (Option<T>, Option<T>),
    show: impl Fn(T) -> String,
) -> Result<(), Looser> {
    let is_looser = match (asked, has) {
        (_, None) => false,
        (None, Some(_)) => true,
        (Some(asked), Some(has)) => asked > has,
    };
    let show = |value: Option<T>| value.map_or("0 (no limit)".to_owned(), &show);
    match is_looser {
        true => Err(Looser { flag, asked: show(asked), field, has: show(has) }),
        false => Ok(()),
    }
}

fn plain(value: impl Display) -> String {
    value.to_string()
}

fn seconds(time: Duration) -> String {
    format!("{} s", time.as_secs_f64())
}

fn bytes(bytes: u64) -> String {
    Bytes(bytes).to_string()
}

/// A number of bytes, shown in the largest unit that leaves no rest.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bytes(pub u64);

impl Display for Bytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (shift, unit) in [(30, "GiB"), (20, "MiB"), (10, "KiB")] {
            if self.0 != 0 && self.0 & ((1 << shift) - 1) == 0 {
                return write!(f, "{} {unit}", self.0 >> shift);
            }
        }
        write!(f, "{} bytes", self.0)
    }
}
