//! The descriptors that a VMM must not inherit.

use std::io;

/// Marks every descriptor of this process but the three standard ones as close-on-exec.
///
/// Rust's own are so from the start; those that this process was started with need not be. A program calls this once,
/// before it starts its first sandbox, so that no VMM inherits what is none of its business.
pub fn close_on_exec() -> io::Result<()> {
    const FIRST: libc::c_uint = 3;
    let flags = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
    #[expect(unsafe_code, reason = "no safe wrapper of this system call is at hand")]
    // SAFETY: the call takes no pointers, closes nothing, and only sets a flag of descriptors.
    match unsafe { libc::close_range(FIRST, libc::c_uint::MAX, flags) } {
        0 => Ok(()),
        _ => Err(io::Error::last_os_error()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use rustix::io::{FdFlags, fcntl_getfd, fcntl_setfd};
    use std::fs::File;

    #[test]
    fn what_was_inherited_is_not_passed_on() {
        let file = File::open("/dev/null").unwrap();
        fcntl_setfd(&file, FdFlags::empty()).unwrap();
        close_on_exec().unwrap();
        assert_eq!(fcntl_getfd(&file).unwrap(), FdFlags::CLOEXEC);
    }
}
