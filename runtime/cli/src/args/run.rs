//! `ampoule run` and `ampoule shell`.

use super::environment::EnvArg;
use super::quotas::QuotaArgs;
use super::transfer::{InputArg, OutputArg};
use super::units;
use ampoule_engine::Isolation;
use ampoule_policies::Mib;
use ampoule_protocol::{CBytes, User};
use clap::builder::{OsStringValueParser, TypedValueParser, ValueParser};
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::time::Duration;

/// Shown below the help of `run` and `shell`. `docs/exit-codes.md` has the whole table.
pub const EXIT_CODES: &str = "\
Exit status:
  the command's own, or
  128+N  a signal N ended the command (or, after a second Ctrl-C or SIGTERM, the sandbox)
  127    the command was not found
  126    the command could not be executed
  125    ampoule itself failed: a wrong command line, no KVM, a bad image, a guest that broke down ...
  124    the time was up (--timeout)";

/// Options of `run` and `shell`.
#[derive(Debug, clap::Args)]
pub struct RunArgs {
    /// Root file system: a name in the local store, an image file or a directory [default: built in]
    #[arg(long, value_name = "NAME|FILE|DIR")]
    pub image: Option<OsString>,
    /// Guest kernel: `auto` or `ampoule` (built in), a name in the local store, or a file: vmlinux, vmlinuz or a Debian package of
    /// Linux
    #[arg(long, value_name = "auto|ampoule|NAME|FILE", default_value = "auto", hide_default_value = true)]
    pub kernel: OsString,
    /// Policy: a built-in one (see `ampoule policy list`) or a file; options given here go before it
    #[arg(long, value_name = "NAME|FILE")]
    pub policy: Option<PathBuf>,
    #[command(flatten)]
    pub quotas: QuotaArgs,
    /// RAM of the guest, such as 256M or 1G
    #[arg(short, long, value_name = "SIZE", value_parser = units::memory)]
    pub memory: Option<Mib>,
    /// End the command after this time, such as 10s or 1.5m: SIGTERM, then the end of the sandbox; 0 is never
    #[arg(long, value_name = "TIME", value_parser = units::duration)]
    pub timeout: Option<Timeout>,
    /// Set an environment variable; without a value it has the one that it has here
    #[arg(short, long, value_name = "NAME[=VALUE]", value_parser = os(EnvArg::parse))]
    pub env: Vec<EnvArg>,
    /// Read environment variables from a file, one a line
    #[arg(long, value_name = "FILE")]
    pub env_file: Vec<PathBuf>,
    /// Working directory of the command, created if it is not there [default: /]
    #[arg(short, long, value_name = "DIR", value_parser = os(workdir))]
    pub workdir: Option<CBytes>,
    /// Who runs the command, by name or number [default: root]
    #[arg(short, long, value_name = "USER[:GROUP]", value_parser = user)]
    pub user: Option<User>,
    /// Copy a file into the guest before the command starts
    #[arg(long, value_name = "HOSTFILE:GUESTPATH", value_parser = os(InputArg::parse))]
    pub input: Vec<InputArg>,
    /// Copy a file out of the guest after the command ended
    #[arg(long, value_name = "GUESTPATH:HOSTFILE", value_parser = os(OutputArg::parse))]
    pub output: Vec<OutputArg>,
    /// Refuse to run unless the VMM can be locked up behind every layer of isolation: those of the jail, a control group that
    /// enforces its limits, and system-call filters (see `ampoule doctor`)
    #[arg(long, conflicts_with = "isolation")]
    pub strict: bool,
    /// How much of the jail around the VMM there has to be
    #[arg(long, value_name = "LEVEL", default_value = "best-effort")]
    pub isolation: IsolationLevel,
    /// Run the command on a terminal
    #[arg(short, long)]
    pub tty: bool,
    /// Accepted for habit's sake: standard input is always passed on
    #[arg(short, long)]
    pub interactive: bool,
    /// Collect the output and print one JSON object with it, the status, timings and resource use
    #[arg(long, conflicts_with = "tty")]
    pub json: bool,
    /// Print to standard error how long each phase took
    #[arg(long)]
    pub timings: bool,
    /// Print the guest kernel's trace of system calls to standard error
    #[arg(long)]
    pub trace: bool,
    /// Print the guest kernel's log to standard error
    #[arg(long)]
    pub console: bool,
    /// The command and its arguments
    #[arg(trailing_var_arg = true, value_name = "COMMAND")]
    pub command: Vec<OsString>,
}

/// `--isolation`
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum IsolationLevel {
    /// Every layer that this host has
    BestEffort,
    /// Every layer, or no sandbox
    Strict,
    /// UNSAFE, for finding errors and measuring: no jail, only KVM, limits and system-call filters hold the guest
    None,
}

impl From<IsolationLevel> for Isolation {
    fn from(level: IsolationLevel) -> Self {
        match level {
            IsolationLevel::BestEffort => Self::BestEffort,
            IsolationLevel::Strict => Self::Strict,
            IsolationLevel::None => Self::None,
        }
    }
}

/// `--timeout`; `None` inside is for ever.
pub type Timeout = Option<Duration>;

/// A parser of arguments that need not be UTF-8.
fn os<T>(parse: fn(&OsStr) -> Result<T, String>) -> ValueParser
where
    T: Clone + Send + Sync + 'static,
{
    OsStringValueParser::new().try_map(move |text| parse(&text)).into()
}

fn workdir(text: &OsStr) -> Result<CBytes, String> {
    match text.as_bytes() {
        bytes @ [b'/', ..] => CBytes::new(bytes).map_err(|error| error.to_string()),
        _ => Err("the path is not absolute".to_owned()),
    }
}

fn user(text: &str) -> Result<User, String> {
    User::parse(text).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::super::{Cli, Command};
    use clap::Parser;

    fn run(args: &[&str]) -> super::RunArgs {
        match Cli::try_parse_from(["ampoule", "run"].iter().chain(args)).unwrap().command {
            Command::Run(args) => *args,
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn options_end_where_the_command_begins() {
        for args in [&["--tty", "ls", "--json", "-l"][..], &["--tty", "--", "ls", "--json", "-l"]] {
            assert_eq!(run(&["--", "-x"]).command, ["-x"]);
            let run = run(args);
            assert!(run.tty && !run.json);
            assert_eq!(run.command, ["ls", "--json", "-l"]);
        }
    }

    #[test]
    fn options_can_be_repeated_and_shortened() {
        let run = run(&[
            "-it",
            "-e",
            "A=1",
            "-e",
            "B",
            "-m",
            "64M",
            "-w",
            "/x",
            "-u",
            "1:2",
            "--timeout",
            "0",
            "x",
        ]);
        assert_eq!(run.env.len(), 2);
        assert_eq!(run.memory.unwrap().get(), 64);
        assert_eq!(run.timeout, Some(None));
        assert!(run.tty && run.interactive);
    }

    #[test]
    fn nonsense_is_refused() {
        for args in
            [["--memory", "1M"], ["--timeout", "-1"], ["--workdir", "x"], ["--user", ""], ["--env", "=1"]]
        {
            let line = ["ampoule", "run"].iter().chain(&args).chain(&["x"]);
            assert!(Cli::try_parse_from(line).is_err(), "{args:?} was taken");
        }
    }
}
