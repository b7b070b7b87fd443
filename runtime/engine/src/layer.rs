//! The layers of isolation around a VMM: those of its jail, its control group, and the filters of its system calls.
//!
//! - [`Layer`]: one of them. [`Jail`]: which a VMM is behind, and which this host does not give.
//! - [`Jail::probe`]: what this host gives, found without a VMM.

use crate::error::Error;
use ampoule_cgroup::{Cgroup, Controller, Host};
use ampoule_jail::{Child, Isolation};
use thiserror::Error as ThisError;

/// One layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Layer {
    /// A layer of the jail.
    Jail(ampoule_jail::Layer),
    /// A control group that enforces every limit that the sandbox has there; that on memory it always has.
    ControlGroup,
    /// Filters of the system calls of the VMM's threads. A VMM installs them itself, and runs no guest without.
    SystemCallFilters,
}

/// A layer that this host does not give.
#[derive(Clone, Debug, PartialEq, Eq, ThisError)]
#[error("this host does not give the layer `{}` ({why})", layer.name())]
pub struct Missing {
    /// The layer.
    pub layer: Layer,
    /// What the system said when it was asked for.
    pub why: String,
}

/// The layers around a VMM.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Jail {
    /// Those that it is behind.
    pub layers: Vec<Layer>,
    /// Those that this host does not give.
    pub missing: Vec<Missing>,
}

impl Layer {
    /// All, in the order in which they are listed.
    pub fn all() -> impl Iterator<Item = Self> {
        let jail = ampoule_jail::Layer::ALL.into_iter().map(Self::Jail);
        jail.chain([Self::ControlGroup, Self::SystemCallFilters])
    }

    /// What to call it in a sentence.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Jail(layer) => layer.name(),
            Self::ControlGroup => "control group",
            Self::SystemCallFilters => "system-call filters",
        }
    }

    /// A name for machines. It never changes.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Jail(layer) => layer.key(),
            Self::ControlGroup => "control_group",
            Self::SystemCallFilters => "system_call_filters",
        }
    }

    /// What to do on a host that does not give it.
    pub const fn mend(self) -> &'static str {
        match self {
            Self::Jail(layer) => layer.mend(),
            Self::ControlGroup => {
                "run as root, or below a delegated group (`systemd-run --user --scope -p Delegate=yes`, or \
                 AMPOULE_CGROUP)"
            }
            Self::SystemCallFilters => {
                "use a host kernel with CONFIG_SECCOMP_FILTER; in a container, its own filter has to allow seccomp(2)"
            }
        }
    }

    fn missing(self, why: impl ToString) -> Missing {
        Missing { layer: self, why: why.to_string() }
    }
}

/// Refuses a host that lacks what a VMM insists on, or what was insisted on for it. The layers of the jail are found
/// missing when they are entered.
pub(crate) fn demand(isolation: Isolation, group: &Cgroup) -> Result<(), Error> {
    if let Err(errno) = ampoule_seccomp::availability() {
        return Err(Error::Layer { missing: Layer::SystemCallFilters.missing(errno) });
    }
    match missing_group(group) {
        Some(missing) if isolation == Isolation::Strict => Err(Error::Layer { missing }),
        _ => Ok(()),
    }
}

fn missing_group(group: &Cgroup) -> Option<Missing> {
    group
        .missing()
        .first()
        .map(|first| Layer::ControlGroup.missing(format_args!("{}: {}", first.controller, first.why)))
}

impl Jail {
    /// What this host gives: a process enters the jail and ends there, the group's place is looked for, and the kernel is
    /// asked for its filters.
    pub fn probe() -> Result<Self, Error> {
        let (layers, missing) = ampoule_jail::probe().map_err(Error::Jail)?;
        let mut jail = Self::of(layers, &missing);
        let group = Host::new().find(Controller::Memory).map(drop);
        jail.note(Layer::ControlGroup, group.err().map(|why| Layer::ControlGroup.missing(why)));
        let filters = ampoule_seccomp::availability().err();
        jail.note(Layer::SystemCallFilters, filters.map(|errno| Layer::SystemCallFilters.missing(errno)));
        Ok(jail)
    }

    /// The layers of a VMM that was started in this group.
    pub(crate) fn around(child: &Child, group: &Cgroup) -> Self {
        let mut jail = Self::of(child.layers, &child.missing);
        jail.note(Layer::ControlGroup, missing_group(group));
        jail.note(Layer::SystemCallFilters, None);
        jail
    }

    fn of(layers: ampoule_jail::Layers, missing: &[ampoule_jail::Missing]) -> Self {
        let gone = missing.iter().map(|missing| Layer::Jail(missing.layer).missing(missing.errno));
        Self { layers: layers.iter().map(Layer::Jail).collect(), missing: gone.collect() }
    }

    fn note(&mut self, layer: Layer, missing: Option<Missing>) {
        match missing {
            None => self.layers.push(layer),
            Some(missing) => self.missing.push(missing),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn each_has_names_of_its_own() {
        let count = ampoule_jail::Layer::ALL.len() + 2;
        assert_eq!(Layer::all().map(Layer::name).collect::<HashSet<_>>().len(), count);
        assert_eq!(Layer::all().map(Layer::key).collect::<HashSet<_>>().len(), count);
    }

    #[test]
    fn a_probe_finds_each_layer_there_or_missing() {
        let jail = Jail::probe().unwrap();
        let found = jail.layers.iter().copied().chain(jail.missing.iter().map(|missing| missing.layer));
        assert_eq!(found.collect::<HashSet<_>>(), Layer::all().collect());
        assert_eq!(jail.layers.len() + jail.missing.len(), Layer::all().count());
    }
}
