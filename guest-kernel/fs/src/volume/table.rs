//! A lower layer that is a constant in the kernel: it costs nothing until somebody looks.

/// One file of a table.
pub struct Entry {
    /// Its name.
    pub name: &'static str,
    /// Its permission bits.
    pub permissions: u32,
    /// What it is.
    pub item: Item,
}

/// What a table can hold.
pub enum Item {
    /// A directory.
    Directory(&'static [Entry]),
    /// A symbolic link.
    Symlink(&'static str),
    /// A character device: major, minor.
    CharDevice(u32, u32),
    /// A file with this text.
    Text(&'static str),
}

impl Entry {
    /// A directory that everybody may search.
    pub const fn directory(name: &'static str, entries: &'static [Entry]) -> Self {
        Self { name, permissions: 0o755, item: Item::Directory(entries) }
    }

    /// A symbolic link.
    pub const fn link(name: &'static str, target: &'static str) -> Self {
        Self { name, permissions: 0o777, item: Item::Symlink(target) }
    }

    /// A character device.
    pub const fn device(name: &'static str, permissions: u32, major: u32, minor: u32) -> Self {
        Self { name, permissions, item: Item::CharDevice(major, minor) }
    }

    /// A file that everybody may read.
    pub const fn text(name: &'static str, text: &'static str) -> Self {
        Self { name, permissions: 0o444, item: Item::Text(text) }
    }
}
