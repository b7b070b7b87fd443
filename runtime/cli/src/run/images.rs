//! What a sandbox is booted from: built in, or the user's own.

use crate::embedded::Embedded;
use crate::files::open_for_reading;
use crate::image::store::{ImageName, Store};
use ampoule_engine::{Artifact, VmmProgram};
use ampoule_rootfs::{Image, KernelName, Options, Source};
use anyhow::{Context, Result, bail};
use rustix::fs::{MemfdFlags, memfd_create};
use std::ffi::OsStr;
use std::fs::File;
use std::ops::ControlFlow;
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

/// Names a VMM to use in the place of the built-in one.
const VMM_VARIABLE: &str = "AMPOULE_VMM";
/// Names an image with an agent to use in the place of the built-in one.
const AGENT_VARIABLE: &str = "AMPOULE_AGENT";

/// The VMM's program.
pub fn vmm() -> Result<VmmProgram> {
    match std::env::var_os(VMM_VARIABLE) {
        Some(path) => Ok(VmmProgram::File(path.into())),
        None => Ok(VmmProgram::load(&Embedded::Vmm.artifact()?)?),
    }
}

/// The image with the agent.
pub fn agent() -> Result<Artifact> {
    match std::env::var_os(AGENT_VARIABLE) {
        Some(path) => open(Path::new(&path)).map(|(image, _)| image),
        None => Embedded::AgentImage.artifact(),
    }
}

/// The root image: a name in the store, an image file or a directory. And the kernel that it asks for.
pub fn root(image: Option<&OsStr>) -> Result<(Artifact, Option<KernelName>)> {
    let Some(image) = image else { return Ok((Embedded::RootImage.artifact()?, None)) };
    let path = locate(image)?;
    match path.is_dir() {
        true => Ok((build(&path)?, None)),
        false => open(&path),
    }
}

/// A word with a slash is a path. Else a name in the store goes before a path.
fn locate(image: &OsStr) -> Result<PathBuf> {
    let path = Path::new(image);
    if image.as_bytes().contains(&b'/') {
        return Ok(path.to_owned());
    }
    let store = Store::open_default();
    let named = image.to_str().and_then(|name| ImageName::parse(name).ok());
    if let (Ok(store), Some(name)) = (&store, &named) {
        let stored = store.path(name);
        if stored.exists() {
            return Ok(stored);
        }
    }
    match path.exists() {
        true => Ok(path.to_owned()),
        false => bail!(
            "there is no image {}: neither in the local store (see `ampoule image list`) nor as a file or directory",
            path.display()
        ),
    }
}

/// Opens an image file, having looked whether it is one.
fn open(path: &Path) -> Result<(Artifact, Option<KernelName>)> {
    let name = format!("image {}", path.display());
    let file = open_for_reading(path).with_context(|| name.clone())?;
    let image = Image::open(file).with_context(|| name.clone())?;
    let (len, kernel) = (image.bytes(), image.kernel());
    Ok((Artifact::new(&name, Arc::new(image.into_inner().into()), 0, len), kernel))
}

/// Builds an image of a directory, in memory.
fn build(path: &Path) -> Result<Artifact> {
    let name = format!("image of {}", path.display());
    let mut memory: File =
        memfd_create("ampoule-image", MemfdFlags::CLOEXEC).context("cannot create a memfd")?.into();
    let source = Source::Directory(path.to_owned());
    let info = ampoule_rootfs::build(
        source,
        &mut memory,
        Options::default(),
        Box::new(|_| ControlFlow::Continue(())),
    )
    .with_context(|| name.clone())?;
    Ok(Artifact::new(&name, Arc::new(memory.into()), 0, info.bytes))
}
