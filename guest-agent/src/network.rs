//! What programs need to reach each other at `localhost`. There is no other network.

use crate::boot::Kernel;
use crate::sys::network;
use rustix::fd::OwnedFd;
use rustix::fs::{CWD, Mode, OFlags, openat};
use rustix::io::{Errno, write};

/// The names of this machine, for images that know none.
const HOSTS: &[u8] = b"127.0.0.1 localhost\n::1 localhost ip6-localhost ip6-loopback\n";

/// Names the loopback addresses, and turns the loopback device on where the kernel has one that is off.
pub fn set_up(kernel: Kernel) {
    // An image that has names of its own, or no /etc, is left as it is.
    let _has_its_own = create_hosts().and_then(|file| write(file, HOSTS));
    if kernel == Kernel::Other {
        // Without it, who connects is told that the network is unreachable.
        let _no_device = network::loopback_up();
    }
}

fn create_hosts() -> Result<OwnedFd, Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::CLOEXEC;
    openat(CWD, c"/etc/hosts", flags, Mode::from_raw_mode(0o644))
}
