//! The controllers that limits need.

use crate::limits::Limits;
use core::fmt;

/// A controller of the kernel.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Controller {
    /// Memory: anonymous, page cache first touched by the group, and what the kernel keeps for it.
    Memory,
    /// Processor time: share and weight.
    Cpu,
    /// Number of processes and threads.
    Pids,
}

impl Controller {
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Memory, Self::Cpu, Self::Pids];

    /// The kernel's name.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Memory => "memory",
            Self::Cpu => "cpu",
            Self::Pids => "pids",
        }
    }

    /// Those that these limits need.
    pub(crate) fn needed(limits: &Limits) -> impl Iterator<Item = Self> + use<> {
        let needed = [
            (limits.memory.is_some(), Self::Memory),
            (limits.cpu.is_some() || limits.weight.is_some(), Self::Cpu),
            (limits.pids.is_some(), Self::Pids),
        ];
        needed.into_iter().filter_map(|(is_needed, controller)| is_needed.then_some(controller))
    }
}

impl fmt::Display for Controller {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
