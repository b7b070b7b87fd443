//! The source of Linux: which one, and a tree of it.

use super::{Step, Watch};
use crate::Error;
use crate::decompress::{is_compressed, reader};
use std::fs::{self, File};
use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use tar::EntryType;

/// Most entries of an archive. Linux 6.12 has 90,000.
const MAX_ENTRIES: usize = 500_000;
/// Most bytes of all files of an archive. Linux 6.12 has 1.5 GB.
const MAX_BYTES: u64 = 8 << 30;
/// How often the work is told of, in entries.
const INTERVAL: usize = 500;
/// What a tree of Linux has at its top.
const MARKS: [&str; 2] = ["Makefile", "Kconfig"];

/// The newest of the archives `linux-source-VERSION.tar.*` in a directory.
pub fn newest(directory: &Path) -> Result<PathBuf, Error> {
    let none = || Error::NoSource(directory.to_owned());
    let entries = fs::read_dir(directory).map_err(|_| none())?;
    let sources = entries.filter_map(|entry| {
        let path = entry.ok()?.path();
        Some((version(path.file_name()?.to_str()?)?, path))
    });
    sources.max().map(|(_, path)| path).ok_or_else(none)
}

/// The numbers of a version, which order as the versions do.
fn version(name: &str) -> Option<Vec<u32>> {
    let (version, _) = name.strip_prefix("linux-source-")?.split_once(".tar")?;
    version.split('.').map(|number| number.parse().ok()).collect()
}

/// A tree of this source: the source itself if it is one, or what is unpacked from it to a directory that is not there yet.
pub fn prepare(source: &Path, directory: &Path, watch: &mut Watch<'_>) -> Result<PathBuf, Error> {
    let tree = match source.is_dir() {
        true => std::path::absolute(source).map_err(Error::file("find", source))?,
        false => {
            unpack(source, directory, watch)?;
            top(directory)?
        }
    };
    match MARKS.iter().find(|mark| !tree.join(mark).is_file()) {
        None => Ok(tree),
        Some(mark) => Err(problem(source, format!("there is no {mark} at its top"))),
    }
}

fn problem(source: &Path, problem: String) -> Error {
    Error::Source { what: source.display().to_string(), problem }
}

/// The directory that holds the tree: that of the archive's only entry, if it has only one.
fn top(directory: &Path) -> Result<PathBuf, Error> {
    let entries = fs::read_dir(directory).map_err(Error::file("list", directory))?;
    let paths: Vec<PathBuf> = entries.take(2).filter_map(|entry| Some(entry.ok()?.path())).collect();
    match paths.as_slice() {
        [only] if only.is_dir() => Ok(only.clone()),
        _ => Ok(directory.to_owned()),
    }
}

/// Unpacks an archive into a new directory; nothing of it can get outside.
fn unpack(source: &Path, directory: &Path, watch: &mut Watch<'_>) -> Result<(), Error> {
    let damaged = |error: std::io::Error| problem(source, error.to_string());
    watch.tell(Step::Unpack, 0);
    fs::create_dir(directory).map_err(Error::file("create", directory))?;
    let mut archive = tar::Archive::new(open(source)?);
    let mut bytes = 0u64;
    for (count, entry) in archive.entries().map_err(damaged)?.enumerate() {
        watch.go_on()?;
        let mut entry = entry.map_err(damaged)?;
        bytes = bytes.saturating_add(entry.size());
        if count >= MAX_ENTRIES || bytes > MAX_BYTES {
            return Err(Error::TooLarge { what: source.display().to_string(), limit: MAX_BYTES });
        }
        if (count + 1).is_multiple_of(INTERVAL) {
            watch.tell(Step::Unpack, count + 1);
        }
        match entry.header().entry_type() {
            EntryType::Regular | EntryType::Directory | EntryType::Symlink | EntryType::Link => {}
            // What `git archive` puts at the beginning.
            EntryType::XGlobalHeader => continue,
            _ => return Err(problem(source, format!("{} is a special file", name(&entry)))),
        }
        // It looks at where a path leads, links included, before it writes there.
        if !entry.unpack_in(directory).map_err(damaged)? {
            return Err(problem(source, format!("{} leads out of it", name(&entry))));
        }
    }
    Ok(())
}

fn name(entry: &tar::Entry<'_, impl Read>) -> String {
    format!("{:?}", String::from_utf8_lossy(&entry.path_bytes()))
}

/// An archive's stream, decompressed if need be.
fn open(source: &Path) -> Result<Box<dyn Read>, Error> {
    let file = File::open(source).map_err(Error::file("open", source))?;
    let mut stream = BufReader::with_capacity(1 << 20, file);
    let compressed = is_compressed(stream.fill_buf().map_err(Error::file("read", source))?);
    match compressed {
        true => reader(&source.display().to_string(), stream),
        false => Ok(Box::new(stream)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::pipe;
    use std::os::fd::AsFd;

    /// An archive of entries: a path, and what kind they are, with content or target.
    fn archive(entries: &[(&str, EntryType, &str)]) -> tempfile::NamedTempFile {
        let mut tar = tar::Builder::new(tempfile::NamedTempFile::new().unwrap());
        for (path, kind, content) in entries {
            let mut header = tar::Header::new_gnu();
            header.set_entry_type(*kind);
            header.set_mode(0o755);
            // Without the checks of the library that writes.
            header.as_old_mut().name[..path.len()].copy_from_slice(path.as_bytes());
            let content = match kind {
                EntryType::Symlink | EntryType::Link => {
                    header.as_old_mut().linkname[..content.len()].copy_from_slice(content.as_bytes());
                    ""
                }
                _ => content,
            };
            header.set_size(content.len() as u64);
            header.set_cksum();
            tar.append(&header, content.as_bytes()).unwrap();
        }
        tar.into_inner().unwrap()
    }

    fn prepared(source: &Path, outside: &Path) -> Result<PathBuf, Error> {
        let (stop, _held) = pipe().unwrap();
        let mut watch = Watch { stop: stop.as_fd(), progress: &mut |_, _| {} };
        prepare(source, &outside.join("tree"), &mut watch)
    }

    const MAKEFILE: (&str, EntryType, &str) = ("linux-1/Makefile", EntryType::Regular, "all:\n");
    const KCONFIG: (&str, EntryType, &str) = ("linux-1/Kconfig", EntryType::Regular, "");

    #[test]
    fn a_tree_is_unpacked_or_taken_as_it_is() {
        let directory = tempfile::tempdir().unwrap();
        let link = ("linux-1/link", EntryType::Symlink, "Makefile");
        let file = archive(&[("linux-1/", EntryType::Directory, ""), MAKEFILE, KCONFIG, link]);
        let tree = prepared(file.path(), directory.path()).unwrap();
        assert_eq!(tree, directory.path().join("tree/linux-1"));
        assert_eq!(fs::read_to_string(tree.join("link")).unwrap(), "all:\n");
        assert_eq!(prepared(&tree, directory.path()).unwrap(), tree);
    }

    #[test]
    fn nothing_gets_out_of_the_directory() {
        let hostile: [&[(&str, EntryType, &str)]; 5] = [
            &[("../escaped", EntryType::Regular, "x")],
            &[("a/../../escaped", EntryType::Regular, "x")],
            &[("out", EntryType::Symlink, ".."), ("out/escaped", EntryType::Regular, "x")],
            &[("hard", EntryType::Link, "../victim"), ("hard", EntryType::Regular, "x")],
            &[("device", EntryType::Char, "")],
        ];
        for entries in hostile {
            let directory = tempfile::tempdir().unwrap();
            fs::write(directory.path().join("victim"), "untouched").unwrap();
            let file = archive(&[&[MAKEFILE, KCONFIG], entries].concat());
            assert!(prepared(file.path(), directory.path()).is_err(), "{entries:?}");
            assert!(!directory.path().join("escaped").exists(), "{entries:?}");
            assert_eq!(fs::read_to_string(directory.path().join("victim")).unwrap(), "untouched");
        }
    }

    #[test]
    fn what_is_no_source_is_told() {
        let message =
            |source: &Path| prepared(source, tempfile::tempdir().unwrap().path()).unwrap_err().to_string();
        let directory = tempfile::tempdir().unwrap();
        assert!(message(directory.path()).contains("no Makefile"));
        assert!(message(archive(&[MAKEFILE]).path()).contains("no Kconfig"));
        assert!(message(&directory.path().join("none")).contains("cannot open"));
        let text = directory.path().join("text");
        fs::write(&text, "no archive").unwrap();
        assert!(message(&text).contains("not usable as the source"), "{}", message(&text));
    }

    #[test]
    fn the_newest_source_is_found() {
        let directory = tempfile::tempdir().unwrap();
        assert!(matches!(newest(directory.path()), Err(Error::NoSource(_))));
        let names = ["linux-source-6.1.tar.xz", "linux-source-6.12.tar.xz", "linux-source-6.9.tar.xz"];
        for name in names.iter().chain(&["linux-source-7", "linux-source-x.tar.xz", "other.tar"]) {
            fs::write(directory.path().join(name), "").unwrap();
        }
        assert_eq!(newest(directory.path()).unwrap(), directory.path().join(names[1]));
    }

    #[test]
    fn unpacking_stops_when_it_is_to() {
        let (stop, held) = pipe().unwrap();
        drop(held);
        let mut watch = Watch { stop: stop.as_fd(), progress: &mut |_, _| {} };
        let directory = tempfile::tempdir().unwrap();
        let file = archive(&[MAKEFILE, KCONFIG]);
        let result = prepare(file.path(), &directory.path().join("tree"), &mut watch);
        assert!(matches!(result, Err(Error::Interrupted)), "{result:?}");
    }
}
