//! `ampoule`: runs commands in microVMs that start in milliseconds and leave nothing behind.
//!
//! - [`args`]: the command line, typed.
//! - [`run`]: `run` and `shell`, on top of `ampoule-engine`.
//! - [`image`]: the images and their local store, on top of `ampoule-rootfs`.
//! - [`kernel`]: stock Linux kernels and their local store, on top of `ampoule-kernels`.
//! - [`policy`]: policies, on top of `ampoule-policies`.
//! - [`doctor`]: what this machine can do.
//! - [`embedded`]: the kernel, VMM and images that are built into this program.

mod args;
mod doctor;
mod embedded;
mod files;
mod image;
mod kernel;
mod policy;
mod run;
mod version;

use ampoule_engine::{Nanos, OWN_FAILURE};
use args::{Cli, Command};
use clap::{CommandFactory, Parser};
use nix::sys::signal::{SigHandler, Signal, signal};
use std::io::Write;
use std::process::ExitCode;

fn main() -> ExitCode {
    let start = Nanos::now();
    let command = match Cli::try_parse() {
        Ok(cli) => cli.command,
        Err(error) => return refuse(&error),
    };
    match command {
        Command::Run(args) => run::run(*args, run::Kind::Command, start),
        Command::Shell(args) => run::run(*args, run::Kind::Shell, start),
        Command::Doctor(args) => printing(|| Ok(doctor::doctor(args.json))),
        Command::Policy(command) => printing(|| policy::policy(command)),
        Command::Image(command) => printing(|| image::image(command).map(|()| ExitCode::SUCCESS)),
        Command::Kernel(command) => printing(|| kernel::kernel(command)),
        Command::Completions { shell } => printing(|| {
            clap_complete::generate(shell, &mut Cli::command(), "ampoule", &mut std::io::stdout());
            Ok(ExitCode::SUCCESS)
        }),
        Command::Version(args) => printing(|| version::version(args.json).map(|()| ExitCode::SUCCESS)),
    }
}

/// Runs a command that prints for a reader, and ends silently when the reader goes, as with `| head`. (What runs
/// commands in a guest tells them instead.)
fn printing(command: impl FnOnce() -> anyhow::Result<ExitCode>) -> ExitCode {
    // SAFETY: no handler is installed, only the default action, and there is only one thread.
    // It fails only for signals that do not exist.
    let _ = unsafe { signal(Signal::SIGPIPE, SigHandler::SigDfl) };
    command().unwrap_or_else(|error| {
        complain(&format!("{error:#}"));
        ExitCode::FAILURE
    })
}

/// Prints what is wrong with the command line, or the help that it asks for.
///
/// What runs commands keeps 125 for itself, also here, as docker, env and timeout do; 2 could be the command's.
fn refuse(error: &clap::Error) -> ExitCode {
    // There is nobody to tell if it fails.
    let _ = error.print();
    let runs = std::env::args_os().nth(1).is_some_and(|command| command == "run" || command == "shell");
    match error.exit_code() {
        0 => ExitCode::SUCCESS,
        _ if runs => ExitCode::from(OWN_FAILURE),
        _ => ExitCode::from(2),
    }
}

/// Says on standard error what went wrong, in one write. What is quoted in it (a guest, the names in an image or a package) does
/// not control the terminal.
fn complain(sentence: &str) {
    let _ =
        std::io::stderr().write_all(format!("ampoule: {}\n", ampoule_text::sentences(sentence)).as_bytes());
}
