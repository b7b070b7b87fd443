//! The outer archive of a Debian package (`ar`), as far as those have it: plain members one after the other, with short names.
//!
//! Source: ar(5), deb(5). Tables of symbols and of long names, which packages do not have, are members like others here.

use crate::Error;
use std::io::{self, Read};

/// What an archive begins with.
pub const MAGIC: [u8; 8] = *b"!<arch>\n";

const HEADER: usize = 60;
/// Fields of a header: their first byte and the one behind.
const NAME: std::ops::Range<usize> = 0..16;
const LEN: std::ops::Range<usize> = 48..58;
const END: [u8; 2] = *b"`\n";

/// An archive behind its magic.
pub struct Archive<R> {
    what: String,
    stream: R,
}

impl<R: Read> Archive<R> {
    /// An archive; `what` is for messages.
    pub fn open(what: &str, mut stream: R) -> Result<Self, Error> {
        let mut magic = [0; MAGIC.len()];
        let read = stream.read_exact(&mut magic);
        let archive = Self { what: what.to_owned(), stream };
        match (read, magic == MAGIC) {
            (Ok(()), true) => Ok(archive),
            (Ok(()), false) => Err(archive.damaged("it does not begin as an archive")),
            (Err(error), _) => Err(archive.failed(error)),
        }
    }

    /// Goes to the member that `is_it` says, and gives its name and content. None if there is no such member.
    pub fn find(mut self, is_it: impl Fn(&str) -> bool) -> Result<Option<(String, io::Take<R>)>, Error> {
        while let Some((name, len)) = self.header()? {
            if is_it(&name) {
                return Ok(Some((name, self.stream.take(len))));
            }
            // Members begin at even offsets.
            let rest = len.saturating_add(len % 2);
            let skipped = io::copy(&mut self.stream.by_ref().take(rest), &mut io::sink());
            if skipped.map_err(|error| self.failed(error))? < len {
                return Err(self.damaged("a member ends within its content (truncated?)"));
            }
        }
        Ok(None)
    }

    /// Name and length of the next member; none at the end.
    fn header(&mut self) -> Result<Option<(String, u64)>, Error> {
        let mut header = Vec::with_capacity(HEADER);
        let read = self.stream.by_ref().take(HEADER as u64).read_to_end(&mut header);
        match read.map_err(|error| self.failed(error))? {
            0 => return Ok(None),
            HEADER if header.ends_with(&END) => {}
            _ => return Err(self.damaged("a member has no header (truncated?)")),
        }
        let field =
            |range| header.get(range).and_then(|bytes| std::str::from_utf8(bytes).ok()).map(str::trim_end);
        // `u64` takes a sign, which no archive has.
        let len = field(LEN).filter(|text| !text.starts_with('+')).and_then(|text| text.parse().ok());
        match (field(NAME), len) {
            // Some programs end names with a slash.
            (Some(name), Some(len)) => Ok(Some((name.strip_suffix('/').unwrap_or(name).to_owned(), len))),
            _ => Err(self.damaged("the header of a member is not one")),
        }
    }

    fn damaged(&self, problem: &str) -> Error {
        Error::Package { what: self.what.clone(), problem: problem.into() }
    }

    fn failed(&self, error: io::Error) -> Error {
        Error::Package { what: self.what.clone(), problem: error.to_string() }
    }
}

/// An archive of these members.
#[cfg(test)]
pub fn archive(members: &[(&str, &[u8])]) -> Vec<u8> {
    let mut bytes = MAGIC.to_vec();
    for (name, content) in members {
        bytes.extend(
            format!("{name:<16}{:<12}{:<6}{:<6}{:<8}{:<10}`\n", 0, 0, 0, 100_644, content.len()).bytes(),
        );
        bytes.extend(*content);
        bytes.resize(bytes.len().next_multiple_of(2), b'\n');
    }
    bytes
}

#[cfg(test)]
mod tests {
    use super::*;

    fn find(bytes: &[u8], wanted: &str) -> Result<Option<String>, Error> {
        let found = Archive::open("test", bytes)?.find(|name| name == wanted)?;
        Ok(found.map(|(_, mut content)| {
            let mut text = String::new();
            content.read_to_string(&mut text).unwrap();
            text
        }))
    }

    #[test]
    fn members_are_found_by_name() {
        let bytes = archive(&[("debian-binary", b"2.0\n"), ("odd/", b"odd"), ("data.tar", b"data")]);
        for (name, content) in
            [("debian-binary", Some("2.0\n")), ("odd", Some("odd")), ("data.tar", Some("data")), ("x", None)]
        {
            assert_eq!(find(&bytes, name).unwrap().as_deref(), content, "{name}");
        }
    }

    #[test]
    fn what_is_damaged_is_refused() {
        let whole = archive(&[("a", b"some content"), ("b", b"")]);
        // After the magic and after the first member, an archive may end.
        let ends = [MAGIC.len(), whole.len() - HEADER, whole.len()];
        for len in 0..=whole.len() {
            assert_eq!(find(&whole[..len], "none").is_ok(), ends.contains(&len), "{len} bytes");
        }
        for len in ["-1", "+1", "x", "", "99999999999999999999", "9999999999"] {
            let mut bytes = whole.clone();
            bytes[8..][LEN].copy_from_slice(format!("{len:<10.10}").as_bytes());
            assert!(find(&bytes, "none").is_err(), "{len}");
        }
    }

    #[test]
    fn tables_of_names_are_members_like_others() {
        // With which a reader of GNU's long names may be led beyond its table.
        let bytes = archive(&[("/15", b""), ("//", b"x"), ("/", b""), ("#1/5", b"y"), ("data.tar", b"data")]);
        assert_eq!(find(&bytes, "data.tar").unwrap().as_deref(), Some("data"));
    }
}
