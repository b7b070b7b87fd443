//! What a sandbox is made of.

use crate::artifact::Artifact;
use crate::program::VmmProgram;
use crate::quota;
use ampoule_jail::{FIRST_DESCRIPTOR, Isolation};
use ampoule_policies::{Deadlines, Limits, Mib};
use ampoule_vmm_api::{FileSlice, Guest, VmConfig, VsockPort};
use std::num::NonZeroU64;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, RawFd};

/// Everything that is needed to launch a sandbox.
#[derive(Debug)]
pub struct SandboxConfig<'a> {
    /// The VMM's program.
    pub vmm: &'a VmmProgram,
    /// The guest kernel, an ELF file.
    pub kernel: Artifact,
    /// What kind of kernel it is.
    pub guest: Guest,
    /// The parts of a Linux kernel's initramfs; none for our own kernel.
    pub initrd: Vec<Artifact>,
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
    /// How much of the jail there has to be.
    pub isolation: Isolation,
    /// What the sandbox may use.
    pub limits: Limits,
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
pub(crate) struct VmmEnds<'a> {
    pub(crate) control: BorrowedFd<'a>,
    pub(crate) status: BorrowedFd<'a>,
    pub(crate) lifeline: BorrowedFd<'a>,
    pub(crate) console: Option<BorrowedFd<'a>>,
    pub(crate) kvm: BorrowedFd<'a>,
}

/// What a VMM is started with.
pub(crate) struct VmmSpec<'a> {
    /// Its configuration, with the numbers that its descriptors have there.
    pub(crate) config: VmConfig,
    /// Its descriptors here.
    pub(crate) descriptors: Vec<BorrowedFd<'a>>,
    pub(crate) limits: ampoule_jail::Limits,
}

impl SandboxConfig<'_> {
    /// What a VMM of this configuration is started with.
    pub(crate) fn vmm_spec<'a>(&'a self, ends: &VmmEnds<'a>) -> VmmSpec<'a> {
        let mut given = Given(Vec::new());
        let mut config = VmConfig::new(self.memory.get(), given.slice(&self.kernel));
        config.images = vec![given.slice(&self.root), given.slice(&self.agent)];
        config.guest = self.guest;
        config.initrd = self.initrd.iter().map(|part| given.slice(part)).collect();
        config.cmdline = quota::kernel_words(&self.cmdline, &self.limits);
        config.console_fd = ends.console.map(|console| given.give(console));
        config.status_fd = Some(given.give(ends.status));
        config.lifeline_fd = Some(given.give(ends.lifeline));
        config.kvm_fd = Some(given.give(ends.kvm));
        let control = VsockPort { port: ampoule_protocol::CONTROL_PORT, fd: given.give(ends.control) };
        config.vsock.ports = vec![control];
        config.vsock.bytes_per_second = self.limits.vsock_rate.and_then(NonZeroU64::new);
        config.own_status_fd = Some(given.next());
        let images = [&self.kernel, &self.root, &self.agent].map(Artifact::len);
        VmmSpec { config, descriptors: given.0, limits: limits(self.memory, &images) }
    }
}

/// Descriptors that a VMM is given, in the order of their numbers there.
struct Given<'a>(Vec<BorrowedFd<'a>>);

impl<'a> Given<'a> {
    /// Gives one, once. Returns its number in the VMM.
    fn give(&mut self, fd: BorrowedFd<'a>) -> RawFd {
        let known = self.0.iter().position(|given| given.as_raw_fd() == fd.as_raw_fd());
        let number = known.map_or(self.next(), number);
        if known.is_none() {
            self.0.push(fd);
        }
        number
    }

    fn slice(&mut self, artifact: &'a Artifact) -> FileSlice {
        FileSlice { fd: self.give(artifact.file().as_fd()), offset: artifact.offset(), len: artifact.len() }
    }

    /// The number of the one after the last.
    fn next(&self) -> RawFd {
        number(self.0.len())
    }
}

fn number(index: usize) -> RawFd {
    RawFd::try_from(index).map_or(RawFd::MAX, |index| FIRST_DESCRIPTOR.saturating_add(index))
}

/// Descriptors that a VMM opens itself: KVM's, events, guest memory, the one that it polls with.
const OPEN_FILES: u64 = 32;
/// Threads of a VMM: vCPU and devices, and room for more of either.
const THREADS: u64 = 8;
/// Address space of a VMM beside the guest's memory: its program, stacks, and the allocator's arenas, which reserve much.
const OWN_ADDRESS_SPACE: u64 = 512 << 20;
/// Private memory of a VMM, for where no control group counts it: some MiB are used.
const PRIVATE_MEMORY: u64 = 64 << 20;
/// Images are mapped at multiples of this.
const IMAGE_ALIGN: u64 = 2 << 20;

/// What a VMM with this much guest RAM and these files may use.
fn limits(memory: Mib, files: &[u64]) -> ampoule_jail::Limits {
    let memory = u64::from(memory.get()) << 20;
    let files = files.iter().fold(0_u64, |sum, &len| sum.saturating_add(len.saturating_add(2 * IMAGE_ALIGN)));
    ampoule_jail::Limits {
        address_space: memory.saturating_add(files).saturating_add(OWN_ADDRESS_SPACE),
        private_memory: PRIVATE_MEMORY,
        // Guest RAM is a file in memory.
        file_size: memory,
        open_files: OPEN_FILES,
        threads: THREADS,
    }
}

// A policy's memory is always one that a VMM takes, and we speak of the same port.
const _: () = assert!(Mib::MIN.get() >= ampoule_vmm_api::MIN_MEMORY_MIB);
const _: () = assert!(Mib::MAX.get() <= ampoule_vmm_api::MAX_MEMORY_MIB);
const _: () = assert!(ampoule_protocol::CONTROL_PORT == ampoule_vmm_api::CONTROL_PORT);
