//! What a sandbox may use of the host, and what it used.
//!
//! Memory, the share of processors and the number of threads are the business of its control group (`ampoule-cgroup`).
//! Processor time is looked at here, by the clock that the kernel keeps of the VMM's process, as often as it could have
//! been used up since; an rlimit of that process is behind it, should this process be stopped.

use crate::end::End;
use crate::error::Error;
use crate::process::{Gone, Process};
use ampoule_cgroup::{Cgroup, Controller, CpuShare, CpuWeight, Usage};
use ampoule_policies::{Limits, Mib};
use nix::sys::signal::Signal;
use nix::time::clock_getcpuclockid;
use nix::unistd::Pid;
use rustix::io::Errno;
use rustix::process::{Resource, Rlimit, prlimit};
use std::time::{Duration, Instant};

/// Threads of a VMM that use the processor.
const THREADS: u32 = 2;
/// Least time between two looks at the clock.
const LEAST_PAUSE: Duration = Duration::from_millis(2);
/// What the rlimit has more than the limit: the sentence about it is ours to say.
const RLIMIT_MARGIN: Duration = Duration::from_secs(2);

/// What a sandbox has used of the host.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct HostUsage {
    /// Most memory of its control group, in bytes.
    pub peak_memory: Option<u64>,
    /// How long it was kept from running by its share of processors.
    pub throttled: Option<Duration>,
}

/// The limits that are looked after here.
#[derive(Debug)]
pub(crate) struct Quota {
    limits: Limits,
    /// When the clock is to be looked at.
    next: Option<Instant>,
    group: Usage,
}

impl Quota {
    pub(crate) fn new(limits: &Limits, now: Instant) -> Self {
        let next = limits.cpu_time.map(|limit| now + pause(limit));
        Self { limits: *limits, next, group: Usage::default() }
    }

    /// When [`Quota::tick`] is due.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        self.next
    }

    /// Looks at the clock, if it is time. Gives the end, if the processor time is used up.
    pub(crate) fn tick(&mut self, process: &Process, now: Instant) -> Option<End> {
        let limit = self.limits.cpu_time.filter(|_| self.next.is_some_and(|next| now >= next))?;
        let used = cpu_time(process)?;
        match limit.checked_sub(used).filter(|left| !left.is_zero()) {
            Some(left) => {
                self.next = Some(now + pause(left));
                None
            }
            None => {
                self.next = None;
                Some(End::CpuTime { limit })
            }
        }
    }

    /// What the control group says at the end.
    pub(crate) fn note_group(&mut self, usage: Usage) {
        self.group = usage;
    }

    /// Whether it was a limit that ended the process of a guest with this much memory.
    pub(crate) fn end_of(&self, gone: Gone, memory: Mib) -> Option<End> {
        const SIGXCPU: i32 = Signal::SIGXCPU as i32;
        const SIGKILL: i32 = Signal::SIGKILL as i32;
        match (gone, self.limits.cpu_time) {
            (Gone::Killed(SIGXCPU), Some(limit)) => Some(End::CpuTime { limit }),
            (Gone::Killed(SIGKILL), _) if self.group.oom_kills.is_some_and(|kills| kills > 0) => {
                Some(End::HostMemory { limit: host_memory(&self.limits, memory), memory })
            }
            _ => None,
        }
    }

    pub(crate) fn usage(&self) -> HostUsage {
        HostUsage {
            peak_memory: self.group.peak_memory,
            throttled: self.group.throttled_us.map(Duration::from_micros),
        }
    }
}

/// The control group of a sandbox with this much guest RAM. A limit that was asked for and cannot be enforced is an
/// error; that on memory is there in any case, and where there are no groups, RAM is bounded by the VMM itself.
pub(crate) fn cgroup(limits: &Limits, memory: Mib) -> Result<Cgroup, Error> {
    let cgroup = Cgroup::create(&ampoule_cgroup::Limits {
        memory: Some(host_memory(limits, memory)),
        cpu: limits.cpu_milli.and_then(|milli| CpuShare::new(milli).ok()),
        weight: limits.cpu_weight.and_then(|weight| CpuWeight::new(weight).ok()),
        pids: limits.vmm_threads,
    })?;
    for missing in cgroup.missing() {
        let limit = match missing.controller {
            Controller::Memory => continue,
            Controller::Cpu if limits.cpu_milli.is_some() => "limits.cpus (--cpus)",
            Controller::Cpu => "limits.cpu_weight (--cpu-weight)",
            Controller::Pids => "limits.vmm_threads",
        };
        return Err(Error::NoControlGroup { limit, why: missing.why.clone() });
    }
    Ok(cgroup)
}

/// Bytes that a sandbox may take of the host: the guest's RAM, a sixteenth of it for the tables that map it (twice: the
/// host's and KVM's, more where KVM shadows the guest's), and the VMM's own.
fn host_memory(limits: &Limits, memory: Mib) -> u64 {
    memory.bytes() + memory.bytes() / 16 + limits.vmm_memory
}

/// Sets the rlimits of a VMM that was just started.
pub(crate) fn limit_process(process: &Process, limits: &Limits) -> Result<(), Error> {
    let Some(limit) = limits.cpu_time else { return Ok(()) };
    let seconds = (limit + RLIMIT_MARGIN).as_secs().saturating_add(1);
    let rlimit = Rlimit { current: Some(seconds), maximum: Some(seconds.saturating_add(1)) };
    match prlimit(process.id(), Resource::Cpu, rlimit) {
        // Without root's rights, the VMM is another user's already; the clock is looked at all the same.
        Ok(_) | Err(Errno::PERM) => Ok(()),
        Err(errno) => Err(Error::system("limit the VMM's processor time")(errno)),
    }
}

/// Words for the guest's kernel: what the caller says, and the limits that it enforces.
pub(crate) fn kernel_words(words: &str, limits: &Limits) -> String {
    let mut line = words.to_owned();
    let numbers = [
        ("ampoule.max_processes", limits.processes.map(u64::from)),
        (DISK_WORD, limits.disk),
        (INODES_WORD, limits.disk_files.map(u64::from)),
    ];
    for (name, number) in numbers {
        if let Some(number) = number {
            line = format!("{line} {name}={number}");
        }
    }
    line.trim_start().to_owned()
}

/// What the guest's kernel calls the limits of its disk.
const DISK_WORD: &str = "ampoule.overlay_bytes";
const INODES_WORD: &str = "ampoule.overlay_inodes";

/// How long it takes at least to use up this much processor time.
fn pause(left: Duration) -> Duration {
    (left / THREADS).max(LEAST_PAUSE)
}

/// Processor time of a process that was not waited for yet.
fn cpu_time(process: &Process) -> Option<Duration> {
    let clock = clock_getcpuclockid(Pid::from_raw(process.pid())).ok()?;
    clock.now().ok().map(Duration::from)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ampoule_policies::Policy;

    #[test]
    fn the_guests_kernel_is_told_its_limits() {
        let mut limits = Policy::builtin().unwrap().limits;
        assert_eq!(kernel_words("", &limits), "");
        limits.processes = Some(7);
        limits.disk = Some(1 << 20);
        assert_eq!(kernel_words("a b", &limits), "a b ampoule.max_processes=7 ampoule.overlay_bytes=1048576");
    }

    #[test]
    fn a_killed_process_was_over_its_memory_only_if_its_group_says_so() {
        let limits = Policy::builtin().unwrap().limits;
        let mut quota = Quota::new(&limits, Instant::now());
        assert_eq!(quota.end_of(Gone::Killed(9), Mib::MIN), None);
        quota.note_group(Usage { oom_kills: Some(1), ..Usage::default() });
        let limit = (34 + 64) << 20;
        assert_eq!(
            quota.end_of(Gone::Killed(9), Mib::MIN),
            Some(End::HostMemory { limit, memory: Mib::MIN })
        );
        assert_eq!(quota.end_of(Gone::Exited(0), Mib::MIN), None);
    }
}
