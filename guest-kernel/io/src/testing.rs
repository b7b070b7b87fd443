//! The platform of this crate's tests: like `ampoule_kbase::testing`, but with a clock, a caller and signals for each
//! thread, since tests run in parallel.
