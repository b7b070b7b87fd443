//! `ampoule image`: builds, lists, shows and removes root images.

pub mod store;

use crate::args::{ImageBuildArgs, ImageCommand};
use crate::files::open_for_reading;
use ampoule_engine::HostFile;
use ampoule_rootfs::{Image, ImageInfo, KernelName, Limits, ListedKind, Options, Source, Times, hex};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::fs::File;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use store::{ImageName, Store};

/// Does what the command says.
pub fn image(command: ImageCommand) -> Result<()> {
    match command {
        ImageCommand::Build(args) => build(&args),
        ImageCommand::List { json } => list(json),
        ImageCommand::Remove { names } => remove(&names),
        ImageCommand::Inspect { image, json } => inspect(&image, json),
    }
}

fn build(args: &ImageBuildArgs) -> Result<()> {
    let (path, what) = match (&args.target.output, &args.target.name) {
        (Some(path), _) => (path.clone(), path.display().to_string()),
        (None, Some(name)) => (Store::create_default()?.path(&ImageName::parse(name)?), name.clone()),
        (None, None) => bail!("either --output or --name is needed"),
    };
    let source = Source::from_path(&args.source)?;
    let info = write_image(source, &path, args.kernel)
        .with_context(|| format!("image of {}", args.source.display()))?;
    println!("{what}: {} KiB, {} files, sha256 {}", info.bytes >> 10, info.files, hex(&info.digest));
    if info.without_xattrs > 0 {
        eprintln!("ampoule: the extended attributes of {} entries were left out", info.without_xattrs);
    }
    Ok(())
}

/// Builds beside the target and renames: an image is complete under its name or not there.
fn write_image(source: Source<'_>, path: &Path, kernel: Option<KernelName>) -> Result<ImageInfo> {
    let mut target = HostFile::new(path)?;
    let mut file: File = target.file()?.into();
    let options = Options { times: Times::from_env(), kernel, ..Options::default() };
    let info = ampoule_rootfs::build(source, &mut file, options, Box::new(|_| ControlFlow::Continue(())))?;
    drop(file);
    target.commit(false)?;
    Ok(info)
}

/// One image of the store.
#[derive(Serialize)]
struct Listed {
    name: String,
    bytes: u64,
    uuid: Option<String>,
    problem: Option<String>,
}

fn list(json: bool) -> Result<()> {
    let store = Store::open_default()?;
    let images: Vec<Listed> = store.names()?.iter().map(|name| listed(&store, name)).collect();
    if json {
        println!("{}", serde_json::json!({ "images": images }));
        return Ok(());
    }
    println!("{:<32} {:>12}  UUID", "NAME", "KIB");
    for Listed { name, bytes, uuid, problem } in images {
        println!("{name:<32} {:>12}  {}", bytes >> 10, problem.or(uuid).unwrap_or_default());
    }
    Ok(())
}

fn listed(store: &Store, name: &ImageName) -> Listed {
    let (bytes, uuid, problem) = match open(&store.path(name)) {
        Ok(image) => (image.bytes(), Some(image.uuid()), None),
        Err(error) => (0, None, Some(format!("{error:#}"))),
    };
    Listed { name: name.to_string(), bytes, uuid, problem }
}

fn remove(names: &[String]) -> Result<()> {
    let store = Store::open_default()?;
    for name in names {
        let name = ImageName::parse(name)?;
        match std::fs::remove_file(store.path(&name)) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => bail!("there is no image {name}"),
            result => result.with_context(|| format!("cannot remove image {name}"))?,
        }
    }
    Ok(())
}

/// What is in an image.
#[derive(Default, Serialize)]
struct Inspected {
    path: PathBuf,
    bytes: u64,
    uuid: String,
    /// The kernel that it asks for.
    kernel: Option<String>,
    inodes: u64,
    directories: u64,
    files: u64,
    symlinks: u64,
    others: u64,
    /// Whether the content is what the UUID stands for, as in images that ampoule built.
    verified: bool,
}

fn inspect(image: &Path, json: bool) -> Result<()> {
    let path = locate(image);
    let image = open(&path)?;
    let mut found = Inspected {
        path,
        bytes: image.bytes(),
        uuid: image.uuid(),
        kernel: image.kernel().map(|name| name.to_string()),
        inodes: image.inodes(),
        ..Inspected::default()
    };
    let limits = Limits::default();
    image.list(&limits, &mut |entry| {
        match entry.kind {
            ListedKind::Directory => found.directories += 1,
            ListedKind::File => found.files += 1,
            ListedKind::Symlink(_) => found.symlinks += 1,
            _ => found.others += 1,
        }
        ControlFlow::Continue(())
    })?;
    found.verified = image.verify(&limits).is_ok();
    if json {
        println!("{}", serde_json::to_string(&found)?);
        return Ok(());
    }
    println!("{}", found.path.display());
    println!("  size      {} KiB", found.bytes >> 10);
    println!("  uuid      {}", found.uuid);
    println!("  kernel    {}", found.kernel.as_deref().unwrap_or("any"));
    let kinds = format!("{} files, {} directories", found.files, found.directories);
    println!("  contents  {kinds}, {} symbolic links, {} others", found.symlinks, found.others);
    println!("  verified  {}", if found.verified { "yes" } else { "no (not built by ampoule, or damaged)" });
    Ok(())
}

fn open(path: &Path) -> Result<Image<File>> {
    let name = || format!("image {}", path.display());
    let file = open_for_reading(path).with_context(name)?;
    Image::open(file).with_context(name)
}

/// A name in the store, or else a path.
fn locate(image: &Path) -> PathBuf {
    let name = image.to_str().and_then(|name| ImageName::parse(name).ok());
    let stored = name.and_then(|name| Some(Store::open_default().ok()?.path(&name)));
    stored.filter(|path| path.exists()).unwrap_or_else(|| image.to_owned())
}
