//! ampoule-kernel.
fn main() {}
