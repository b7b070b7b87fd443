//! Which kernel a sandbox boots, and what goes with it.

use crate::doctor;
use crate::embedded::Embedded;
use crate::files::open_for_reading;
use ampoule_engine::{Artifact, Guest};
use ampoule_kernels::{Name, Package, Store, Stored};
use ampoule_rootfs::KernelName;
use anyhow::{Context, Result, bail};
use rustix::fs::{MemfdFlags, memfd_create};
use std::ffi::OsStr;
use std::fs::File;
use std::io::Write;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

/// The name of the built-in kernel.
pub const OWN: &str = "ampoule";
/// What the image asks for, else the built-in one.
pub const AUTO: &str = "auto";

/// How long a Linux guest may take until its agent is up, at least: a distribution's kernel looks for a whole PC.
const LINUX_BOOT: Duration = Duration::from_secs(60);
/// What Linux is told: its log is the sandbox's, a panic ends the VM, and there is no PCI and no second serial port to
/// look for.
const LINUX_WORDS: &str = "console=ttyS0 panic=-1 reboot=t pci=off 8250.nr_uarts=1 tsc=reliable";
/// Unless its log is asked for: writing it takes longer than the boot.
const QUIET: &str = "quiet";

/// How long a guest has to come up: as its policy says, or longer, where it is Linux and the policy may be loosened.
pub fn boot_time(guest: Guest, policy: Duration, locked: bool) -> Duration {
    match guest {
        Guest::Linux if !locked => policy.max(LINUX_BOOT),
        _ => policy,
    }
}

/// A kernel, and what goes with it.
#[derive(Clone, Debug)]
pub struct Kernel {
    /// The ELF kernel.
    pub artifact: Artifact,
    /// Its kind.
    pub guest: Guest,
    /// The parts of its initramfs.
    pub initrd: Vec<Artifact>,
}

impl Kernel {
    /// The kernel that `--kernel` names, or else the image.
    pub fn choose(argument: &OsStr, asked_for: Option<KernelName>) -> Result<Self> {
        if argument == AUTO {
            return asked_for.map_or_else(Self::own, Self::named);
        }
        if argument == OWN {
            return Self::own();
        }
        let kernel = match stored(argument)? {
            Some(kernel) => kernel,
            None => Self::from_file(argument)?,
        };
        if kernel.guest == Guest::Linux {
            doctor::require_hardware_kvm("a Linux guest")?;
        }
        Ok(kernel)
    }

    /// The words of the kernel's command line for this kind of kernel.
    pub fn words(&self, log: bool) -> String {
        match (self.guest, log) {
            (Guest::Ampoule, _) => String::new(),
            (Guest::Linux, true) => LINUX_WORDS.to_owned(),
            (Guest::Linux, false) => format!("{LINUX_WORDS} {QUIET}"),
        }
    }

    /// The kernel that an image names: the built-in one, or one of the local store. Never a file: an image is hostile.
    fn named(name: KernelName) -> Result<Self> {
        if name.as_str() == OWN {
            return Self::own();
        }
        doctor::require_hardware_kvm(&format!("the Linux kernel {name}, which the image asks for,"))?;
        stored(OsStr::new(name.as_str()))?.with_context(|| {
            format!(
                "the image asks for the kernel {name}, which is not in the local store: put it there (`ampoule kernel \
                 import FILE --name {name}`), or name another (--kernel)"
            )
        })
    }

    fn own() -> Result<Self> {
        Ok(Self { artifact: Embedded::Kernel.artifact()?, guest: Guest::Ampoule, initrd: Vec::new() })
    }

    /// A kernel for ampoule's own protocol is taken as it is (the VMM says whether it is one); a Linux is extracted.
    fn from_file(argument: &OsStr) -> Result<Self> {
        let path = Path::new(argument);
        let name = || format!("kernel {}", path.display());
        if !argument.as_bytes().contains(&b'/') && !path.exists() {
            bail!(
                "there is no kernel {}: neither in the local store (see `ampoule kernel list`) nor as a file",
                path.display()
            );
        }
        let file = open_for_reading(path).with_context(name)?;
        let metadata = file.metadata().with_context(name)?;
        if !metadata.is_file() || metadata.len() == 0 {
            bail!("{} is not a file with a kernel in it", name());
        }
        if ampoule_kernels::is_own(&file).with_context(name)? {
            let artifact = Artifact::new(&name(), Arc::new(file.into()), 0, metadata.len());
            return Ok(Self { artifact, guest: Guest::Ampoule, initrd: Vec::new() });
        }
        let package = Package::open(path)?;
        let archive = match package.modules.is_empty() {
            true => None,
            false => Some(in_memory("modules", &package.modules.archive()?)?),
        };
        Self::linux(in_memory(&name(), &package.kernel)?, archive)
    }

    fn linux(artifact: Artifact, modules: Option<Artifact>) -> Result<Self> {
        let initrd = [Embedded::Stage1.artifact()?].into_iter().chain(modules).collect();
        Ok(Self { artifact, guest: Guest::Linux, initrd })
    }
}

/// A kernel of the local store. A word with a slash is a path.
fn stored(argument: &OsStr) -> Result<Option<Kernel>> {
    let name = argument.to_str().filter(|text| !text.contains('/')).and_then(|text| Name::parse(text).ok());
    let (Some(name), Ok(store)) = (name, Store::open_default()) else { return Ok(None) };
    let Stored { kernel, modules, .. } = match store.get(&name) {
        Err(ampoule_kernels::Error::NotStored(_)) => return Ok(None),
        stored => stored?,
    };
    let modules = modules.map(|path| whole_file(&path)).transpose()?;
    Kernel::linux(whole_file(&kernel)?, modules).map(Some)
}

fn whole_file(path: &Path) -> Result<Artifact> {
    let name = format!("kernel {}", path.display());
    let file = File::open(path).with_context(|| name.clone())?;
    let len = file.metadata().with_context(|| name.clone())?.len();
    Ok(Artifact::new(&name, Arc::new(file.into()), 0, len))
}

fn in_memory(name: &str, bytes: &[u8]) -> Result<Artifact> {
    let mut memory: File =
        memfd_create("ampoule-linux", MemfdFlags::CLOEXEC).context("cannot create a memfd")?.into();
    memory.write_all(bytes).with_context(|| format!("cannot keep {name} in memory"))?;
    Ok(Artifact::new(name, Arc::new(memory.into()), 0, bytes.len() as u64))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_locked_policy_gives_linux_no_more_time() {
        let (short, long) = (Duration::from_secs(10), Duration::from_secs(100));
        assert_eq!(boot_time(Guest::Linux, short, false), LINUX_BOOT);
        assert_eq!(boot_time(Guest::Linux, long, false), long);
        assert_eq!(boot_time(Guest::Linux, short, true), short);
        assert_eq!(boot_time(Guest::Ampoule, short, false), short);
    }
}
