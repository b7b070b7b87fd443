//! The life cycle of a sandbox: spawn the VMM, talk to the agent, run jobs, end it.
//!
//! - [`Sandbox`]: one VM and the connection to its agent, without threads and without blocking. `life` is the state
//!   machine that decides how it ends ([`End`]), `liveness` watches over the agent.
//! - [`attach`]: one job in one sandbox, attached to the caller's streams; [`Outcome`] is how that can end.
//! - [`session`]: the protocol from the host's side, pure.
//! - [`SandboxConfig`], [`Artifact`], [`VmmProgram`]: what a sandbox is made of.
//! - [`stdio`]: the caller's own streams.
//! - [`kvm`]: opening `/dev/kvm`, and what to do when that fails.
//!
//! The VMM is a process of its own (`ampoule-vmm`), never linked; `ampoule-vmm-api` has what the two say. Everything
//! that comes from the guest or the VMM is hostile.
#![deny(unsafe_code)]

mod artifact;
pub mod attach;
mod config;
mod control;
mod descriptors;
mod end;
mod error;
mod hostfile;
pub mod kvm;
mod layer;
mod life;
mod liveness;
mod outcome;
mod process;
mod program;
mod quota;
mod report;
mod sandbox;
pub mod session;
pub mod stdio;
mod text;
mod timeline;

pub use ampoule_jail::Isolation;
pub use ampoule_vmm_api::Guest;
pub use artifact::Artifact;
pub use config::{Console, SandboxConfig};
pub use descriptors::close_on_exec;
pub use end::End;
pub use error::Error;
pub use hostfile::{HostFile, HostFileError};
pub use layer::{Jail, Layer, Missing};
pub use outcome::{CPU_TIME, OUTPUT_LIMIT, OWN_FAILURE, Outcome, TIMED_OUT, TransferProblem};
pub use program::VmmProgram;
pub use quota::HostUsage;
pub use sandbox::{Handler, Manner, Sandbox};
pub use text::LogTail;
pub use timeline::{GuestPhase, Nanos, Timeline};
