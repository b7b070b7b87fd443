//! `ampoule kernel`.

use std::path::PathBuf;

/// `ampoule kernel`
#[derive(Debug, clap::Subcommand)]
pub enum KernelCommand {
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
