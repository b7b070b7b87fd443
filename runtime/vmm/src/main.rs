//! The program: see the library.
#![no_main]

use std::ffi::{c_char, c_int};

/// The `main` that the C library calls. Rust's own start-up takes a tenth of a millisecond for what is not needed here,
/// among it reading /proc.
// SAFETY: there is no other `main`.
#[unsafe(export_name = "main")]
pub extern "C" fn entry(_argc: c_int, _argv: *const *const c_char) -> c_int {
    ampoule_vmm::run()
}
