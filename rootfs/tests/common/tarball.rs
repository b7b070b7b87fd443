//! Writes tar archives byte by byte, also those that no honest program writes.

/// An archive in the making.
#[derive(Default)]
pub struct Tarball(Vec<u8>);

/// A header before its checksum is set.
pub struct Header(pub [u8; 512]);

impl Header {
    pub fn new(kind: u8, name: &[u8], size: u64) -> Self {
        let mut header = Self([0; 512]);
        header.put(0, name);
        header.put(100, b"0000644\0");
        header.put(108, b"0000000\0");
        header.put(116, b"0000000\0");
        header.put(124, format!("{size:011o}\0").as_bytes());
        header.put(136, b"00000000017\0");
        header.put(156, &[kind]);
        header.put(257, b"ustar\x0000");
        header
    }

    pub fn put(&mut self, offset: usize, value: &[u8]) {
        self.0[offset..offset + value.len()].copy_from_slice(value);
    }

    pub fn link(mut self, target: &[u8]) -> Self {
        self.put(157, target);
        self
    }

    pub fn with(mut self, offset: usize, value: &[u8]) -> Self {
        self.put(offset, value);
        self
    }

    fn sealed(mut self) -> [u8; 512] {
        self.put(148, b"        ");
        let sum: u32 = self.0.iter().map(|&byte| u32::from(byte)).sum();
        self.put(148, format!("{sum:06o}\0 ").as_bytes());
        self.0
    }
}

impl Tarball {
    /// A header and, padded, what follows it.
    pub fn entry(mut self, header: Header, data: &[u8]) -> Self {
        self.0.extend(header.sealed());
        self.raw(data)
    }

    /// Bytes as they are, padded to a block.
    pub fn raw(mut self, data: &[u8]) -> Self {
        self.0.extend(data);
        self.0.resize(self.0.len().next_multiple_of(512), 0);
        self
    }

    pub fn file(self, name: &[u8], data: &[u8]) -> Self {
        self.entry(Header::new(b'0', name, data.len() as u64), data)
    }

    pub fn directory(self, name: &[u8]) -> Self {
        self.entry(Header::new(b'5', name, 0).with(100, b"0000755\0"), b"")
    }

    pub fn symlink(self, name: &[u8], target: &[u8]) -> Self {
        self.entry(Header::new(b'2', name, 0).link(target), b"")
    }

    pub fn hard_link(self, name: &[u8], target: &[u8]) -> Self {
        self.entry(Header::new(b'1', name, 0).link(target), b"")
    }

    pub fn pax(self, records: &[(&str, &str)]) -> Self {
        let text: String = records.iter().map(|(key, value)| record(key, value)).collect();
        self.entry(Header::new(b'x', b"pax", text.len() as u64), text.as_bytes())
    }

    /// The archive with its end mark.
    pub fn finish(mut self) -> Vec<u8> {
        self.0.extend([0; 1024]);
        self.0
    }

    /// The archive as it is.
    pub fn unfinished(self) -> Vec<u8> {
        self.0
    }
}

/// A pax record: its length counts its own digits.
fn record(key: &str, value: &str) -> String {
    let rest = key.len() + value.len() + 3;
    let length =
        (1..).map(|digits| rest + digits).find(|l| l.to_string().len() + rest == *l).expect("a length");
    format!("{length} {key}={value}\n")
}
