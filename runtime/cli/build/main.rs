//! Builds what the `ampoule` binary carries inside it: the guest kernel, the VMM, two images, of the agent and of
//! the default root file system, and what a stock Linux guest begins with. The results are files in `OUT_DIR`, which `src/embedded.rs` includes.
//!
//! The programs are other packages of this workspace that need other compiler flags than the host's programs, so each
//! is built by a cargo of its own, in `<target directory>/embed`, always optimized.
//!
//! | environment | meaning |
//! |---|---|
//! | `AMPOULE_BUSYBOX` | the static busybox of the default root, in the place of `/bin/busybox` |
//! | `AMPOULE_PREBUILT_KERNEL`, `_VMM`, `_AGENT`, `_STAGE1` | a file to take in the place of building that program |

mod component;
mod images;

use component::Component;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Everything that what is built here depends on, from the workspace's root.
const SOURCES: [&str; 13] = [
    "Cargo.lock",
    "Cargo.toml",
    "guest-agent",
    "guest-kernel",
    "policies/seccomp",
    "protocol",
    "rootfs/src",
    "runtime/cli/build",
    "runtime/devices",
    "runtime/seccomp",
    "runtime/vmm",
    "runtime/vmm-api",
    "rust-toolchain.toml",
];

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let manifest = PathBuf::from(variable("CARGO_MANIFEST_DIR")?);
    let workspace = manifest.ancestors().nth(2).ok_or("the package is not in its workspace")?;
    for source in SOURCES {
        println!("cargo::rerun-if-changed={}", workspace.join(source).display());
    }
    let out = PathBuf::from(variable("OUT_DIR")?);
    let builder = component::Builder::new(workspace, &target_directory(&out)?)?;
    install(&builder.build(&Component::KERNEL)?, &out.join("kernel"))?;
    install(&builder.build(&Component::VMM)?, &out.join("vmm"))?;
    images::agent(&builder.build(&Component::AGENT)?, &out.join("agent.erofs"))?;
    images::stage1(&builder.build(&Component::STAGE1)?, &out.join("stage1.cpio"))?;
    images::root(&out.join("root.erofs"))?;
    Ok(())
}

fn install(from: &Path, to: &Path) -> Result<(), Box<dyn Error>> {
    std::fs::copy(from, to).map_err(|error| format!("cannot copy {}: {error}", from.display()))?;
    Ok(())
}

/// The directory with the profiles' directories, where `OUT_DIR` is `<profile>/build/<package>/out`.
fn target_directory(out: &Path) -> Result<PathBuf, Box<dyn Error>> {
    let profile = out.ancestors().nth(3).and_then(Path::parent);
    Ok(profile.ok_or("OUT_DIR is not in a target directory")?.to_owned())
}

fn variable(name: &str) -> Result<String, Box<dyn Error>> {
    std::env::var(name).map_err(|error| format!("{name}: {error}").into())
}
