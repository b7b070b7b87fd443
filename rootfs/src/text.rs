//! Text that people and files share: names, digests.

/// Whether a name is safe as a file's and cannot be taken for a path: 1 to `max` lower-case letters, digits, and `.`, `_`,
/// `-` inside.
#[must_use]
pub fn is_plain_name(name: &[u8], max: usize) -> bool {
    let letter = |byte: &u8| byte.is_ascii_lowercase() || byte.is_ascii_digit();
    let edges = [name.first(), name.last()];
    name.len() <= max
        && name.iter().all(|byte| letter(byte) || b"._-".contains(byte))
        && edges.iter().all(|byte| byte.is_some_and(letter))
}

/// Bytes as hexadecimal digits.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
