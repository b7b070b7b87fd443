//! System calls that `rustix` does not offer without a libc, or not in the form needed. With the child's half of a
//! process start in [`child`], this is the only place of the library with `unsafe`.
//!
//! What the agent asks of a kernel, apart from plain files, pipes and directories: `clone(CLONE_VM | CLONE_VFORK)` with
//! a stack of the caller's, `wait4` with rusage, `epoll_pwait` with a signal mask, `MSG_DONTWAIT` on stream sockets,
//! `/dev/ptmx` with its ioctls, the loopback device's flags, `prlimit64`, and `reboot` to power off.

pub mod child;
pub mod clock;
pub mod network;
pub mod process;
mod raw;
pub mod signal;
pub mod vsock;
