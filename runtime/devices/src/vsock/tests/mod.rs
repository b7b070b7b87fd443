//! Tests of the whole device, driven through its queues and real sockets.

mod behaviour;
mod guest;
mod random;
