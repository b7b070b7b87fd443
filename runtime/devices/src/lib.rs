//! ampoule-devices.
