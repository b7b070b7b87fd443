//! Locks between tests, also those of other processes.

use rustix::fs::{FlockOperation, flock};
use std::fs::File;
use std::path::Path;

/// Waits for the lock of this file, which is made if it is not there, and holds it as long as the file is open.
pub fn lock(path: &Path) -> File {
    // Another user's file, in a directory for all, can only be read.
    let file = File::open(path).or_else(|_| File::create(path));
    let file = file.unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    flock(&file, FlockOperation::LockExclusive).expect("flock");
    file
}
