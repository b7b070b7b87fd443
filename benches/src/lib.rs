//! ampoule-benches.
