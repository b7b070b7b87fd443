//! Which layers a host has.

use crate::command::{Command, Limits, Program};
use crate::error::{Error, Missing};
use crate::layer::Layers;
use crate::spawn::{Then, reap, start_behind};
use rustix::pipe::{PipeFlags, pipe_with};
use std::os::fd::AsFd;

/// The layers that this host gives to who asks, and those that it does not: found by a process that enters them and ends.
pub fn probe() -> Result<(Layers, Vec<Missing>), Error> {
    let (any, _writer) = pipe_with(PipeFlags::CLOEXEC).map_err(Error::prepare("create a pipe"))?;
    let command = Command {
        // Never executed.
        program: Program::Memory(any.as_fd()),
        arguments: Vec::new(),
        stderr: any.as_fd(),
        descriptors: Vec::new(),
        groups: Vec::new(),
        own_status: false,
        limits: Limits {
            address_space: 1 << 30,
            private_memory: 1 << 30,
            file_size: 0,
            open_files: 8,
            threads: 1,
        },
    };
    let child = start_behind(&command, Then::End, Layers::ALL, false, &mut |_| Ok(()))?;
    reap(&child.pidfd);
    Ok((child.layers, child.missing))
}
