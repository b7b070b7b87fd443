//! Where trees come from.

mod decompress;
mod directory;
mod presets;
mod tar;

use std::fs::File;
use std::io::{BufReader, Read};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::builder::{ImageBuilder, ImageInfo, ProgressFn};
use crate::error::{Error, printable};
use crate::options::Options;
use crate::output::Output;

pub use presets::{add_agent_tree, add_default_tree};

/// Something an image is built from.
pub enum Source<'s> {
    /// A directory of the host, copied without following symbolic links.
    Directory(PathBuf),
    /// A tar stream; compressed ones are recognised (with feature `tar-compression`).
    Tar(Box<dyn Read + 's>),
}

impl Source<'_> {
    /// What is at `path`: a directory, or a file that must be a tar archive.
    ///
    /// # Errors
    /// If it is neither, or cannot be opened.
    pub fn from_path(path: &Path) -> Result<Source<'static>, Error> {
        let bytes = path.as_os_str().as_bytes();
        let kind = std::fs::metadata(path).map_err(|error| Error::io("open", bytes, error))?.file_type();
        if kind.is_dir() {
            return Ok(Source::Directory(path.to_owned()));
        }
        if !kind.is_file() {
            return Err(Error::BadSource { path: printable(bytes) });
        }
        let file = File::open(path).map_err(|error| Error::io("open", bytes, error))?;
        Ok(Source::Tar(Box::new(BufReader::with_capacity(256 << 10, file))))
    }
}

impl ImageBuilder<'_> {
    /// Adds everything that a source has, over what is in the image already.
    ///
    /// # Errors
    /// Whatever [`Error`] knows of sources and limits.
    pub fn add(&mut self, source: Source<'_>) -> Result<(), Error> {
        match source {
            Source::Directory(path) => directory::add(self, &path),
            Source::Tar(stream) => tar::add(self, stream),
        }
    }
}

/// Builds an image of one source.
///
/// # Errors
/// Whatever [`Error`] knows of sources, limits and the output; the output is then not an image.
pub fn build<'o>(
    source: Source<'_>,
    output: &'o mut dyn Output,
    options: Options,
    progress: Box<ProgressFn<'o>>,
) -> Result<ImageInfo, Error> {
    let mut builder = ImageBuilder::with_progress(output, options, progress)?;
    builder.add(source)?;
    builder.finish()
}
