//! The modules that a guest needs until its root is mounted, as an archive for the kernel.
//!
//! The archive has `/modules/list`, names in the order in which they are to be loaded, and the modules themselves. What
//! loads them is not in it: the VMM is given the archive of `/init`, which belongs to ampoule and not to the kernel,
//! beside this one.

use crate::{Error, MAX_MODULE, MAX_MODULES, decompress, module};
use ampoule_rootfs::CpioWriter;
use std::collections::{BTreeMap, BTreeSet};
use std::io;

/// What brings the guest's devices and the file systems of its root.
const ROOTS: [&str; 6] =
    ["virtio_mmio", "vmw_vsock_virtio_transport", "virtio_pmem", "nd_pmem", "erofs", "overlay"];
/// What these ask the kernel's crypto for by name, which no module's list of needs tells. It may be built in.
const ALGORITHMS: [&str; 1] = ["crc32c_generic"];
/// Most modules that are looked at.
const MAX_COUNT: usize = 256;

/// Modules in the order in which they are to be loaded, uncompressed.
#[derive(Debug, Default)]
pub struct Modules(Vec<(String, Vec<u8>)>);

impl Modules {
    /// Those that a guest needs, out of `files`: the content of each module's file by the module's name. `built_in` has the
    /// names of those that are part of the kernel; `None` if that is not known, and a missing one counts as built in.
    pub fn collect(
        what: &str,
        files: &BTreeMap<String, Vec<u8>>,
        built_in: Option<&BTreeSet<String>>,
    ) -> Result<Self, Error> {
        let mut collection =
            Collection { what, files, built_in, modules: Self::default(), seen: BTreeSet::new() };
        for algorithm in ALGORITHMS {
            collection.add(algorithm, false)?;
        }
        for root in ROOTS {
            collection.add(root, true)?;
        }
        Ok(collection.modules)
    }

    /// Their names.
    pub fn names(&self) -> Vec<String> {
        self.0.iter().map(|(name, _)| name.clone()).collect()
    }

    /// Whether there are none.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The archive.
    pub fn archive(&self) -> io::Result<Vec<u8>> {
        let mut cpio = CpioWriter::new(Vec::new());
        cpio.directory("modules")?;
        let list: String = self.0.iter().map(|(name, _)| format!("{name}.ko\n")).collect();
        cpio.file("modules/list", list.as_bytes())?;
        for (name, content) in &self.0 {
            cpio.file(&format!("modules/{name}.ko"), content)?;
        }
        cpio.finish()
    }
}

struct Collection<'a> {
    what: &'a str,
    files: &'a BTreeMap<String, Vec<u8>>,
    built_in: Option<&'a BTreeSet<String>>,
    modules: Modules,
    seen: BTreeSet<String>,
}

impl Collection<'_> {
    /// Adds a module, behind those that it needs.
    fn add(&mut self, name: &str, needed: bool) -> Result<(), Error> {
        if !self.seen.insert(name.to_owned()) {
            return Ok(());
        }
        let Some(file) = self.files.get(name) else {
            let missing = needed && self.built_in.is_some_and(|built_in| !built_in.contains(name));
            return match missing {
                true => Err(Error::NoModule { what: self.what.to_owned(), module: name.to_owned() }),
                false => Ok(()),
            };
        };
        let label = format!("module {name} of {}", self.what);
        let content = match decompress::is_compressed(file) {
            true => decompress::decompress(&label, file, MAX_MODULE)?,
            false => file.clone(),
        };
        let bytes: u64 = self.modules.0.iter().map(|(_, content)| content.len() as u64).sum();
        if self.seen.len() > MAX_COUNT || bytes + content.len() as u64 > MAX_MODULES {
            return Err(Error::TooLarge { what: format!("what {} loads", self.what), limit: MAX_MODULES });
        }
        let needs = module::needs(&content);
        for name in &needs.wanted {
            self.add(name, false)?;
        }
        for name in &needs.needed {
            self.add(name, true)?;
        }
        self.modules.0.push((name.to_owned(), content));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_missing_module_must_be_built_in() {
        let files = BTreeMap::new();
        assert!(Modules::collect("k", &files, None).unwrap().is_empty());
        let built_in: BTreeSet<String> = ROOTS.iter().skip(1).map(|name| (*name).to_owned()).collect();
        let error = Modules::collect("k", &files, Some(&built_in)).unwrap_err();
        assert_eq!(
            error.to_string(),
            "k has neither a module virtio_mmio nor is it built in: a guest cannot mount its root"
        );
    }

    #[test]
    fn the_list_has_the_order_of_the_modules() {
        let files: BTreeMap<_, _> =
            ["overlay", "virtio_mmio", "other"].map(|name| (name.to_owned(), b"\x7fELF".to_vec())).into();
        let modules = Modules::collect("k", &files, None).unwrap();
        assert_eq!(modules.names(), ["virtio_mmio", "overlay"]);
        let archive = modules.archive().unwrap();
        let list = b"virtio_mmio.ko\noverlay.ko\n";
        assert!(archive.windows(list.len()).any(|window| window == list));
    }
}
