//! ampoule-kbase.
