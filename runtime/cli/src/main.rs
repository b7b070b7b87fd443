//! ampoule.
fn main() {}
