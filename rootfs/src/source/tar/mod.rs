//! A tar stream as a source: POSIX (ustar, pax) and GNU archives, sparse files among them.
//!
//! Nothing is ever extracted on the host: an entry's path is a place in the image's tree and nothing else. Leading
//! slashes are dropped, `..` is refused, and so is a path that leads through a symbolic link. A later entry replaces an
//! earlier one of the same name.

mod archive;
mod header;
mod pax;
mod sparse;

use std::io::Read;

use crate::builder::ImageBuilder;
use crate::error::Error;
use crate::source::decompress;
use archive::{Archive, Entry, Kind};

/// Adds all entries of an archive.
pub(super) fn add(builder: &mut ImageBuilder<'_>, stream: Box<dyn Read + '_>) -> Result<(), Error> {
    let mut archive = Archive::new(decompress::open(stream)?);
    while let Some(entry) = archive.next()? {
        add_entry(builder, &mut archive, entry)?;
    }
    Ok(())
}

fn add_entry<R: Read>(
    builder: &mut ImageBuilder<'_>,
    archive: &mut Archive<R>,
    entry: Entry,
) -> Result<(), Error> {
    let Entry { path, meta, kind, xattrs } = entry;
    if xattrs {
        builder.note_xattrs();
    }
    match kind {
        Kind::File(None) => {
            builder.reserve(archive.stored())?;
            builder.file(&path, meta, &mut archive.content())
        }
        Kind::File(Some(map)) => {
            builder.reserve(map.size())?;
            builder.file(&path, meta, &mut map.expand(archive.content()))
        }
        Kind::HardLink(target) => builder.hard_link(&path, &target),
        Kind::Symlink(target) => builder.symlink(&path, meta, &target),
        Kind::Directory => builder.directory(&path, meta),
        Kind::Special(special) => builder.special(&path, meta, special),
    }
}
