//! Turns of tests that leave control groups behind for a while, and of those that count them.
//!
//! The control group of a killed command line goes with the next start of `ampoule` by anybody, and control groups are the
//! whole host's: a test that counts must not see them come from, or go with, its neighbour.

use crate::Program;
use crate::lock::lock;
use std::fs::File;
use std::thread::panicking;

/// Held by one test of this host at a time.
#[derive(Debug)]
pub struct Turn(#[expect(dead_code, reason = "holds the lock")] File);

impl Turn {
    /// Waits for it.
    pub fn take() -> Self {
        Self(lock(&std::env::temp_dir().join("ampoule-tests-turn")))
    }
}

impl Drop for Turn {
    /// Leaves nothing for who comes next.
    fn drop(&mut self) {
        if !panicking() {
            let _swept = Program::sandbox(["--", "true"]).run();
        }
    }
}
