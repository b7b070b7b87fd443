//! Builds, checks and lists ampoule's images: read-only EROFS file systems that a VM maps instead of reading.
//!
//! An image is made by an [`ImageBuilder`], by hand or from a [`Source`] (a directory, a tar stream): file data goes out
//! as it comes, each file in 4 KiB blocks of its own and uncompressed, so that a guest maps the host's page cache; names
//! and inodes follow at the end. [`build`] does this for one source, [`build_file`] so that no half image is ever seen. What comes out depends on the source alone.
//!
//! Neighbours: `ampoule-engine` boots the images, the command line builds and lists them; the guest kernel, or Linux,
//! reads them. `docs/images.md` tells what users should know.

mod builder;
mod cpio;
mod data;
mod digest;
mod directory;
mod error;
mod image;
mod inspect;
mod kernel_name;
mod layout;
mod ondisk;
mod options;
mod output;
mod publish;
mod source;
mod text;
mod tree;
mod write;

pub use builder::{ImageBuilder, ImageInfo, Progress, ProgressFn};
pub use cpio::CpioWriter;
pub use error::{Error, FeatureBits, ImageProblem, PathProblem, printable};
pub use image::{Image, Input};
pub use inspect::{ListedEntry, ListedKind};
pub use kernel_name::KernelName;
pub use options::{Limits, Options, Owners, Time, Times};
pub use output::Output;
pub use publish::build_file;
pub use source::{Source, add_agent_tree, add_default_tree, build};
pub use text::{hex, is_plain_name};
pub use tree::{DeviceNumber, Meta, Special};
