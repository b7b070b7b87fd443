//! How long each phase of a run took.

use ampoule_engine::{Nanos, Timeline};
use serde::Serialize;
use std::fmt::Write as _;
use std::io::Write as _;

/// Moments that this program noted itself.
pub struct Marks {
    start: Nanos,
    marks: Vec<(&'static str, Nanos)>,
}

/// A moment of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Phase {
    /// What had just been reached.
    pub phase: String,
    /// When, in microseconds since this program's `main` began.
    pub at_us: f64,
    /// Time since the moment before it, in microseconds.
    pub took_us: f64,
}

impl Marks {
    /// Begins with the time when `main` began.
    pub fn new(start: Nanos) -> Self {
        let mut marks = Self { start, marks: Vec::new() };
        marks.note("command line resolved");
        marks
    }

    /// Notes that something has been reached.
    pub fn note(&mut self, what: &'static str) {
        self.marks.push((what, Nanos::now()));
    }

    /// All that is known, in the order of time.
    pub fn phases(&self, timeline: &Timeline) -> Vec<Phase> {
        let mut moments: Vec<(String, Nanos)> = Vec::new();
        let mut add = |what: &str, at: Option<Nanos>| moments.extend(at.map(|at| (what.to_owned(), at)));
        for (what, at) in &self.marks {
            add(what, Some(*at));
        }
        add("launch", timeline.launch);
        add("vmm process created", timeline.vmm_spawned);
        let vmm = &timeline.vmm;
        for (what, at) in [
            ("vmm: main", vmm.process_start),
            ("vmm: kvm opened", vmm.kvm_opened),
            ("vmm: vm created", vmm.vm_created),
            ("vmm: memory mapped", vmm.memory_mapped),
            ("vmm: kernel loaded", vmm.kernel_loaded),
            ("vmm: first run", vmm.vcpu_ready),
            ("vmm: agent connected", vmm.control_connected),
        ] {
            add(what, at.map(Nanos));
        }
        // The guest's clock starts with it: its moments are as trustworthy as the guest is.
        if let Some(run) = vmm.vcpu_ready {
            for phase in &timeline.guest {
                add(&format!("guest: {}", phase.name), Some(Nanos(run.saturating_add(phase.ns))));
            }
        }
        add("agent ready", timeline.hello);
        add("job started", timeline.job_started);
        add("job ended", timeline.job_ended);
        add("vmm gone", timeline.gone);
        moments.sort_by_key(|(_, at)| *at);
        self.relative(moments)
    }

    fn relative(&self, moments: Vec<(String, Nanos)>) -> Vec<Phase> {
        let us = |from: Nanos, to: Nanos| to.0.saturating_sub(from.0) as f64 / 1000.0;
        let mut before = self.start;
        let phase = |(phase, at): (String, Nanos)| {
            let took_us = us(before, at);
            before = at;
            Phase { phase, at_us: us(self.start, at), took_us }
        };
        moments.into_iter().map(phase).collect()
    }
}

/// Prints a table to standard error.
pub fn print(phases: &[Phase]) {
    let mut table = format!("{:<34} {:>10} {:>10}\n", "phase", "at ms", "took ms");
    for Phase { phase, at_us, took_us } in phases {
        // Writing to a string does not fail.
        let _ = writeln!(table, "{phase:<34} {:>10.3} {:>10.3}", at_us / 1000.0, took_us / 1000.0);
    }
    let _ = std::io::stderr().write_all(table.as_bytes());
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn moments_are_in_order_and_add_up() {
        let mut marks = Marks::new(Nanos::now());
        marks.note("done");
        let mut timeline = Timeline::default();
        timeline.hello = Some(Nanos(marks.start.0 + 3_000_000_000));
        let phases = marks.phases(&timeline);
        let names: Vec<_> = phases.iter().map(|phase| phase.phase.as_str()).collect();
        assert_eq!(names, ["command line resolved", "done", "agent ready"]);
        let sum: f64 = phases.iter().map(|phase| phase.took_us).sum();
        assert!((sum - 3_000_000.0).abs() < 1.0 && phases.iter().all(|phase| phase.took_us >= 0.0));
    }
}
