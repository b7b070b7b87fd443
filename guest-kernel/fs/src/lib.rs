//! ampoule-kfs.
