//! What a kernel module says of itself: which others it needs.

use crate::elf;

/// Most names that a module may give of others: it would be hundreds of thousands of strings otherwise.
const MAX_NEEDS: usize = 1000;

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
            let names = names.split(',').filter(|name| is_name(name));
            needs.needed.extend(names.map(canonical).take(MAX_NEEDS.saturating_sub(needs.needed.len())));
        }
        if let Some(words) = line.strip_prefix("softdep=pre:") {
            let words = words.split("post:").next().unwrap_or_default();
            let names = words.split_ascii_whitespace().filter(|name| is_name(name));
            needs.wanted.extend(names.map(canonical).take(MAX_NEEDS.saturating_sub(needs.wanted.len())));
        }
    }
    needs
}

/// A module's name: `-` and `_` are the same to the kernel.
pub fn canonical(name: &str) -> String {
    name.replace('-', "_")
}

/// Longest name of a module (the kernel's `MODULE_NAME_LEN` is 56, its NUL included).
const MAX_NAME: usize = 55;

/// Whether a module can be called so: what is listed, one a line, and named in messages, is plain.
fn is_name(name: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_alphanumeric() || b"_-.+".contains(&byte);
    (1..=MAX_NAME).contains(&name.len()) && name.bytes().all(plain)
}

/// The name of the module in a file such as `drivers/virtio/virtio_mmio.ko.xz`. None if it is no module.
pub fn name_of(path: &str) -> Option<String> {
    let file = path.rsplit('/').next()?;
    let (name, suffix) = file.split_once(".ko")?;
    (matches!(suffix, "" | ".xz" | ".zst" | ".gz") && is_name(name)).then(|| canonical(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_come_from_files() {
        assert_eq!(name_of("kernel/drivers/char/virtio-rng.ko.xz").as_deref(), Some("virtio_rng"));
        assert_eq!(name_of("erofs.ko").as_deref(), Some("erofs"));
        for path in ["modules.order", "a.ko.bz2", "x/", "", ".ko", "a\nb.ko", "\u{1b}[2J.ko", &"x".repeat(60)]
        {
            assert_eq!(name_of(path), None, "{path}");
        }
    }

    /// A module with this section.
    fn module(info: &[u8]) -> Vec<u8> {
        let names = b"\0.modinfo\0.shstrtab\0";
        let mut file = vec![0; 64];
        file[..7].copy_from_slice(b"\x7fELF\x02\x01\x01");
        (file[16], file[18], file[20], file[52], file[58], file[60], file[62]) = (1, 62, 1, 64, 64, 3, 2);
        file.extend(info);
        file.extend(names);
        file.resize(file.len().next_multiple_of(8), 0);
        let table = file.len() as u64;
        file[40..48].copy_from_slice(&table.to_le_bytes());
        for (name, kind, at, len) in
            [(0, 0, 0, 0), (1, 1, 64, info.len()), (10, 3, 64 + info.len(), names.len())]
        {
            file.extend([[name, 0, 0, 0], [kind, 0, 0, 0]].concat());
            for field in [0, 0, at as u64, len as u64, 0, 1, 0] {
                file.extend(field.to_le_bytes());
            }
        }
        file
    }

    #[test]
    fn a_module_says_what_it_needs_up_to_a_limit() {
        let found = needs(&module(b"license=GPL\0depends=a-b,c\0softdep=pre: x y post: z\0"));
        assert_eq!(
            (found.needed, found.wanted),
            (vec!["a_b".into(), "c".into()], vec!["x".into(), "y".into()])
        );
        let many = format!("depends={}", "m,".repeat(100_000));
        assert_eq!(needs(&module(many.as_bytes())).needed.len(), MAX_NEEDS);
    }

    #[test]
    fn what_is_no_module_needs_nothing() {
        assert_eq!(needs(b"\x7fELF"), Needs::default());
    }
}
