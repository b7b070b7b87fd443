//! `ampoule kernel`.

use std::num::NonZeroUsize;
use std::path::PathBuf;

/// `ampoule kernel`
#[derive(Debug, clap::Subcommand)]
pub enum KernelCommand {
    /// Build a minimal Linux kernel from its source, and put it into the local store
    Build(KernelBuildArgs),
    /// Put a Linux kernel into the local store, with the modules that a guest needs
    Import {
        /// A Debian package (linux-image-*.deb), a vmlinuz with its modules in ../lib/modules, or a vmlinux
        #[arg(value_name = "DEB|FILE")]
        file: PathBuf,
        /// Its name in the store [default: from its release or file name]
        #[arg(long)]
        name: Option<String>,
    },
    /// List the kernels in the local store
    #[command(visible_alias = "ls")]
    List {
        /// Print one JSON object
        #[arg(long)]
        json: bool,
    },
    /// Remove kernels from the local store
    #[command(visible_alias = "rm")]
    Remove {
        /// Names of kernels
        #[arg(required = true, value_name = "NAME")]
        names: Vec<String>,
    },
}

/// `ampoule kernel build`
#[derive(Debug, clap::Args)]
pub struct KernelBuildArgs {
    /// Its name in the store
    #[arg(long, default_value = "minimal")]
    pub name: String,
    /// The source of Linux [default: the newest /usr/src/linux-source-*.tar.* of a Debian package]
    #[arg(long, value_name = "DIR|TAR")]
    pub source: Option<PathBuf>,
    /// Options of Linux (CONFIG_...) that go over those of the minimal kernel
    #[arg(long, value_name = "FILE")]
    pub config: Option<PathBuf>,
    /// How many compilers run at a time [default: as many as there are processors]
    #[arg(long, value_name = "N")]
    pub jobs: Option<NonZeroUsize>,
    /// Build in this directory, and keep it
    #[arg(long, value_name = "DIR")]
    pub keep: Option<PathBuf>,
    /// Print one JSON object
    #[arg(long)]
    pub json: bool,
}
