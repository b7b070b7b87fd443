//! System calls that `rustix` does not offer without a libc, or not in the form needed. With the child's half of a
//! process start in [`child`], this is the only place of the library with `unsafe`.

pub mod child;
pub mod clock;
pub mod process;
mod raw;
pub mod signal;
pub mod vsock;
