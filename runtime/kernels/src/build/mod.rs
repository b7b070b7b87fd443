//! Builds a minimal Linux kernel: unpacks the source, configures it with nothing but what is asked for, compiles it.
//!
//! - [`Recipe`]: what to build. [`build`] does it, in a directory of its own that goes afterwards.
//! - [`Watch`]: whom it tells how far it is, and what stops it.
//!
//! The source is unpacked with care, but then its makefiles run: a source is as trusted as a program that its user starts.
//! The same source, configuration and compiler give the same kernel, to the byte: the environment does not get into it.

mod config;
mod make;
mod source;
mod tools;
mod workplace;

pub use config::Fragment;

use crate::decompress::read_up_to;
use crate::{Error, MAX_KERNEL, Package, initramfs::Modules};
use make::Make;
use rustix::event::{PollFd, PollFlags, Timespec, poll};
use sha2::{Digest, Sha256};
use std::fs::{self, File};
use std::num::NonZeroUsize;
use std::os::fd::BorrowedFd;
use std::path::{Path, PathBuf};
use workplace::Workplace;

/// The configuration of the minimal kernel, over `make tinyconfig`.
const MINIMAL: &str = include_str!("../../../../rootfs/kernel/ampoule.config");
const MINIMAL_NAME: &str = "ampoule.config";
/// Where Debian's packages put the source.
const SOURCES: &str = "/usr/src";
/// Longest file of a configuration, in bytes.
const MAX_CONFIG: u64 = 4 << 20;
/// Longest name of a release, in bytes.
const MAX_RELEASE: u64 = 256;

/// What to build, and how.
#[derive(Debug)]
pub struct Recipe {
    /// A tree of Linux, or a tar archive of one; without, the newest that a Debian package has installed.
    pub source: Option<PathBuf>,
    /// A file with options that go over those of the minimal kernel.
    pub fragment: Option<PathBuf>,
    /// How many compilers run at a time.
    pub jobs: NonZeroUsize,
    /// Where the build is to be, and to stay.
    pub keep: Option<PathBuf>,
}

/// A kernel that was built.
#[derive(Debug)]
pub struct Built {
    /// The kernel, which needs no modules.
    pub package: Package,
    /// What it was built from.
    pub source: PathBuf,
    /// SHA-256 of the kernel's file.
    pub digest: [u8; 32],
}

/// Who follows a build.
pub struct Watch<'a> {
    /// Readable when the build is to stop.
    pub stop: BorrowedFd<'a>,
    /// Is told each step, and how many of its files are done.
    pub progress: &'a mut dyn FnMut(Step, usize),
}

/// A step of a build.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Step {
    /// The source is unpacked.
    Unpack,
    /// It is decided what is built.
    Configure,
    /// It is built.
    Compile,
}

impl Watch<'_> {
    /// Ends the work if nobody wants it any more.
    fn go_on(&self) -> Result<(), Error> {
        let mut fds = [PollFd::new(&self.stop, PollFlags::IN)];
        match poll(&mut fds, Some(&Timespec::default())) {
            Ok(count) if count > 0 => Err(Error::Interrupted),
            _ => Ok(()),
        }
    }

    fn tell(&mut self, step: Step, count: usize) {
        (self.progress)(step, count);
    }
}

/// Builds a kernel. Whatever comes of it, what it made is gone afterwards, except what [`Recipe::keep`] names, and the log
/// of a step that failed.
pub fn build(recipe: &Recipe, watch: &mut Watch<'_>) -> Result<Built, Error> {
    let mut wanted = Fragment::parse(MINIMAL_NAME, MINIMAL)?;
    if let Some(path) = &recipe.fragment {
        wanted = wanted.with(Fragment::parse(&path.display().to_string(), &read_text(path, MAX_CONFIG)?)?);
    }
    let source = match &recipe.source {
        Some(source) => source.clone(),
        None => source::newest(Path::new(SOURCES))?,
    };
    tools::check()?;
    let workplace = Workplace::new(recipe.keep.as_deref())?;
    let tree = source::prepare(&source, &workplace.path("source"), watch)?;
    let output = workplace.path("build");
    fs::create_dir(&output).map_err(Error::file("create", &output))?;
    let mut make = Make::new(&tree, &output, recipe.jobs, workplace);
    configure(&mut make, &output, &wanted, watch)?;
    make.run("vmlinux", Step::Compile, watch)?;
    finish(&output, source)
}

/// Makes the configuration, and insists that nothing that is wanted was left out.
fn configure(make: &mut Make, output: &Path, wanted: &Fragment, watch: &mut Watch<'_>) -> Result<(), Error> {
    make.run("tinyconfig", Step::Configure, watch)?;
    let path = output.join(".config");
    let what = path.display().to_string();
    let tiny = Fragment::parse(&what, &read_text(&path, MAX_CONFIG)?)?;
    fs::write(&path, tiny.with(wanted.clone()).to_string()).map_err(Error::file("write", &path))?;
    make.run("olddefconfig", Step::Configure, watch)?;
    let result = Fragment::parse(&what, &read_text(&path, MAX_CONFIG)?)?;
    match wanted.missing_in(&result) {
        missing if missing.is_empty() => Ok(()),
        missing => Err(Error::Dropped(missing)),
    }
}

fn finish(output: &Path, source: PathBuf) -> Result<Built, Error> {
    let release = read_text(&output.join("include/config/kernel.release"), MAX_RELEASE)?;
    let path = output.join("vmlinux");
    let what = path.display().to_string();
    let file = File::open(&path).map_err(Error::file("open", &path))?;
    let kernel = crate::extract(&what, read_up_to(&what, file, MAX_KERNEL)?)?.into_elf();
    let digest = Sha256::digest(&kernel).into();
    let release = Some(release.trim().to_owned()).filter(|release| !release.is_empty());
    Ok(Built { package: Package { kernel, release, modules: Modules::default() }, source, digest })
}

fn read_text(path: &Path, limit: u64) -> Result<String, Error> {
    let file = File::open(path).map_err(Error::file("open", path))?;
    let bytes = read_up_to(&path.display().to_string(), file, limit)?;
    Ok(String::from_utf8_lossy(&bytes).into_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_minimal_configuration_is_well_formed() {
        let fragment = Fragment::parse(MINIMAL_NAME, MINIMAL).unwrap();
        assert_eq!(fragment.missing_in(&fragment), [""; 0]);
        assert!(fragment.to_string().contains("CONFIG_VIRTIO_PMEM=y\n"));
    }
}
