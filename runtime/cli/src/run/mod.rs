//! `ampoule run` and `ampoule shell`: from the command line to an exit code.
//!
//! - `request`: the command line resolved: policy, environment, files opened.
//! - `images`: kernel and root image, built in or the user's.
//! - `terminal`: the user's terminal, raw while the guest's drives it.
//! - `report`, `timings`: what `--json` and `--timings` print.

mod base64;
mod filter;
pub mod images;
mod report;
mod request;
mod terminal;
mod timings;

use crate::args::RunArgs;
use crate::complain;
use ampoule_engine::attach::{self, Signals};
use ampoule_engine::{Nanos, OWN_FAILURE, Outcome, Sandbox};
use ampoule_protocol::Status;
use anyhow::{Context, Result};
use request::Request;
use std::process::ExitCode;

/// Which of the two commands.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// `ampoule run`: a command, on pipes unless a terminal is asked for.
    Command,
    /// `ampoule shell`: a shell, on a terminal.
    Shell,
}

/// What is printed besides the command's own output.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Printing {
    json: bool,
    timings: bool,
}

/// Runs the command. Gives the exit code, having said everything that there is to say.
pub fn run(args: RunArgs, kind: Kind, start: Nanos) -> ExitCode {
    let printing = Printing { json: args.json, timings: args.timings };
    let code = match Request::new(args, kind) {
        Ok(request) => go(request, printing, start),
        Err(error) => Err(error),
    };
    match code {
        Ok(code) => ExitCode::from(code),
        Err(error) => {
            let message = format!("{error:#}");
            if printing.json {
                report::print_failure(&message);
            }
            complain(&message);
            ExitCode::from(OWN_FAILURE)
        }
    }
}

fn go(request: Request, printing: Printing, start: Nanos) -> Result<u8> {
    let mut marks = timings::Marks::new(start);
    ampoule_engine::close_on_exec().context("cannot keep this program's files from the VMM")?;
    let program = images::vmm()?;
    marks.note("vmm in memory");
    let config = request.config(&program)?;
    if request.is_unjailed() {
        complain(
            "warning: --isolation none: no jail, only KVM and system-call filters stand between the guest and this host",
        );
    }
    let mut signals = Signals::block().context("cannot take signals")?;
    let mut sandbox = match Sandbox::launch(&config) {
        Ok(sandbox) => sandbox,
        Err(error) => {
            let outcome = Outcome::NotLaunched(error);
            if printing.json {
                report::print_early(&outcome);
            }
            return Ok(tell(&outcome));
        }
    };
    let raw = terminal::RawMode::enter(request.terminal.as_ref());
    let run = attach::run(&mut sandbox, request.job, request.streams, Some(&mut signals));
    drop(raw);
    marks.note("done");
    if printing.timings {
        timings::print(&marks.phases(sandbox.timeline()));
    }
    let code = tell(&run.outcome);
    match printing.json {
        true => report::print(run, &sandbox, &marks).map(|()| code),
        false => Ok(code),
    }
}

/// Says how it ended, unless the exit code says it all.
fn tell(outcome: &Outcome) -> u8 {
    const SIGINT: u8 = 2;
    const SIGPIPE: u8 = 13;
    match outcome {
        // The user's own doing, and the end of `| head`: shells keep silent, too.
        Outcome::Exited(Status::Signal { signo: SIGINT | SIGPIPE, .. }) => {}
        outcome => {
            if let Some(sentence) = outcome.sentence() {
                complain(&sentence);
            }
        }
    }
    outcome.exit_code()
}
