//! Where trees come from.

mod directory;
mod presets;

use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};

use crate::builder::{ImageBuilder, ImageInfo, ProgressFn};
use crate::error::{Error, printable};
use crate::options::Options;
use crate::output::Output;

pub use presets::{add_agent_tree, add_default_tree};

/// Something an image is built from.
pub enum Source {
    /// A directory of the host, copied without following symbolic links.
    Directory(PathBuf),
}

impl Source {
    /// What is at `path`: a directory.
    ///
    /// # Errors
    /// If it is none, or cannot be opened.
    pub fn from_path(path: &Path) -> Result<Source, Error> {
        let bytes = path.as_os_str().as_bytes();
        let kind = std::fs::metadata(path).map_err(|error| Error::io("open", bytes, error))?.file_type();
        if kind.is_dir() {
            return Ok(Source::Directory(path.to_owned()));
        }
        Err(Error::BadSource { path: printable(bytes) })
    }
}

impl ImageBuilder<'_> {
    /// Adds everything that a source has, over what is in the image already.
    ///
    /// # Errors
    /// Whatever [`Error`] knows of sources and limits.
    pub fn add(&mut self, source: Source) -> Result<(), Error> {
        match source {
            Source::Directory(path) => directory::add(self, &path),
        }
    }
}

/// Builds an image of one source.
///
/// # Errors
/// Whatever [`Error`] knows of sources, limits and the output; the output is then not an image.
pub fn build<'o>(
    source: Source,
    output: &'o mut dyn Output,
    options: Options,
    progress: Box<ProgressFn<'o>>,
) -> Result<ImageInfo, Error> {
    let mut builder = ImageBuilder::with_progress(output, options, progress)?;
    builder.add(source)?;
    builder.finish()
}
