//! The control group of a sandbox.

use crate::controller::Controller;
use crate::error::Error;
use crate::group::{self, Group};
use crate::host::{Absent, Host, Place, Version};
use crate::limits::{CpuShare, Limits, Usage};
use std::os::fd::{AsFd, BorrowedFd};
use std::path::Path;

/// The control group of a sandbox. Dropping it removes it; its processes have to be gone by then.
#[derive(Debug)]
pub struct Cgroup {
    /// One for each hierarchy, with the controllers that it serves.
    groups: Vec<(Vec<Controller>, Group)>,
    missing: Vec<Missing>,
    places: Vec<Place>,
}

/// A controller that this host does not give us.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Missing {
    /// Which.
    pub controller: Controller,
    /// Why.
    pub why: Absent,
}

/// How a new process joins the group of one hierarchy.
#[derive(Clone, Copy, Debug)]
pub struct Join<'a> {
    /// A file open for writing: a process with a single thread that writes `0` there has joined.
    pub file: BorrowedFd<'a>,
    /// The directory for `CLONE_INTO_CGROUP`, if it is a group of version 2. A process that is made so need not write.
    pub directory: Option<BorrowedFd<'a>>,
}

impl Cgroup {
    /// Makes a group with these limits. Which of them this host cannot enforce, [`Cgroup::missing`] says.
    pub fn create(limits: &Limits) -> Result<Self, Error> {
        let mut cgroup = Self { groups: Vec::new(), missing: Vec::new(), places: Vec::new() };
        let mut needed = Controller::needed(limits).peekable();
        if needed.peek().is_none() {
            return Ok(cgroup);
        }
        let host = Host::new();
        for controller in needed {
            match host.place(controller) {
                Ok(place) => cgroup.add(controller, place)?,
                Err(why) => cgroup.missing.push(Missing { controller, why }),
            }
        }
        for (controllers, group) in &cgroup.groups {
            for controller in controllers {
                apply(*controller, limits, group)?;
            }
        }
        Ok(cgroup)
    }

    /// Adds a controller: to the group in its hierarchy, or with a new one.
    fn add(&mut self, controller: Controller, place: Place) -> Result<(), Error> {
        match self.places.iter().position(|other| *other == place) {
            Some(index) => {
                if let Some((controllers, _)) = self.groups.get_mut(index) {
                    controllers.push(controller);
                }
            }
            None => {
                self.groups.push((vec![controller], Group::create(&place)?));
                self.places.push(place);
            }
        }
        Ok(())
    }

    /// The limits that this host cannot enforce.
    pub fn missing(&self) -> &[Missing] {
        &self.missing
    }

    /// How a new process joins, one way for each hierarchy.
    pub fn joins(&self) -> impl Iterator<Item = Join<'_>> {
        self.groups.iter().map(|(_, group)| Join {
            file: group.join.as_fd(),
            directory: (group.version == Version::V2).then(|| group.directory()),
        })
    }

    /// The directories.
    pub fn paths(&self) -> impl Iterator<Item = &Path> {
        self.groups.iter().map(|(_, group)| group.path())
    }

    /// What was used so far.
    pub fn usage(&self) -> Usage {
        let mut usage = Usage::default();
        for (controllers, group) in &self.groups {
            for controller in controllers {
                read_usage(*controller, group, &mut usage);
            }
        }
        usage
    }

    /// Removes what makers of groups that were killed left behind beside this one. Says how many directories.
    pub fn sweep(&self) -> usize {
        self.places.iter().map(group::sweep).sum()
    }
}

fn apply(controller: Controller, limits: &Limits, group: &Group) -> Result<(), Error> {
    match controller {
        Controller::Memory => limits.memory.map_or(Ok(()), |bytes| limit_memory(group, bytes)),
        Controller::Cpu => limit_cpu(group, limits),
        Controller::Pids => limits.pids.map_or(Ok(()), |pids| group.set("pids.max", &pids.to_string())),
    }
}

/// Memory, and no swap: a guest that is over its limit is not to slow the host's disk down.
fn limit_memory(group: &Group, bytes: u64) -> Result<(), Error> {
    let bytes = bytes.to_string();
    match group.version {
        Version::V1 => {
            group.set("memory.limit_in_bytes", &bytes)?;
            // Memory and swap together. It has to be set after the former; kernels without swap accounting have none.
            group.set_if_there("memory.memsw.limit_in_bytes", &bytes)
        }
        Version::V2 => {
            group.set("memory.max", &bytes)?;
            group.set_if_there("memory.swap.max", "0")?;
            group.set_if_there("memory.oom.group", "1")
        }
    }
}

fn limit_cpu(group: &Group, limits: &Limits) -> Result<(), Error> {
    let period = CpuShare::PERIOD_US;
    if let Some(quota) = limits.cpu.map(CpuShare::quota_us) {
        match group.version {
            Version::V1 => {
                group.set("cpu.cfs_period_us", &period.to_string())?;
                group.set("cpu.cfs_quota_us", &quota.to_string())?;
            }
            Version::V2 => group.set("cpu.max", &format!("{quota} {period}"))?,
        }
    }
    match (limits.weight, group.version) {
        (Some(weight), Version::V1) => group.set("cpu.shares", &weight.shares().to_string()),
        (Some(weight), Version::V2) => group.set("cpu.weight", &weight.get().to_string()),
        (None, _) => Ok(()),
    }
}

fn read_usage(controller: Controller, group: &Group, usage: &mut Usage) {
    match (controller, group.version) {
        (Controller::Memory, Version::V1) => {
            usage.peak_memory = group.number("memory.max_usage_in_bytes");
            usage.oom_kills = group.keyed("memory.oom_control", "oom_kill");
        }
        (Controller::Memory, Version::V2) => {
            usage.peak_memory = group.number("memory.peak");
            usage.oom_kills = group.keyed("memory.events", "oom_kill");
        }
        (Controller::Cpu, Version::V1) => {
            usage.throttled_us = group.keyed("cpu.stat", "throttled_time").map(|ns| ns / 1000);
        }
        (Controller::Cpu, Version::V2) => usage.throttled_us = group.keyed("cpu.stat", "throttled_usec"),
        (Controller::Pids, _) => {}
    }
}
