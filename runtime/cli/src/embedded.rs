//! What is built in: kernel, VMM, images. They are never read into this process: a sandbox is given this program's own
//! file and where in it each of them lies.

use ampoule_engine::Artifact;
use anyhow::{Context, Result};
use rustix::io::pread;
use std::fs::File;
use std::os::fd::OwnedFd;
use std::sync::{Arc, OnceLock};

/// Starts on a page, in memory and in the file, and fills whole pages: the VMM maps them.
#[repr(C, align(4096))]
struct Pages<T>(T);

macro_rules! embed {
    ($name:ident, $file:literal) => {
        static $name: Pages<[u8; include_bytes!(concat!(env!("OUT_DIR"), "/", $file)).len()]> =
            Pages(*include_bytes!(concat!(env!("OUT_DIR"), "/", $file)));
    };
}
embed!(KERNEL, "kernel");
embed!(VMM, "vmm");
embed!(AGENT_IMAGE, "agent.erofs");
embed!(ROOT_IMAGE, "root.erofs");
embed!(STAGE1, "stage1.cpio");

/// A thing that is built in.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Embedded {
    /// The guest kernel, an ELF file.
    Kernel,
    /// The VMM, an ELF program.
    Vmm,
    /// The image with the agent.
    AgentImage,
    /// The image of the default root file system.
    RootImage,
    /// The archive with the first program of a stock Linux guest.
    Stage1,
}

impl Embedded {
    /// Everything that is built in.
    pub const ALL: [Self; 5] = [Self::Kernel, Self::Vmm, Self::AgentImage, Self::RootImage, Self::Stage1];

    /// What to call it.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Kernel => "the built-in kernel",
            Self::Vmm => "the built-in VMM",
            Self::AgentImage => "the built-in agent image",
            Self::RootImage => "the built-in root image",
            Self::Stage1 => "the built-in initramfs",
        }
    }

    /// A short name for machines.
    pub const fn key(self) -> &'static str {
        match self {
            Self::Kernel => "kernel",
            Self::Vmm => "vmm",
            Self::AgentImage => "agent_image",
            Self::RootImage => "root_image",
            Self::Stage1 => "stage1",
        }
    }

    /// Its bytes. Reading them brings them into memory.
    pub fn bytes(self) -> &'static [u8] {
        match self {
            Self::Kernel => &KERNEL.0,
            Self::Vmm => &VMM.0,
            Self::AgentImage => &AGENT_IMAGE.0,
            Self::RootImage => &ROOT_IMAGE.0,
            Self::Stage1 => &STAGE1.0,
        }
    }

    /// Where it lies in this program's file.
    pub fn artifact(self) -> Result<Artifact> {
        let file = own_file()?;
        let bytes = self.bytes();
        let offset = file_offset(&file, bytes.as_ptr().addr())
            .with_context(|| format!("cannot find {} in this program's file", self.name()))?;
        Ok(Artifact::new(self.name(), file, offset, bytes.len() as u64))
    }
}

/// This program's file.
fn own_file() -> Result<Arc<OwnedFd>> {
    static FILE: OnceLock<Arc<OwnedFd>> = OnceLock::new();
    if let Some(file) = FILE.get() {
        return Ok(Arc::clone(file));
    }
    let file = File::open("/proc/self/exe").context(
        "cannot open /proc/self/exe, which holds the built-in kernel and images (is /proc mounted, and may this \
         program's file be read?)",
    )?;
    Ok(Arc::clone(FILE.get_or_init(|| Arc::new(file.into()))))
}

// SAFETY: the linker defines this symbol as the start of the program in memory. Only its address is ever taken.
unsafe extern "C" {
    static __ehdr_start: u8;
}

/// The offset in this program's file of what is in memory at `address`.
fn file_offset(file: &OwnedFd, address: usize) -> Result<u64> {
    let mut start = [0; 4096];
    let len = pread(file, &mut start, 0).context("cannot read it")?;
    let segments = Segments::parse(start.get(..len).unwrap_or_default()).context("it is no ELF program")?;
    let base = (&raw const __ehdr_start).addr() as u64;
    segments.offset_of(address as u64, base).context("it is in no segment")
}

/// The parts of an ELF program that are loaded into memory: offset in the file, address, length in the file.
struct Segments(Vec<(u64, u64, u64)>);

impl Segments {
    /// Reads the headers at the start of a program. `None` if they are not all there.
    fn parse(bytes: &[u8]) -> Option<Self> {
        const PT_LOAD: u32 = 1;
        let u16_at = |at: usize| Some(u16::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let u32_at = |at: usize| Some(u32::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        let u64_at = |at: usize| Some(u64::from_le_bytes(*bytes.get(at..)?.first_chunk()?));
        bytes.strip_prefix(b"\x7fELF\x02\x01")?;
        let table = usize::try_from(u64_at(32)?).ok()?;
        let (size, count) = (usize::from(u16_at(54)?), usize::from(u16_at(56)?));
        let mut segments = Vec::new();
        for at in (0..count).map(|index| table + index * size) {
            if u32_at(at)? == PT_LOAD {
                segments.push((u64_at(at + 8)?, u64_at(at + 16)?, u64_at(at + 32)?));
            }
        }
        Some(Self(segments))
    }

    /// The offset in the file of what is at `address`, in a program whose first byte is at `base`.
    fn offset_of(&self, address: u64, base: u64) -> Option<u64> {
        let (_, start, _) = self.0.iter().find(|(offset, ..)| *offset == 0)?;
        // How far the loader moved the program.
        let moved = base.checked_sub(*start)?;
        let linked = address.checked_sub(moved)?;
        self.0.iter().find_map(|&(offset, start, len)| {
            let within = linked.checked_sub(start)?;
            (within < len).then_some(offset + within)
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: u64 = 4096;

    #[test]
    fn what_is_built_in_starts_on_a_page_of_the_file_and_is_found_there() {
        for embedded in Embedded::ALL {
            let artifact = embedded.artifact().unwrap();
            assert_eq!(artifact.offset() % PAGE, 0, "{} is not page-aligned", embedded.name());
            let bytes = embedded.bytes();
            assert!(!bytes.is_empty(), "{} is empty", embedded.name());
            let mut there = vec![0; bytes.len()];
            let mut len = 0;
            while len < there.len() {
                len += pread(artifact.file(), &mut there[len..], artifact.offset() + len as u64).unwrap();
            }
            assert!(there == bytes, "{} is not where it was found", embedded.name());
        }
    }

    #[test]
    fn what_is_built_in_is_what_it_is_called() {
        for program in [Embedded::Kernel, Embedded::Vmm] {
            assert!(program.bytes().starts_with(b"\x7fELF\x02\x01"), "{} is no ELF file", program.name());
        }
        for image in [Embedded::AgentImage, Embedded::RootImage] {
            assert_eq!(
                image.bytes()[1024..1028],
                0xe0f5_e1e2_u32.to_le_bytes(),
                "{} is no EROFS",
                image.name()
            );
            assert!(image.bytes().len().is_multiple_of(4096), "{} has a part of a page", image.name());
        }
    }

    #[test]
    fn what_is_not_an_elf_file_has_no_segments() {
        assert!(Segments::parse(b"").is_none());
        assert!(Segments::parse(b"\x7fELF\x02\x01").is_none());
        assert!(Segments::parse(&[0; 4096]).is_none());
        assert!(Segments(vec![(0, 0, 10)]).offset_of(20, 0).is_none());
        assert_eq!(Segments(vec![(0, 0x1000, 10), (16, 0x2000, 10)]).offset_of(0x7f2003, 0x7f1000), Some(19));
    }
}
