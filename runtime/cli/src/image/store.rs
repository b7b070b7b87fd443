//! The local image store: a directory with a file for each image.

use ampoule_rootfs::is_plain_name;
use anyhow::{Context, Result, bail};
use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

const SUFFIX: &str = ".erofs";
const MAX_NAME: usize = 128;

/// A name that is safe as a file's and cannot be taken for a path: lower-case letters, digits, and `.`, `_`, `-`
/// inside.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct ImageName(String);

impl ImageName {
    /// Checks a name.
    pub fn parse(name: &str) -> Result<Self> {
        match is_plain_name(name.as_bytes(), MAX_NAME) {
            true => Ok(Self(name.to_owned())),
            false => bail!(
                "{name:?} is no name for an image: use lower-case letters, digits and, inside, `.`, `_` and `-`"
            ),
        }
    }
}

impl fmt::Display for ImageName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// The store's directory.
#[derive(Debug)]
pub struct Store(PathBuf);

impl Store {
    /// The user's store: `$XDG_DATA_HOME/ampoule/images`, or below `~/.local/share`. It may not be there yet.
    pub fn open_default() -> Result<Self> {
        Self::from_environment(|name| std::env::var_os(name).filter(|value| !value.is_empty()))
    }

    fn from_environment(var: impl Fn(&str) -> Option<OsString>) -> Result<Self> {
        // A relative path is invalid, says the XDG specification.
        let data = var("XDG_DATA_HOME").map(PathBuf::from).filter(|path| path.is_absolute());
        let home = || var("HOME").map(|home| PathBuf::from(home).join(".local/share"));
        let data =
            data.or_else(home).context("neither XDG_DATA_HOME nor HOME says where images are stored")?;
        Ok(Self(data.join("ampoule/images")))
    }

    /// The user's store, which is there afterwards.
    pub fn create_default() -> Result<Self> {
        let store = Self::open_default()?;
        std::fs::create_dir_all(&store.0).with_context(|| format!("cannot create {}", store.0.display()))?;
        Ok(store)
    }

    /// Where the image of this name is or would be.
    pub fn path(&self, name: &ImageName) -> PathBuf {
        self.0.join(format!("{name}{SUFFIX}"))
    }

    /// The names of all images, in order.
    pub fn names(&self) -> Result<Vec<ImageName>> {
        let entries = match std::fs::read_dir(&self.0) {
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            entries => entries.with_context(|| format!("cannot list {}", self.0.display()))?,
        };
        let mut names = Vec::new();
        for entry in entries {
            let file = entry.with_context(|| format!("cannot list {}", self.0.display()))?.file_name();
            let name = file.to_str().and_then(|file| file.strip_suffix(SUFFIX));
            names.extend(name.and_then(|name| ImageName::parse(name).ok()));
        }
        names.sort();
        Ok(names)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_safe_file_names() {
        for name in ["a", "debian-13", "x86_64.base", "0"] {
            assert_eq!(ImageName::parse(name).unwrap().to_string(), name);
        }
        for name in ["", ".", "..", "a/b", "../x", "-a", "a-", ".a", "A", "ä", "a b", "a\0", &"a".repeat(129)]
        {
            assert!(ImageName::parse(name).is_err(), "{name:?} was taken");
        }
    }

    #[test]
    fn the_store_is_where_xdg_says() {
        let store = |vars: &'static [(&str, &str)]| {
            Store::from_environment(|name| {
                vars.iter().find(|(var, _)| *var == name).map(|(_, value)| OsString::from(value))
            })
        };
        let name = ImageName::parse("x").unwrap();
        let path = |vars| store(vars).unwrap().path(&name);
        assert_eq!(
            path(&[("XDG_DATA_HOME", "/d"), ("HOME", "/h")]),
            PathBuf::from("/d/ampoule/images/x.erofs")
        );
        assert_eq!(path(&[("HOME", "/h")]), PathBuf::from("/h/.local/share/ampoule/images/x.erofs"));
        assert_eq!(
            path(&[("XDG_DATA_HOME", "rel"), ("HOME", "/h")]).components().nth(1).unwrap().as_os_str(),
            "h"
        );
        assert!(store(&[]).is_err());
    }

    #[test]
    fn a_store_lists_its_images_alone() {
        let directory = tempfile::tempdir().unwrap();
        let store = Store(directory.path().to_owned());
        for file in ["b.erofs", "a.erofs", "A.erofs", "c.txt", ".ampoule-1-1"] {
            std::fs::write(directory.path().join(file), "").unwrap();
        }
        let names: Vec<_> = store.names().unwrap().iter().map(ToString::to_string).collect();
        assert_eq!(names, ["a", "b"]);
        assert!(Store(directory.path().join("none")).names().unwrap().is_empty());
    }
}
