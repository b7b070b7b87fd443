//! ampoule-agent.
fn main() {}
