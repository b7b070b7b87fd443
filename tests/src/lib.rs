//! ampoule-tests.
