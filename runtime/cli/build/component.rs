//! One program that is built from another package of the workspace.

use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

/// The one target that everything inside a guest, and the VMM, is built for.
const TARGET: &str = "x86_64-unknown-linux-gnu";

/// A program of the workspace.
pub struct Component {
    /// Name of its package.
    package: &'static str,
    /// Name of its binary.
    binary: &'static str,
    /// Features of the package to turn on, as cargo takes them.
    features: &'static str,
    /// Flags of the compiler, instead of the user's: what runs in a guest does not depend on the host's choices.
    flags: &'static [&'static str],
    /// Environment variable that names a file to take instead.
    prebuilt: &'static str,
}

impl Component {
    /// The guest kernel. Its own build script says how it is linked.
    pub const KERNEL: Self = Self {
        package: "ampoule-kernel",
        binary: "ampoule-kernel",
        features: "",
        flags: &[],
        prebuilt: "AMPOULE_PREBUILT_KERNEL",
    };
    /// The agent: fixed addresses, so that it starts without relocating itself.
    pub const AGENT: Self = Self {
        package: "ampoule-agent",
        binary: "ampoule-agent",
        features: "freestanding",
        flags: &["-Ctarget-feature=+crt-static", "-Crelocation-model=static"],
        prebuilt: "AMPOULE_PREBUILT_AGENT",
    };
    /// The first program of a stock Linux guest.
    pub const STAGE1: Self =
        Self { binary: "ampoule-stage1", prebuilt: "AMPOULE_PREBUILT_STAGE1", ..Self::AGENT };
    /// The VMM: without a dynamic loader, but at random addresses.
    pub const VMM: Self = Self {
        package: "ampoule-vmm",
        binary: "ampoule-vmm",
        features: "",
        flags: &["-Ctarget-feature=+crt-static"],
        prebuilt: "AMPOULE_PREBUILT_VMM",
    };
}

/// Builds programs.
pub struct Builder {
    cargo: PathBuf,
    workspace: PathBuf,
    target_directory: PathBuf,
}

impl Builder {
    /// Builds in `embed` below the outer cargo's target directory: that one itself is locked.
    pub fn new(workspace: &Path, target_directory: &Path) -> Result<Self, Box<dyn Error>> {
        let cargo = std::env::var_os("CARGO").ok_or("CARGO is not set: this is a build script")?;
        Ok(Self {
            cargo: cargo.into(),
            workspace: workspace.to_owned(),
            target_directory: target_directory.join("embed"),
        })
    }

    /// Builds a program, or takes the one that the environment names. Gives its file.
    pub fn build(&self, component: &Component) -> Result<PathBuf, Box<dyn Error>> {
        println!("cargo::rerun-if-env-changed={}", component.prebuilt);
        if let Some(file) = std::env::var_os(component.prebuilt) {
            println!("cargo::rerun-if-changed={}", Path::new(&file).display());
            return Ok(file.into());
        }
        let status = self.command(component).status().map_err(|error| {
            format!("cannot run {} to build {}: {error}", self.cargo.display(), component.package)
        })?;
        match status.success() {
            true => Ok(self.target_directory.join(TARGET).join("release").join(component.binary)),
            false => Err(format!("{} could not be built ({status}); see above", component.binary).into()),
        }
    }

    fn command(&self, component: &Component) -> Command {
        let mut command = Command::new(&self.cargo);
        command.args(["build", "--release", "--locked", "--target", TARGET, "--package", component.package]);
        command.args(["--bin", component.binary, "--features", component.features]);
        command.arg("--target-dir").arg(&self.target_directory);
        command.current_dir(&self.workspace);
        // Separated by 0x1f; also empty flags go before those that the user has in RUSTFLAGS or a configuration.
        command.env("CARGO_ENCODED_RUSTFLAGS", component.flags.join("\x1f"));
        // Symbols are of no use inside another program, and the VMM's would be copied at each start.
        command.env("CARGO_PROFILE_RELEASE_STRIP", "symbols");
        // Set by `cargo clippy` and the like for the outer packages alone.
        command.env_remove("RUSTC_WORKSPACE_WRAPPER").env_remove("CLIPPY_ARGS");
        command
    }
}
