//! ampoule-protocol.
