//! Event files against the host's own.

mod epoll;
mod signals;
mod timers;

use super::*;
use crate::testing::{self, host, read, write};
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Events, File, Result};
use proptest::prelude::*;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};

fn owned(result: i32) -> Result<OwnedFd> {
    // SAFETY: a descriptor that a call has just returned is nobody else's.
    host::check(result as isize).map(|fd| unsafe { OwnedFd::from_raw_fd(fd as i32) })
}

pub fn host_eventfd(initial: u32, flags: i32) -> OwnedFd {
    // SAFETY: no pointers.
    owned(unsafe { libc::eventfd(initial, flags | libc::EFD_NONBLOCK | libc::EFD_CLOEXEC) }).unwrap()
}

proptest! {
    #[test]
    fn an_eventfd_is_like_the_hosts(
        semaphore in any::<bool>(),
        initial in prop_oneof![Just(0), any::<u32>()],
        ops in proptest::collection::vec((any::<bool>(), 0..10usize, any::<u64>()), 0..30),
    ) {
        testing::setup();
        let ours = EventFd::new(initial, semaphore);
        let theirs = host_eventfd(initial, if semaphore { libc::EFD_SEMAPHORE } else { 0 });
        for (writes, size, value) in ops {
            if writes {
                let value = if size % 3 == 0 { u64::MAX - value % 3 } else { value >> (value % 64) };
                let bytes = value.to_ne_bytes();
                let bytes = &bytes[..size.min(8)];
                prop_assert_eq!(write(&*ours, bytes), host::write(&theirs, bytes));
            } else {
                prop_assert_eq!(read(&*ours, size + 4), host::read(&theirs, size + 4));
            }
            prop_assert_eq!(ours.poll(), host::poll(&theirs));
        }
    }
}
