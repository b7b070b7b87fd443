//! What the tests of the whole system share: the `ampoule` binary, running programs with a time limit, images.
//!
//! - [`binary`]: finds, or builds, the binary under test.
//! - [`Program`]: a command with input, environment, deadline; [`Running`] is one that runs, [`Ended`] what came of it.
//! - [`image`]: images that tests share, built once.
//! - [`diff`]: how two transcripts differ.
//! - [`Turn`]: what tests that leave or count control groups take.

pub mod binary;
pub mod diff;
pub mod image;
mod lock;
mod program;
mod turn;

pub use program::{Ended, Program, Running, slowdown};
pub use turn::Turn;

/// The static busybox that tests put into images, and compare with.
pub const BUSYBOX: &str = "/bin/busybox";

/// Ends the test with the package to install if a tool is missing.
pub fn need(tool: &str, package: &str) {
    let found = std::env::var_os("PATH")
        .is_some_and(|path| std::env::split_paths(&path).any(|directory| directory.join(tool).exists()));
    assert!(
        found || std::path::Path::new(tool).exists(),
        "{tool} is missing: install the Debian package {package}"
    );
}
