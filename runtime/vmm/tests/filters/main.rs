//! The threads' system-call filters: what they stop, in a VMM that has been taken over ([`stops`]), and that all that
//! they let pass is needed ([`used`]).

#[path = "../common/mod.rs"]
mod common;
mod stops;
mod used;

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::OnceLock;

/// The VMM with the feature `attack`, built once.
fn attacker() -> &'static Path {
    static VMM: OnceLock<PathBuf> = OnceLock::new();
    VMM.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("attack");
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--quiet", "--locked", "--package", "ampoule-vmm", "--bin", "ampoule-vmm"]);
        build.args(["--features", "attack", "--target-dir"]).arg(&target);
        let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo cannot be run");
        assert!(status.success(), "the VMM that attacks could not be built");
        target.join("debug/ampoule-vmm")
    })
}
