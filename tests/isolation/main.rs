//! Hostile guests: kernels of our own making and jobs that attack the VMM, the engine and the limits.
//!
//! - [`kernels`]: kernels that attack devices, registers, memory, ports and the log (`attacks.c`).
//! - [`frames`]: agents that lie to the host.
//! - [`jobs`]: jobs that take all they can get, and files that come out of a guest.
//! - [`images`]: trees and archives that become images.
//! - [`impostor`]: commands that try to speak for the agent, or to fill the log.
//! - [`siege`]: what all of them are measured with: a sibling that has to go on answering, and the memory of the
//!   attacked processes.

mod frames;
mod images;
mod impostor;
mod jobs;
mod kernels;
mod siege;
