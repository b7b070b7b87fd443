//! `ampoule kernel`: builds, imports, lists and removes Linux kernels; and which kernel a sandbox gets.

mod build;
pub mod choice;
mod progress;

use crate::args::KernelCommand;
use ampoule_kernels::{Name, Package, Store, Stored};
use anyhow::{Context, Result, bail};
use serde::Serialize;
use std::path::Path;
use std::process::ExitCode;

/// Does what the command says.
pub fn kernel(command: KernelCommand) -> Result<ExitCode> {
    match command {
        KernelCommand::Build(args) => return build::build(args),
        KernelCommand::Import { file, name } => import(&file, name.as_deref()),
        KernelCommand::List { json } => list(json),
        KernelCommand::Remove { names } => remove(&names),
    }
    .map(|()| ExitCode::SUCCESS)
}

fn import(file: &Path, name: Option<&str>) -> Result<()> {
    // A pipe would be waited for.
    if std::fs::metadata(file).is_ok_and(|metadata| !metadata.is_file()) {
        bail!("{} is not a file with a kernel in it", file.display());
    }
    let package = Package::open(file)?;
    let name = match name {
        Some(name) => Name::parse(name)?,
        None => default_name(file, package.release.as_deref())
            .context("no name can be made of the kernel's; say one with --name")?,
    };
    let description = Store::open_default()?.put(&name, &package, &file.display().to_string())?;
    let size = package.kernel.len() >> 10;
    println!(
        "{name}: Linux {}, {size} KiB, {} modules",
        description.release.as_deref().unwrap_or("of unknown release"),
        description.modules.len()
    );
    Ok(())
}

/// `linux-RELEASE`, or what the file is called.
fn default_name(file: &Path, release: Option<&str>) -> Option<Name> {
    let text = match release {
        Some(release) => format!("linux-{release}"),
        None => file.file_stem()?.to_str()?.to_owned(),
    };
    let fit = |letter: char| match letter {
        'a'..='z' | '0'..='9' | '.' | '_' | '-' => letter,
        'A'..='Z' => letter.to_ascii_lowercase(),
        _ => '-',
    };
    Name::parse(&text.chars().map(fit).collect::<String>()).ok()
}

/// One kernel of the store.
#[derive(Serialize)]
struct Listed {
    name: String,
    release: Option<String>,
    bytes: u64,
    modules: usize,
    source: Option<String>,
    problem: Option<String>,
}

fn list(json: bool) -> Result<()> {
    let store = Store::open_default()?;
    let kernels: Vec<Listed> = store.names()?.iter().map(|name| listed(&store, name)).collect();
    if json {
        println!("{}", serde_json::json!({ "kernels": kernels }));
        return Ok(());
    }
    println!("{:<32} {:>10} {:>8}  RELEASE", "NAME", "KIB", "MODULES");
    for Listed { name, release, bytes, modules, problem, .. } in kernels {
        let release = problem.or(release).unwrap_or_default();
        println!("{name:<32} {:>10} {modules:>8}  {release}", bytes >> 10);
    }
    Ok(())
}

fn listed(store: &Store, name: &Name) -> Listed {
    let name_text = name.to_string();
    match store.get(name) {
        Ok(Stored { kernel, description, .. }) => Listed {
            name: name_text,
            release: description.release,
            bytes: kernel.metadata().map_or(0, |metadata| metadata.len()),
            modules: description.modules.len(),
            source: Some(description.source),
            problem: None,
        },
        Err(error) => Listed {
            name: name_text,
            release: None,
            bytes: 0,
            modules: 0,
            source: None,
            problem: Some(error.to_string()),
        },
    }
}

fn remove(names: &[String]) -> Result<()> {
    let store = Store::open_default()?;
    for name in names {
        store.remove(&Name::parse(name)?)?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_kernel_is_called_after_its_release_or_file() {
        let name = |file: &str, release| default_name(Path::new(file), release).map(|name| name.to_string());
        assert_eq!(name("x.deb", Some("6.12.1+deb12-amd64")).as_deref(), Some("linux-6.12.1-deb12-amd64"));
        assert_eq!(name("/boot/My Kernel.elf", None).as_deref(), Some("my-kernel"));
        assert_eq!(name("/", None), None);
    }
}
