//! The binary under test.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The `ampoule` binary: what `AMPOULE_BIN` names, else that of the workspace's release build, which is made if it is
/// not there.
pub fn ampoule() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("AMPOULE_BIN") {
        Some(path) => {
            let path = PathBuf::from(path);
            assert!(path.is_file(), "AMPOULE_BIN: there is no {}", path.display());
            path
        }
        None => built(),
    })
}

fn built() -> PathBuf {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let target = std::env::var_os("CARGO_TARGET_DIR").map_or_else(|| workspace.join("target"), PathBuf::from);
    let binary = target.join("release/ampoule");
    if !binary.is_file() {
        let cargo = std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into());
        let mut build = Command::new(cargo);
        build.args(["build", "--release", "--package", "ampoule"]).current_dir(&workspace);
        let status = build.status().expect("cargo cannot be run");
        assert!(status.success(), "the release build failed");
    }
    binary
}
