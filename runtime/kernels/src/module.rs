//! What a kernel module says of itself: which others it needs.

use crate::elf;

/// A module as the kernel knows it: its name and those that have to be loaded first.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Needs {
    /// Modules without which it cannot be loaded.
    pub needed: Vec<String>,
    /// Modules that it wants loaded before it if they are there (`softdep=pre:`).
    pub wanted: Vec<String>,
}

/// Reads it from the module's `.modinfo` section: strings, each ended by a NUL.
pub fn needs(module: &[u8]) -> Needs {
    let mut needs = Needs::default();
    for line in elf::section(module, b".modinfo").unwrap_or_default().split(|byte| *byte == 0) {
        let Ok(line) = std::str::from_utf8(line) else { continue };
        if let Some(names) = line.strip_prefix("depends=") {
            needs.needed.extend(names.split(',').filter(|name| !name.is_empty()).map(canonical));
        }
        if let Some(words) = line.strip_prefix("softdep=pre:") {
            let words = words.split("post:").next().unwrap_or_default();
            needs.wanted.extend(words.split_ascii_whitespace().map(canonical));
        }
    }
    needs
}

/// A module's name: `-` and `_` are the same to the kernel.
pub fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// The name of the module in a file such as `drivers/virtio/virtio_mmio.ko.xz`. None if it is no module.
pub fn name_of(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (name, suffix) = file.split_once(".ko")?;
    matches!(suffix, "" | ".xz" | ".zst" | ".gz").then(|| canonical(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_files() {
        assert_eq!(name_of("kernel/drivers/char/virtio-rng.ko.xz").as_deref(), Some("virtio_rng"));
        assert_eq!(name_of("erofs.ko").as_deref(), Some("erofs"));
        for path in ["modules.order", "a.ko.bz2", "x/", ""] {
            assert_eq!(name_of(path), None, "{path}");
        }
    }

    #[test]
    fn what_is_no_module_needs_nothing() {
        assert_eq!(needs(b"\x7fELF"), Needs::default());
    }
}
