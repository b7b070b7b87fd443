//! `--input` and `--output`: which file goes where.

use ampoule_protocol::CBytes;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::{OsStrExt, OsStringExt};
use std::path::PathBuf;

/// `--input HOSTFILE:GUESTPATH`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InputArg {
    /// File on the host.
    pub host: PathBuf,
    /// Absolute path in the guest.
    pub guest: CBytes,
}

/// `--output GUESTPATH:HOSTFILE`
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OutputArg {
    /// Absolute path in the guest.
    pub guest: CBytes,
    /// File on the host.
    pub host: PathBuf,
}

impl InputArg {
    /// Parses the argument. The guest's path begins at the last `:/`, so the host's may have colons.
    pub fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let colon = bytes
            .windows(2)
            .rposition(|pair| pair == b":/")
            .ok_or("not of the form HOSTFILE:/GUEST/PATH (the guest's path is absolute)")?;
        let (host, guest) = split_at(bytes, colon);
        Ok(Self { host: host_path(host)?, guest: guest_path(guest)? })
    }
}

impl OutputArg {
    /// Parses the argument. The guest's path ends at the first colon.
    pub fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        let colon =
            bytes.iter().position(|&byte| byte == b':').ok_or("not of the form /GUEST/PATH:HOSTFILE")?;
        let (guest, host) = split_at(bytes, colon);
        Ok(Self { guest: guest_path(guest)?, host: host_path(host)? })
    }
}

/// The parts before and after the byte at `at`.
fn split_at(bytes: &[u8], at: usize) -> (&[u8], &[u8]) {
    (bytes.get(..at).unwrap_or_default(), bytes.get(at + 1..).unwrap_or_default())
}

fn host_path(bytes: &[u8]) -> Result<PathBuf, String> {
    match bytes {
        [] => Err("the host's path is empty".to_owned()),
        _ => Ok(OsString::from_vec(bytes.to_vec()).into()),
    }
}

fn guest_path(bytes: &[u8]) -> Result<CBytes, String> {
    match bytes {
        [b'/', .., b'/'] | [b'/'] => Err("the guest's path names a directory, not a file".to_owned()),
        [b'/', ..] => CBytes::new(bytes).map_err(|error| error.to_string()),
        _ => Err("the guest's path is not absolute".to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn input_and_output_split_where_the_guests_path_is() {
        let input = InputArg::parse(OsStr::new("a:b:/c/d")).unwrap();
        assert_eq!((input.host, input.guest.as_bytes()), (PathBuf::from("a:b"), &b"/c/d"[..]));
        let output = OutputArg::parse(OsStr::new("/c/d:a:b")).unwrap();
        assert_eq!((output.host, output.guest.as_bytes()), (PathBuf::from("a:b"), &b"/c/d"[..]));
        let raw = InputArg::parse(OsStr::from_bytes(b"\xff:/\xfe")).unwrap();
        assert_eq!(raw.guest.as_bytes(), b"/\xfe");
    }

    #[test]
    fn what_is_not_a_pair_of_files_is_refused() {
        for text in ["", "a", ":/b", "a:b", "a:/", "a:/b/"] {
            assert!(InputArg::parse(OsStr::new(text)).is_err(), "{text:?} was taken as input");
        }
        for text in ["", "/a", "/a:", "a:b", ":b", "/:b", "/a/:b"] {
            assert!(OutputArg::parse(OsStr::new(text)).is_err(), "{text:?} was taken as output");
        }
    }
}
