//! The part of the file systems that does not depend on any one of them.

mod context;
mod credentials;
mod inode;
mod mount;
mod mounting;
mod names;
mod open;
mod opened;
mod rename;
mod status;
#[cfg(test)]
mod tests;
mod walk;

pub use context::{Context, PathText};
pub use credentials::{Access, Credentials};
pub use inode::{
    Attributes, Changes, FileSystem, Inode, Kind, NewNode, RenameMode, SetTime, Statfs, Target, WriterChange,
};
pub use mount::{Location, Mount, MountFlags};
pub use mounting::{mountinfo_text, mounts_text};
pub use open::Opening;
pub(crate) use opened::vfs_file;
pub use opened::{VfsFile, location};
pub use status::WritersDenied;
pub(crate) use status::without_set_ids;
pub use walk::Follow;
