//! ampoule-kio.
