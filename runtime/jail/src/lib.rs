//! The jail: starts a program that keeps nothing of its parent but the descriptors that it is given.
//!
//! - [`spawn`]: starts a [`Command`] behind as many [`Layer`]s as the host has, or, if [`Isolation::Strict`] is asked for,
//!   behind all or not at all. [`Child`] says which.
//! - [`probe`]: which layers this host has, found by entering them.
//! - [`Limits`]: the resource limits of the program.
//!
//! The new process shares the parent's memory until it executes the program, as `posix_spawn` does it, and enters the
//! layers itself, before the program's first instruction: `child` has that part, which makes plain system calls only.
//! Meanwhile the parent maps its user (`identity`), and lets the caller put it into a control group. The program
//! has to be linked statically: it starts in an empty root. `docs/jail.md` has a picture.

mod child;
mod clone;
mod command;
mod confine;
mod error;
mod identity;
mod layer;
mod probe;
mod ruleset;
mod spawn;
mod stack;

pub use command::{Command, FIRST_DESCRIPTOR, Group, Isolation, Limits, Program};
pub use error::{Error, Missing};
pub use layer::{Layer, Layers};
pub use probe::probe;
pub use spawn::{Child, spawn, spawn_with};
