//! ampoule-vmm.
fn main() {}
