//! What a sandbox is made of.

use crate::artifact::Artifact;
use crate::program::VmmProgram;
use ampoule_policies::{Deadlines, Mib};
use ampoule_vmm_api::{FileSlice, VmConfig, VsockPort};
use std::collections::BTreeSet;
use std::os::fd::{AsRawFd, RawFd};

/// Everything that is needed to launch a sandbox.
#[derive(Debug)]
pub struct SandboxConfig<'a> {
    /// The VMM's program.
    pub vmm: &'a VmmProgram,
    /// The guest kernel, an ELF file.
    pub kernel: Artifact,
    /// The image of the root file system.
    pub root: Artifact,
    /// The image with the agent.
    pub agent: Artifact,
    /// Guest RAM.
    pub memory: Mib,
    /// Further words of the kernel's command line.
    pub cmdline: String,
    /// What is done with the guest kernel's log as it comes. Its end is kept for messages either way.
    pub console: Console,
    /// How long things may take.
    pub deadlines: Deadlines,
}

/// What is done with the guest kernel's log as it comes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Console {
    /// Nothing.
    Off,
    /// It is passed to [`Handler::console`](crate::Handler::console).
    Stream,
}

/// The VMM's ends of what connects it to us.
pub(crate) struct VmmEnds {
    pub(crate) control: RawFd,
    pub(crate) status: RawFd,
    pub(crate) lifeline: RawFd,
    pub(crate) console: Option<RawFd>,
    pub(crate) kvm: RawFd,
}

impl SandboxConfig<'_> {
    /// The VMM's configuration.
    pub(crate) fn vm_config(&self, ends: &VmmEnds) -> VmConfig {
        let mut config = VmConfig::new(self.memory.get(), slice(&self.kernel));
        config.images = vec![slice(&self.root), slice(&self.agent)];
        config.cmdline.clone_from(&self.cmdline);
        config.console_fd = ends.console;
        config.status_fd = Some(ends.status);
        config.lifeline_fd = Some(ends.lifeline);
        config.kvm_fd = Some(ends.kvm);
        config.vsock.ports = vec![VsockPort { port: ampoule_protocol::CONTROL_PORT, fd: ends.control }];
        config
    }
}

/// Every descriptor that a VMM with this configuration is to inherit, once.
pub(crate) fn descriptors(config: &VmConfig) -> Vec<RawFd> {
    let slices = config.images.iter().chain([&config.kernel]).map(|slice| slice.fd);
    let ends =
        [config.console_fd, config.status_fd, config.lifeline_fd, config.kvm_fd, config.vsock.listen_fd];
    let ports = config.vsock.ports.iter().map(|port| port.fd);
    let all: BTreeSet<RawFd> = slices.chain(ends.into_iter().flatten()).chain(ports).collect();
    all.into_iter().collect()
}

fn slice(artifact: &Artifact) -> FileSlice {
    FileSlice { fd: artifact.file().as_raw_fd(), offset: artifact.offset(), len: artifact.len() }
}

// A policy's memory is always one that a VMM takes, and we speak of the same port.
const _: () = assert!(Mib::MIN.get() >= ampoule_vmm_api::MIN_MEMORY_MIB);
const _: () = assert!(Mib::MAX.get() <= ampoule_vmm_api::MAX_MEMORY_MIB);
const _: () = assert!(ampoule_protocol::CONTROL_PORT == ampoule_vmm_api::CONTROL_PORT);
