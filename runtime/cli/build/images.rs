//! The two images that are built in, and the archive for Linux.

use ampoule_rootfs::{CpioWriter, ImageBuilder, Options, Time, Times, add_agent_tree, add_default_tree};
use std::error::Error;
use std::fs::{self, File};
use std::path::{Path, PathBuf};

const BUSYBOX: &str = "/bin/busybox";

/// The agent's image: one file.
pub fn agent(program: &Path, image: &Path) -> Result<(), Box<dyn Error>> {
    let bytes = fs::read(program).map_err(|error| format!("cannot read {}: {error}", program.display()))?;
    let mut file = create(image)?;
    let mut builder = ImageBuilder::new(&mut file, options())?;
    add_agent_tree(&mut builder, &bytes)?;
    builder.finish()?;
    Ok(())
}

/// The part of a Linux guest's initramfs that is ours: `/init`, and the directories that it uses.
pub fn stage1(program: &Path, archive: &Path) -> Result<(), Box<dyn Error>> {
    let bytes = fs::read(program).map_err(|error| format!("cannot read {}: {error}", program.display()))?;
    let mut cpio = CpioWriter::new(create(archive)?);
    for directory in ["dev", "proc", "root"] {
        cpio.directory(directory)?;
    }
    cpio.file("init", &bytes)?;
    cpio.finish()?;
    Ok(())
}

/// The default root file system: busybox.
pub fn root(image: &Path) -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=AMPOULE_BUSYBOX");
    let busybox = PathBuf::from(std::env::var_os("AMPOULE_BUSYBOX").unwrap_or_else(|| BUSYBOX.into()));
    println!("cargo::rerun-if-changed={}", busybox.display());
    let mut file = create(image)?;
    let mut builder = ImageBuilder::new(&mut file, options())?;
    add_default_tree(&mut builder, &busybox).map_err(|error| {
        format!(
            "the default root file system needs a static busybox, and {}: {error}. Install the Debian package \
             `busybox-static`, or set AMPOULE_BUSYBOX to the path of a static busybox",
            busybox.display()
        )
    })?;
    builder.finish()?;
    Ok(())
}

/// The same input gives the same image.
fn options() -> Options {
    let times = match Times::from_env() {
        Times::Source => Times::Fixed(Time::default()),
        times => times,
    };
    Options { times, ..Options::default() }
}

fn create(image: &Path) -> Result<File, Box<dyn Error>> {
    File::create(image).map_err(|error| format!("cannot create {}: {error}", image.display()).into())
}
