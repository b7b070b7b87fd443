//! The command line, as typed: what each flag means is decided here, nothing is opened or started.

mod environment;
mod kernel;
mod quotas;
mod run;
mod transfer;
mod units;

pub use environment::{EnvArg, parse_env_file};
pub use kernel::{KernelBuildArgs, KernelCommand};
pub use run::{IsolationLevel, RunArgs};
pub use transfer::{InputArg, OutputArg};

use ampoule_rootfs::KernelName;
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Runs commands in microVMs that start in milliseconds and leave nothing behind.
#[derive(Debug, Parser)]
#[command(name = "ampoule", version, max_term_width = 100, disable_help_subcommand = true)]
pub struct Cli {
    /// What to do.
    #[command(subcommand)]
    pub command: Command,
}

/// The commands.
#[derive(Debug, Subcommand)]
pub enum Command {
    /// Run a command in a new microVM, and end with its exit status
    #[command(after_help = run::EXIT_CODES, override_usage = "ampoule run [OPTIONS] [--] COMMAND [ARGUMENT]...")]
    Run(Box<RunArgs>),
    /// Open a shell on a terminal in a new microVM
    #[command(after_help = run::EXIT_CODES, override_usage = "ampoule shell [OPTIONS] [[--] SHELL [ARGUMENT]...]")]
    Shell(Box<RunArgs>),
    /// Say whether this machine can run microVMs, and what to mend
    Doctor(DoctorArgs),
    /// Check and show policies: what a sandbox may use
    #[command(subcommand)]
    Policy(PolicyCommand),
    /// Build and manage root images
    #[command(subcommand)]
    Image(ImageCommand),
    /// Build, import and manage Linux kernels
    #[command(subcommand)]
    Kernel(KernelCommand),
    /// Print a completion script for a shell
    Completions {
        /// The shell
        shell: clap_complete::Shell,
    },
    /// Print the version and what is built in
    Version(VersionArgs),
}

/// `ampoule doctor`
#[derive(Debug, clap::Args)]
pub struct DoctorArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `ampoule version`
#[derive(Debug, clap::Args)]
pub struct VersionArgs {
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}

/// `ampoule policy`
#[derive(Debug, Subcommand)]
pub enum PolicyCommand {
    /// Say whether a policy file is valid, and if not, where it is wrong
    Check {
        /// The file
        #[arg(value_name = "FILE")]
        file: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Show a policy with everything that it leaves out
    Show {
        /// A built-in policy or a file
        #[arg(value_name = "NAME|FILE", default_value = "default")]
        policy: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// List the built-in policies
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// `ampoule image`
#[derive(Debug, Subcommand)]
pub enum ImageCommand {
    /// Build an image from a directory or a tar archive
    Build(ImageBuildArgs),
    /// List the images in the local store
    #[command(visible_alias = "ls")]
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Remove images from the local store
    #[command(visible_alias = "rm")]
    Remove {
        /// Names of images
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
    /// Say what is in an image
    Inspect {
        /// Name of an image in the store, or a file
        #[arg(value_name = "NAME|FILE")]
        image: PathBuf,
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
}

/// `ampoule image build`
#[derive(Debug, clap::Args)]
pub struct ImageBuildArgs {
    /// The directory or tar archive
    #[arg(value_name = "DIR|TAR")]
    pub source: PathBuf,
    #[command(flatten)]
    pub target: ImageTarget,
    /// The kernel that the image is to be run with: `ampoule`, or a name in the local store (see `ampoule kernel`)
    #[arg(long, value_name = "NAME")]
    pub kernel: Option<KernelName>,
}

/// Where a new image goes.
#[derive(Debug, clap::Args)]
#[group(required = true, multiple = false)]
pub struct ImageTarget {
    /// Write the image to this file
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
    /// Put the image into the local store under this name
    #[arg(long)]
    pub name: Option<String>,
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_command_line_is_consistent() {
        Cli::command().debug_assert();
    }
}
