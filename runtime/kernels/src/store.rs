//! Kernels under names: a directory for each, which is complete or not there.

use crate::{Error, Package};
use ampoule_rootfs::is_plain_name;
use serde::{Deserialize, Serialize};
use std::ffi::OsString;
use std::fmt;
use std::fs;
use std::path::{Path, PathBuf};

const KERNEL: &str = "vmlinux";
const MODULES: &str = "modules.cpio";
const DESCRIPTION: &str = "kernel.json";
const MAX_NAME: usize = 128;

/// A name that is safe as a file's and cannot be taken for a path: lower-case letters, digits, and `.`, `_`, `-` inside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Name(String);

impl Name {
    /// Checks a name.
    pub fn parse(name: &str) -> Result<Self, Error> {
        match is_plain_name(name.as_bytes(), MAX_NAME) {
            true => Ok(Self(name.to_owned())),
            false => Err(Error::Name(name.to_owned())),
        }
    }
}

impl fmt::Display for Name {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What is known of a stored kernel.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Description {
    /// Its release, such as `6.12.1-cloud-amd64`.
    pub release: Option<String>,
    /// What it was imported from.
    pub source: String,
    /// The modules that are loaded until the root is there, in order.
    pub modules: Vec<String>,
}

/// A stored kernel.
#[derive(Debug)]
pub struct Stored {
    /// The ELF kernel.
    pub kernel: PathBuf,
    /// The archive of its modules, if it needs any.
    pub modules: Option<PathBuf>,
    /// The rest.
    pub description: Description,
}

/// The store's directory.
#[derive(Debug)]
pub struct Store(PathBuf);

impl Store {
    /// The user's store: `$XDG_DATA_HOME/ampoule/kernels`, or below `~/.local/share`. It may not be there yet.
    pub fn open_default() -> Result<Self, Error> {
        Self::from_environment(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    /// A store in this directory.
    pub fn at(directory: &Path) -> Self {
        Self(directory.to_owned())
    }

    fn from_environment(var: impl Fn(&str) -> Option<OsString>) -> Result<Self, Error> {
        // A relative path is invalid, says the XDG specification.
        let data = var("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || var("HOME").map(|home| PathBuf::from(home).join(".local/share"));
        Ok(Self(data.or_else(home).ok_or(Error::NoHome)?.join("ampoule/kernels")))
    }

    /// Puts a kernel into the store, in the place of one that has this name.
    pub fn put(&self, name: &Name, package: &Package, source: &str) -> Result<Description, Error> {
        fs::create_dir_all(&self.0).map_err(Error::file("create", &self.0))?;
        let new = tempfile::Builder::new().prefix(".new-").tempdir_in(&self.0);
        let new = new.map_err(Error::file("write into", &self.0))?;
        let description = Description {
            release: package.release.clone(),
            source: source.to_owned(),
            modules: package.modules.names(),
        };
        write(new.path(), KERNEL, &package.kernel)?;
        if !package.modules.is_empty() {
            let archive = package.modules.archive().map_err(Error::file("write into", new.path()))?;
            write(new.path(), MODULES, &archive)?;
        }
        let json = serde_json::to_vec_pretty(&description).unwrap_or_default();
        write(new.path(), DESCRIPTION, &json)?;
        self.replace(name, &new)?;
        // It is not there under its first name any more.
        let _renamed = new.keep();
        Ok(description)
    }

    fn replace(&self, name: &Name, new: &tempfile::TempDir) -> Result<(), Error> {
        let place = self.directory(name);
        if place.exists() {
            self.remove(name)?;
        }
        fs::rename(new.path(), &place).map_err(Error::file("write", place))
    }

    /// The kernel of this name.
    pub fn get(&self, name: &Name) -> Result<Stored, Error> {
        let directory = self.directory(name);
        let kernel = directory.join(KERNEL);
        if !kernel.is_file() {
            return Err(Error::NotStored(name.to_string()));
        }
        let path = directory.join(DESCRIPTION);
        let json = fs::read(&path).map_err(Error::file("read", &path))?;
        let description = serde_json::from_slice(&json)
            .map_err(std::io::Error::other)
            .map_err(Error::file("understand", path))?;
        let modules = Some(directory.join(MODULES)).filter(|path| path.exists());
        Ok(Stored { kernel, modules, description })
    }

    /// Removes a kernel. VMs that run with it have what they need of it.
    pub fn remove(&self, name: &Name) -> Result<(), Error> {
        let directory = self.directory(name);
        if !directory.exists() {
            return Err(Error::NotStored(name.to_string()));
        }
        // First out of sight, so that nobody finds the half of it.
        let old = tempfile::Builder::new().prefix(".old-").tempdir_in(&self.0);
        let old = old.map_err(Error::file("write into", &self.0))?;
        fs::rename(&directory, old.path()).map_err(Error::file("remove", &directory))?;
        old.close().map_err(Error::file("remove", directory))
    }

    /// The names of all kernels, in order.
    pub fn names(&self) -> Result<Vec<Name>, Error> {
        let entries = match fs::read_dir(&self.0) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.map_err(Error::file("list", &self.0))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let file = entry.map_err(Error::file("list", &self.0))?.file_name();
            names.extend(file.to_str().and_then(|name| Name::parse(name).ok()));
        }
        names.sort();
        Ok(names)
    }

    fn directory(&self, name: &Name) -> PathBuf {
        self.0.join(&name.0)
    }
}

fn write(directory: &Path, name: &str, content: &[u8]) -> Result<(), Error> {
    let path = directory.join(name);
    fs::write(&path, content).map_err(Error::file("write", path))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::initramfs::Modules;

    fn package(kernel: &[u8]) -> Package {
        Package { kernel: kernel.to_vec(), release: Some("6.1".into()), modules: Modules::default() }
    }

    #[test]
    fn a_kernel_is_put_found_replaced_and_removed() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store::at(&directory.path().join("kernels"));
        let name = Name::parse("debian-6.1").unwrap();
        assert!(matches!(store.get(&name), Err(Error::NotStored(_))));
        assert_eq!(store.names().unwrap(), []);
        for kernel in [b"first", b"again"] {
            store.put(&name, &package(kernel), "a file").unwrap();
            let stored = store.get(&name).unwrap();
            assert_eq!(fs::read(stored.kernel).unwrap(), kernel);
            assert_eq!(stored.description.source, "a file");
            assert!(stored.modules.is_none());
            assert_eq!(store.names().unwrap(), std::slice::from_ref(&name));
        }
        store.remove(&name).unwrap();
        assert!(matches!(store.remove(&name), Err(Error::NotStored(_))));
        assert_eq!(fs::read_dir(directory.path().join("kernels")).unwrap().count(), 0, "nothing is left");
    }

    #[test]
    fn names_are_safe_file_names() {
        for name in ["debian-6.12", "a", "x_1"] {
            assert!(Name::parse(name).is_ok(), "{name}");
        }
        for name in ["", ".", "..", "a/b", "-a", ".new-x", "A", "auto ", &"a".repeat(129)] {
            assert!(Name::parse(name).is_err(), "{name}");
        }
    }

    #[test]
    fn the_store_is_where_xdg_says() {
        let store = |vars: &'static [(&str, &str)]| {
            Store::from_environment(|name| {
                vars.iter().find(|(var, _)| *var == name).map(|(_, value)| OsString::from(value))
            })
        };
        assert_eq!(store(&[("HOME", "/h")]).unwrap().0, Path::new("/h/.local/share/ampoule/kernels"));
        assert!(matches!(store(&[]), Err(Error::NoHome)));
    }
}
