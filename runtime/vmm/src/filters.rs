//! Installs the threads' system-call filters. See docs/seccomp.md.

#[cfg(feature = "attack")]
use crate::attack;
use crate::error::Error;
use ampoule_seccomp::Thread;

/// From now on, the calling thread makes only the system calls of this kind of thread.
pub fn install(thread: Thread) -> Result<(), Error> {
    #[cfg(feature = "attack")]
    if attack::is_unfiltered() {
        return attack::run(thread);
    }
    thread.install()?;
    #[cfg(feature = "attack")]
    attack::run(thread)?;
    Ok(())
}
