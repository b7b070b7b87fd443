//! ampoule-vmm-api.
