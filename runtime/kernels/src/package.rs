//! A kernel with its modules, from a Debian package or from the files of an installed one.

use crate::ar::{Archive, MAGIC};
use crate::decompress::{read_up_to, reader};
use crate::initramfs::Modules;
use crate::{Error, MAX_KERNEL, MAX_MODULE, extract, module};
use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{BufReader, Read};
use std::path::{Path, PathBuf};

/// Most entries of a package, and most modules of an installation.
const MAX_ENTRIES: usize = 200_000;
/// Most compressed modules that are held in memory, in bytes.
const MAX_HELD: u64 = 512 << 20;
/// Longest list of built-in modules, in bytes.
const MAX_LIST: u64 = 4 << 20;
/// Largest package, uncompressed, in bytes: time is bounded by that, as most files in it are skipped.
const MAX_UNPACKED: u64 = 4 << 30;
/// Longest name of a file in a package, in bytes.
const MAX_NAME: u64 = 4096;
/// Longest release, in bytes: `uname` has room for 65, its NUL included.
const MAX_RELEASE: usize = 64;
/// How deep directories of modules are searched.
const MAX_DEPTH: usize = 12;

/// A kernel, ready to be stored or run.
#[derive(Debug)]
pub struct Package {
    /// The ELF kernel.
    pub kernel: Vec<u8>,
    /// Its release, such as `6.12.1-cloud-amd64`, where that is known.
    pub release: Option<String>,
    /// What has to be loaded until the root is there.
    pub modules: Modules,
}

/// What was found, still compressed.
#[derive(Default)]
struct Found {
    kernel: Option<(String, Vec<u8>)>,
    modules: BTreeMap<String, Vec<u8>>,
    built_in: Option<BTreeSet<String>>,
    held: u64,
}

impl Package {
    /// Reads a Debian package (`.deb`), a `vmlinuz` with its modules in `lib/modules` beside its directory, or a single
    /// `vmlinux` or `vmlinuz`.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let what = path.display().to_string();
        let mut file = File::open(path).map_err(Error::file("open", path))?;
        let mut magic = [0; 8];
        let len = file.read(&mut magic).map_err(Error::file("read", path))?;
        let found = match magic.get(..len) {
            Some(magic) if magic == MAGIC => {
                from_deb(&what, File::open(path).map_err(Error::file("open", path))?)?
            }
            _ => from_file(path)?,
        };
        found.finish(&what)
    }
}

impl Found {
    fn finish(self, what: &str) -> Result<Package, Error> {
        let Some((release, kernel)) = self.kernel else {
            return Err(Error::Package {
                what: what.into(),
                problem: "there is no boot/vmlinuz-* in it".into(),
            });
        };
        let modules = Modules::collect(what, &self.modules, self.built_in.as_ref())?;
        let release = Some(release).filter(|release| !release.is_empty());
        Ok(Package { kernel: extract(what, kernel)?.into_elf(), release, modules })
    }

    /// Keeps a module's file.
    fn hold(&mut self, what: &str, path: &str, stream: impl Read) -> Result<(), Error> {
        let Some(name) = module::name_of(path) else { return Ok(()) };
        let content = read_up_to(&format!("module {name} of {what}"), stream, MAX_MODULE)?;
        self.held += content.len() as u64;
        if self.held > MAX_HELD || self.modules.len() >= MAX_ENTRIES {
            return Err(Error::TooLarge { what: format!("the modules of {what}"), limit: MAX_HELD });
        }
        self.modules.insert(name, content);
        Ok(())
    }

    fn set_built_in(&mut self, what: &str, list: impl Read) -> Result<(), Error> {
        let list = read_up_to(what, list, MAX_LIST)?;
        let list = String::from_utf8_lossy(&list);
        self.built_in = Some(list.lines().filter_map(module::name_of).collect());
        Ok(())
    }
}

fn from_deb(what: &str, file: File) -> Result<Found, Error> {
    let archive = Archive::open(what, BufReader::new(file))?;
    match archive.find(|name| name == "data.tar" || name.starts_with("data.tar."))? {
        Some((name, content)) if name == "data.tar" => from_tar(what, content),
        Some((_, content)) => from_tar(what, reader(what, BufReader::new(content))?),
        None => Err(Error::Package { what: what.into(), problem: "there is no data.tar in it".into() }),
    }
}

fn from_tar(what: &str, stream: impl Read) -> Result<Found, Error> {
    let problem = |error: std::io::Error| Error::Package { what: what.into(), problem: error.to_string() };
    let mut found = Found::default();
    let mut archive = tar::Archive::new(stream.take(MAX_UNPACKED));
    // Raw, as the `tar` crate reads long names and extended headers to their end, however long they are. Debian's packages
    // have no extended headers, and of long names those of GNU.
    let mut long_name = None;
    for (count, entry) in archive.entries().map_err(problem)?.raw(true).enumerate() {
        let entry = entry.map_err(problem)?;
        if count >= MAX_ENTRIES {
            return Err(Error::TooLarge {
                what: format!("the list of files of {what}"),
                limit: MAX_ENTRIES as u64,
            });
        }
        let kind = entry.header().entry_type();
        if kind.is_gnu_longname() {
            let name = read_up_to(what, entry, MAX_NAME)?;
            long_name = Some(name.strip_suffix(b"\0").unwrap_or(&name).to_vec());
            continue;
        }
        if kind.is_gnu_longlink() {
            continue;
        }
        let name = long_name.take().unwrap_or_else(|| entry.path_bytes().into_owned());
        if !kind.is_file() {
            continue;
        }
        let path = String::from_utf8_lossy(&name).into_owned();
        let path = path.trim_start_matches("./").trim_start_matches("usr/");
        if let Some(release) = path.strip_prefix("boot/vmlinuz-").filter(|release| is_release(release)) {
            found.kernel = Some((release.to_owned(), read_up_to(what, entry, MAX_KERNEL)?));
        } else if path.starts_with("lib/modules/") && path.ends_with("/modules.builtin") {
            found.set_built_in(what, entry)?;
        } else if path.starts_with("lib/modules/") {
            found.hold(what, path, entry)?;
        }
    }
    Ok(found)
}

/// A kernel's file, and its modules if it is called `vmlinuz-RELEASE` and they are installed with it.
fn from_file(path: &Path) -> Result<Found, Error> {
    let what = path.display().to_string();
    let file = File::open(path).map_err(Error::file("open", path))?;
    let kernel = read_up_to(&what, file, MAX_KERNEL)?;
    let release = release_of(path).unwrap_or_default();
    let mut found = Found { kernel: Some((release.clone(), kernel)), ..Found::default() };
    let Some(directory) = modules_beside(path, &release) else { return Ok(found) };
    if let Ok(list) = File::open(directory.join("modules.builtin")) {
        found.set_built_in(&what, list)?;
    }
    search(&what, &directory.join("kernel"), MAX_DEPTH, &mut found)?;
    Ok(found)
}

/// Whether a kernel can be of this release: something that `uname` would say, and that can be shown.
fn is_release(release: &str) -> bool {
    (1..=MAX_RELEASE).contains(&release.len())
        && release.bytes().all(|byte| byte.is_ascii_graphic() && byte != b'/')
}

fn release_of(path: &Path) -> Option<String> {
    let name = path.file_name()?.to_str()?;
    let release = name.strip_prefix("vmlinuz-").or_else(|| name.strip_prefix("vmlinux-"))?;
    is_release(release).then(|| release.to_owned())
}

/// `lib/modules/RELEASE` in the directory above that of the kernel.
fn modules_beside(path: &Path, release: &str) -> Option<PathBuf> {
    let path = std::path::absolute(path).ok()?;
    let root = path.parent()?.parent()?;
    let usable = !release.is_empty() && !release.contains('/') && release != "." && release != "..";
    let directory = root.join("lib/modules").join(release);
    (usable && directory.is_dir()).then_some(directory)
}

fn search(what: &str, directory: &Path, depth: usize, found: &mut Found) -> Result<(), Error> {
    let Some(depth) = depth.checked_sub(1) else { return Ok(()) };
    for entry in std::fs::read_dir(directory).map_err(Error::file("list", directory))? {
        let entry = entry.map_err(Error::file("list", directory))?;
        let (path, kind) = (entry.path(), entry.file_type().map_err(Error::file("look at", entry.path()))?);
        if kind.is_dir() {
            search(what, &path, depth, found)?;
        } else if kind.is_file()
            && let Some(name) = path.to_str()
        {
            found.hold(what, name, File::open(&path).map_err(Error::file("open", &path))?)?;
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::ar::archive;

    const ELF: &[u8] = b"\x7fELF kernel";

    fn deb(files: &[(&str, &[u8])]) -> tempfile::NamedTempFile {
        let mut tar = tar::Builder::new(Vec::new());
        for (path, content) in files {
            let mut header = tar::Header::new_gnu();
            header.set_size(content.len() as u64);
            header.set_mode(0o644);
            header.set_entry_type(tar::EntryType::Regular);
            tar.append_data(&mut header, path, *content).unwrap();
        }
        let tar = tar.into_inner().unwrap();
        let file = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(file.path(), archive(&[("debian-binary", b"2.0\n"), ("data.tar", &tar)])).unwrap();
        file
    }

    #[test]
    fn a_package_has_its_kernel_and_modules() {
        let list =
            b"kernel/fs/erofs/erofs.ko\nkernel/virtio_mmio.ko\nkernel/nd_pmem.ko\nkernel/virtio-pmem.ko\n\
                     kernel/vmw_vsock_virtio_transport.ko\n";
        let file = deb(&[
            ("boot/vmlinuz-6.1-test", ELF),
            ("lib/modules/6.1-test/modules.builtin", list),
            ("usr/lib/modules/6.1-test/kernel/fs/overlayfs/overlay.ko", b"\x7fELF module"),
            ("lib/modules/6.1-test/kernel/other.ko", b"\x7fELF module"),
        ]);
        let package = Package::open(file.path()).unwrap();
        assert_eq!(package.kernel, ELF);
        assert_eq!(package.release.as_deref(), Some("6.1-test"));
        assert_eq!(package.modules.names(), ["overlay"]);
    }

    #[test]
    fn long_names_are_read_up_to_a_limit() {
        let path = |len: usize| format!("lib/modules/6.1-test/{}overlay.ko", "d/".repeat(len / 2));
        let open =
            |path: &str| Package::open(deb(&[("boot/vmlinuz-6.1-test", ELF), (path, b"\x7fELF")]).path());
        assert_eq!(open(&path(200)).unwrap().modules.names(), ["overlay"]);
        assert!(matches!(open(&path(10_000)), Err(Error::TooLarge { limit: MAX_NAME, .. })));
    }

    #[test]
    fn what_is_named_is_plain() {
        let open = |kernel: &str| Package::open(deb(&[(kernel, ELF)]).path());
        assert_eq!(open("boot/vmlinuz-6.1+x-a_b").unwrap().release.as_deref(), Some("6.1+x-a_b"));
        for release in ["", "\u{1b}[2J", "a b", "a/b", "ü", &"1".repeat(65)] {
            let error = open(&format!("boot/vmlinuz-{release}")).unwrap_err();
            assert!(error.to_string().contains("no boot/vmlinuz-*"), "{release:?}: {error}");
        }
    }

    #[test]
    fn a_package_without_a_kernel_is_none() {
        let message = |file: &tempfile::NamedTempFile| Package::open(file.path()).unwrap_err().to_string();
        assert!(message(&deb(&[("etc/passwd", b"")])).contains("no boot/vmlinuz-*"));
        let empty = tempfile::NamedTempFile::new().unwrap();
        std::fs::write(empty.path(), b"!<arch>\n").unwrap();
        assert!(message(&empty).contains("no data.tar"));
        std::fs::write(empty.path(), b"!<arch>\ngarbage garbage garbage garbage garbage garbage garbage")
            .unwrap();
        assert!(message(&empty).contains("no Debian package"));
    }

    #[test]
    fn an_installed_kernel_brings_its_modules() {
        let root = tempfile::tempdir().unwrap();
        let modules = root.path().join("lib/modules/1.2/kernel/fs");
        std::fs::create_dir_all(&modules).unwrap();
        std::fs::create_dir(root.path().join("boot")).unwrap();
        std::fs::write(modules.join("erofs.ko"), b"\x7fELF").unwrap();
        let kernel = root.path().join("boot/vmlinuz-1.2");
        std::fs::write(&kernel, ELF).unwrap();
        assert_eq!(Package::open(&kernel).unwrap().modules.names(), ["erofs"]);
        let alone = root.path().join("boot/vmlinux");
        std::fs::write(&alone, ELF).unwrap();
        assert!(Package::open(&alone).unwrap().modules.is_empty());
    }
}
