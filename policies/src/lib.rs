//! ampoule-policies.
