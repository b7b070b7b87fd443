//! ampoule-engine.
