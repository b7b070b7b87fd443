//! The life of a sandbox as a state machine: pure, so that every way to an end can be tested.
//!
//! ```text
//!  Booting --hello--> Serving --connection lost--> Orphaned --grace over--+
//!     |                  |                            |                   |
//!     +------- violation, overdue, stop, VMM's status (each decides why) -+--> Ending --process gone--> Over
//! ```
//!
//! The first cause decides: what follows from ending the sandbox (a closed connection, a killed VMM) is no news.

use crate::end::End;
use crate::session::Violation;
use crate::text::LogTail;
use ampoule_policies::Mib;
use ampoule_vmm_api::VmStatus;
use std::time::{Duration, Instant};

/// How long a VMM may take to end on its own once it is to end.
const EXIT_GRACE: Duration = Duration::from_millis(1000);
/// How long a lost connection may be unexplained: the VMM's status is on its way if the guest ended.
const ORPHAN_GRACE: Duration = Duration::from_millis(1000);

/// Where a sandbox is in its life.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum State {
    /// The VMM was started; the agent has not said hello.
    Booting {
        /// When it must have.
        until: Instant,
        /// How long that is in all.
        limit: Duration,
    },
    /// The agent listens.
    Serving,
    /// The agent's connection is gone, and it is not known why yet.
    Orphaned {
        /// When that is why enough.
        until: Instant,
        /// What it was then.
        end: End,
    },
    /// It is decided why the sandbox ends; its process is on its way out.
    Ending {
        /// Why.
        end: End,
        /// When the process is killed. `None`: it was.
        until: Option<Instant>,
    },
    /// The process is gone.
    Over(End),
}

/// What can happen to a sandbox.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Input {
    /// The agent said hello.
    Hello,
    /// The agent's connection ended. What that is if nothing else explains it.
    ConnectionLost(End),
    /// The agent misbehaved.
    Violation(Violation),
    /// The VMM said how the VM, which had this much memory, ended.
    Status(VmStatus, Mib),
    /// The VMM's process ended; what its exit status says.
    ProcessGone(End),
    /// The host wants an end, at once.
    Kill(End),
    /// The host wants an end, and the VMM's last words.
    Terminate(End),
    /// Time passed.
    Tick,
}

/// What is to be done to the VMM's process.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Action {
    /// Nothing.
    Nothing,
    /// SIGTERM: it says how the VM was, and ends.
    Terminate,
    /// SIGKILL.
    Kill,
}

impl State {
    /// A sandbox whose VMM was just started.
    pub(crate) fn new(now: Instant, limit: Duration) -> Self {
        Self::Booting { until: now + limit, limit }
    }

    /// What follows from an input.
    pub(crate) fn transition(self, input: Input, now: Instant) -> (Self, Action) {
        match self {
            Self::Over(end) => (Self::Over(end), Action::Nothing),
            Self::Ending { end, until } => ending(end, until, input, now),
            alive => match input {
                Input::Hello => match alive {
                    Self::Booting { .. } => (Self::Serving, Action::Nothing),
                    other => (other, Action::Nothing),
                },
                Input::ConnectionLost(end) => {
                    (Self::Orphaned { until: now + ORPHAN_GRACE, end }, Action::Nothing)
                }
                Input::Violation(violation) => killed(End::AgentViolation(violation)),
                Input::Kill(end) => killed(end),
                Input::Terminate(end) => terminated(end, now),
                Input::Status(status, memory) => {
                    let end = End::from_status(&status, memory);
                    (Self::Ending { end, until: Some(now + EXIT_GRACE) }, Action::Nothing)
                }
                Input::ProcessGone(end) => (Self::Over(end), Action::Nothing),
                Input::Tick => alive.tick(now),
            },
        }
    }

    /// Time passed for a sandbox that is not ending.
    fn tick(self, now: Instant) -> (Self, Action) {
        match self {
            Self::Booting { until, limit } if now >= until => {
                terminated(End::BootTimedOut { after: limit, log: LogTail::default() }, now)
            }
            Self::Orphaned { until, end } if now >= until => killed(end),
            other => (other, Action::Nothing),
        }
    }

    /// When time alone changes something.
    pub(crate) fn deadline(&self) -> Option<Instant> {
        match self {
            Self::Booting { until, .. } | Self::Orphaned { until, .. } => Some(*until),
            Self::Ending { until, .. } => *until,
            Self::Serving | Self::Over(_) => None,
        }
    }
}

fn ending(end: End, until: Option<Instant>, input: Input, now: Instant) -> (State, Action) {
    match input {
        Input::ProcessGone(_) => (State::Over(end), Action::Nothing),
        Input::Status(status, _) => {
            (State::Ending { end: end.with_log(&status.console_tail), until }, Action::Nothing)
        }
        Input::Kill(_) if until.is_some() => (State::Ending { end, until: None }, Action::Kill),
        Input::Tick if until.is_some_and(|until| now >= until) => {
            (State::Ending { end, until: None }, Action::Kill)
        }
        Input::Kill(_)
        | Input::Tick
        | Input::Terminate(_)
        | Input::Hello
        | Input::ConnectionLost(_)
        | Input::Violation(_) => (State::Ending { end, until }, Action::Nothing),
    }
}

fn killed(end: End) -> (State, Action) {
    (State::Ending { end, until: None }, Action::Kill)
}

fn terminated(end: End, now: Instant) -> (State, Action) {
    (State::Ending { end, until: Some(now + EXIT_GRACE) }, Action::Terminate)
}

#[cfg(test)]
mod tests {
    use super::*;
    use ampoule_vmm_api::{Reason, Timings};

    const LIMIT: Duration = Duration::from_secs(5);

    fn status(reason: Reason) -> Input {
        let status = VmStatus {
            reason,
            message: "why".into(),
            console_tail: "last line".into(),
            timings: Timings::default(),
            peak_rss_kib: 0,
        };
        Input::Status(status, Mib::MIN)
    }

    /// Gives the inputs, a millisecond apart, and says where that leads and what was done.
    fn live(inputs: impl IntoIterator<Item = Input>) -> (State, Vec<Action>) {
        let start = Instant::now();
        let mut state = State::new(start, LIMIT);
        let mut actions = Vec::new();
        for (index, input) in (1..).zip(inputs) {
            let action;
            (state, action) = state.transition(input, start + Duration::from_millis(index));
            actions.push(action);
        }
        actions.retain(|action| *action != Action::Nothing);
        (state, actions)
    }

    fn lost() -> Input {
        Input::ConnectionLost(End::AgentGone)
    }

    fn gone() -> Input {
        Input::ProcessGone(End::VmmKilled { signo: 9, said: String::new() })
    }

    #[test]
    fn a_good_life() {
        let (state, actions) = live([Input::Hello, Input::Kill(End::Stopped), lost(), gone()]);
        assert_eq!(state, State::Over(End::Stopped));
        assert_eq!(actions, [Action::Kill]);
    }

    #[test]
    fn the_first_cause_decides() {
        let violation = || Input::Violation(Violation::NoHello);
        let end = |inputs: Vec<Input>| match live(inputs).0 {
            State::Over(end) => end.name(),
            other => panic!("{other:?}"),
        };
        assert_eq!(end(vec![gone()]), "vmm_killed");
        assert_eq!(end(vec![Input::Hello, gone()]), "vmm_killed");
        assert_eq!(end(vec![Input::Hello, lost(), gone()]), "vmm_killed");
        assert_eq!(end(vec![violation(), status(Reason::KernelPanic), gone()]), "agent_protocol_error");
        assert_eq!(
            end(vec![status(Reason::KernelPanic), Input::Kill(End::Stopped), gone()]),
            "guest_kernel_panic"
        );
        assert_eq!(end(vec![lost(), status(Reason::PowerOff), gone()]), "guest_powered_off");
        assert_eq!(end(vec![Input::Terminate(End::Stopped), status(Reason::Terminated), gone()]), "stopped");
    }

    #[test]
    fn a_boot_that_hangs_is_ended_with_the_log() {
        let start = Instant::now();
        let state = State::new(start, LIMIT);
        assert_eq!(state.deadline(), Some(start + LIMIT));
        let (state, action) = state.transition(Input::Tick, start + LIMIT);
        assert_eq!(action, Action::Terminate);
        let (state, _) = state.transition(status(Reason::Terminated), start + LIMIT);
        let (state, _) = state.transition(gone(), start + LIMIT);
        let State::Over(end) = state else { panic!("{state:?}") };
        assert!(end.to_string().ends_with("| last line"), "{end}");
    }

    #[test]
    fn a_vmm_that_does_not_end_is_killed_once() {
        let start = Instant::now();
        let mut state = State::new(start, LIMIT);
        for input in [Input::Hello, Input::Terminate(End::Stopped)] {
            (state, _) = state.transition(input, start);
        }
        let (state, action) = state.transition(Input::Tick, start + EXIT_GRACE);
        assert_eq!(action, Action::Kill);
        assert_eq!(state.deadline(), None);
        let (_, action) = state.transition(Input::Tick, start + EXIT_GRACE * 2);
        assert_eq!(action, Action::Nothing);
    }

    #[test]
    fn an_agent_that_hangs_up_has_a_moment_to_be_explained() {
        let start = Instant::now();
        let (state, _) = State::new(start, LIMIT).transition(lost(), start);
        let (state, action) = state.transition(Input::Tick, start);
        assert_eq!(action, Action::Nothing);
        let (state, action) = state.transition(Input::Tick, start + ORPHAN_GRACE);
        assert_eq!((state, action), (State::Ending { end: End::AgentGone, until: None }, Action::Kill));
    }

    #[test]
    fn a_frame_that_was_cut_off_by_the_end_of_the_vm_is_no_misbehaviour() {
        let cut_off = || Input::ConnectionLost(End::AgentViolation(Violation::Truncated));
        let (state, _) = live([Input::Hello, cut_off(), gone()]);
        assert!(matches!(state, State::Over(End::VmmKilled { .. })), "{state:?}");
        let start = Instant::now();
        let (state, _) = State::new(start, LIMIT).transition(cut_off(), start);
        let (state, action) = state.transition(Input::Tick, start + ORPHAN_GRACE);
        let end = End::AgentViolation(Violation::Truncated);
        assert_eq!((state, action), (State::Ending { end, until: None }, Action::Kill));
    }

    #[test]
    fn whatever_happens_a_gone_process_is_the_end() {
        let inputs = || {
            [
                Input::Hello,
                lost(),
                Input::Violation(Violation::NoHello),
                status(Reason::Reset),
                Input::Kill(End::Stopped),
                Input::Terminate(End::Stopped),
                Input::Tick,
            ]
        };
        for first in inputs() {
            for second in inputs() {
                let (state, actions) = live([first.clone(), second.clone(), gone(), Input::Hello]);
                assert!(matches!(state, State::Over(_)), "{first:?}, {second:?}: {state:?}");
                assert!(actions.iter().filter(|action| **action == Action::Kill).count() <= 1);
            }
        }
    }
}
