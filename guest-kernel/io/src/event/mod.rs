//! Files that carry events: `eventfd(2)`, `timerfd_create(2)`, `signalfd(2)`, `epoll(7)`.

mod epoll;
mod eventfd;
mod item;
mod signalfd;
#[cfg(test)]
mod tests;
mod timerfd;

pub use epoll::{Epoll, EpollEvent};
pub use eventfd::EventFd;
pub use signalfd::{SignalFd, SignalInfo, Signals, install_signals};
pub use timerfd::{TimerFd, TimerSetting};
