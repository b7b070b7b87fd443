//! Work for whichever thread comes to it first.

use crate::error::Error;
use std::sync::{Arc, OnceLock};

/// Something to be done once. A thread waits only for work that is under way, never for another to be scheduled.
pub struct Errand<T> {
    work: Box<dyn Fn() -> Result<T, Error> + Send + Sync>,
    result: OnceLock<Result<T, Arc<Error>>>,
}

impl<T> Errand<T> {
    /// Nothing is done yet.
    pub fn new(work: impl Fn() -> Result<T, Error> + Send + Sync + 'static) -> Self {
        Self { work: Box::new(work), result: OnceLock::new() }
    }

    /// Does it, unless that was done.
    pub fn run(&self) -> Result<&T, Error> {
        let result = self.result.get_or_init(|| (self.work)().map_err(Arc::new));
        result.as_ref().map_err(|error| Error::Errand(Arc::clone(error)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::sync::atomic::{AtomicU32, Ordering};

    #[test]
    fn it_is_done_once_by_whoever_comes_first() {
        let times = Arc::new(AtomicU32::new(0));
        let counted = Arc::clone(&times);
        let errand = Errand::new(move || Ok(counted.fetch_add(1, Ordering::Relaxed)));
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| assert_eq!(*errand.run().unwrap(), 0));
            }
        });
        assert_eq!(times.load(Ordering::Relaxed), 1);
    }

    #[test]
    fn everybody_hears_of_a_failure() {
        let errand = Errand::<()>::new(|| Err(Error::KvmVersion));
        for _ in 0..2 {
            let error = errand.run().unwrap_err();
            assert_eq!(error.reason(), Error::KvmVersion.reason());
            assert_eq!(error.to_string(), Error::KvmVersion.to_string());
        }
    }
}
