//! The records of pax extended headers: `LENGTH KEY=VALUE\n`, again and again.

use crate::options::Time;

/// What pax records said about the next entry (or all, for a global header).
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Records {
    pub(super) path: Option<Vec<u8>>,
    pub(super) link: Option<Vec<u8>>,
    pub(super) size: Option<u64>,
    pub(super) uid: Option<u64>,
    pub(super) gid: Option<u64>,
    pub(super) mtime: Option<Time>,
    /// There are extended attributes.
    pub(super) xattrs: bool,
    pub(super) sparse: SparseRecords,
}

/// The `GNU.sparse.*` records.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct SparseRecords {
    /// The format's major version; 1: the map stands before the data.
    pub(super) major: Option<u64>,
    /// The entry's true name.
    pub(super) name: Option<Vec<u8>>,
    /// The file's length with its holes.
    pub(super) size: Option<u64>,
    /// Version 0: offsets and lengths, in turn.
    pub(super) map: Vec<u64>,
}

/// Adds the records of one header to `records`; they override what was there.
pub(super) fn parse(mut text: &[u8], records: &mut Records) -> Result<(), &'static str> {
    const BAD: &str = "a pax record is malformed";
    while !text.is_empty() {
        let space = text.iter().position(|&byte| byte == b' ').ok_or(BAD)?;
        let length = decimal(text.get(..space).unwrap_or_default()).ok_or(BAD)?;
        let length = usize::try_from(length).map_err(|_| BAD)?;
        let (record, rest) = text.split_at_checked(length).ok_or(BAD)?;
        let record = record.get(space + 1..).and_then(|record| record.strip_suffix(b"\n")).ok_or(BAD)?;
        let equals = record.iter().position(|&byte| byte == b'=').ok_or(BAD)?;
        let (key, value) = record.split_at_checked(equals).ok_or(BAD)?;
        records.set(key, value.get(1..).unwrap_or_default())?;
        text = rest;
    }
    Ok(())
}

impl Records {
    /// An empty value takes back what a global header said.
    fn set(&mut self, key: &[u8], value: &[u8]) -> Result<(), &'static str> {
        const BAD: &str = "a pax record holds no number";
        let text = || (!value.is_empty()).then(|| value.to_vec());
        let number = || match value {
            b"" => Ok(None),
            _ => decimal(value).map(Some).ok_or(BAD),
        };
        match key {
            b"path" => self.path = text(),
            b"linkpath" => self.link = text(),
            b"size" => self.size = number()?,
            b"uid" => self.uid = number()?,
            b"gid" => self.gid = number()?,
            b"mtime" if value.is_empty() => self.mtime = None,
            b"mtime" => self.mtime = Some(time(value).ok_or("a pax record holds no time")?),
            b"GNU.sparse.major" => self.sparse.major = number()?,
            b"GNU.sparse.name" => self.sparse.name = text(),
            b"GNU.sparse.size" | b"GNU.sparse.realsize" => self.sparse.size = number()?,
            b"GNU.sparse.offset" | b"GNU.sparse.numbytes" => {
                self.sparse.map.push(decimal(value).ok_or(BAD)?);
            }
            b"GNU.sparse.map" => {
                let numbers = value.split(|&byte| byte == b',').map(decimal);
                self.sparse.map = numbers.collect::<Option<_>>().ok_or(BAD)?;
            }
            _ if key.starts_with(b"SCHILY.xattr.") || key.starts_with(b"LIBARCHIVE.xattr.") => {
                self.xattrs = true;
            }
            _ => {}
        }
        Ok(())
    }
}

/// Decimal digits, at least one.
pub(super) fn decimal(text: &[u8]) -> Option<u64> {
    if text.is_empty() {
        return None;
    }
    text.iter().try_fold(0u64, |value, &digit| match digit {
        b'0'..=b'9' => value.checked_mul(10)?.checked_add(u64::from(digit - b'0')),
        _ => None,
    })
}

/// Seconds since 1970 with an optional sign and fraction; what is finer than nanoseconds is cut, towards the past.
fn time(text: &[u8]) -> Option<Time> {
    let (negative, text) = match text.strip_prefix(b"-") {
        Some(rest) => (true, rest),
        None => (false, text),
    };
    let mut halves = text.splitn(2, |&byte| byte == b'.');
    let seconds = i64::try_from(decimal(halves.next()?)?).ok()?;
    let fraction = halves.next().unwrap_or_default();
    let digits = fraction.iter().all(u8::is_ascii_digit).then_some(fraction)?;
    let digit = |place: usize| u32::from(digits.get(place).map_or(0, |digit| digit - b'0'));
    let nanoseconds = (0..9).fold(0, |value, place| value * 10 + digit(place));
    let finer = digits.iter().skip(9).any(|&digit| digit != b'0');
    if !negative {
        return Some(Time { seconds, nanoseconds });
    }
    // -1.25 is three quarters after -2.
    Some(match nanoseconds + u32::from(finer) {
        0 => Time::from_seconds(-seconds),
        below => Time { seconds: -seconds - 1, nanoseconds: 1_000_000_000 - below },
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_have_signs_and_fractions() {
        assert_eq!(time(b"12"), Some(Time::from_seconds(12)));
        assert_eq!(time(b"12.5"), Some(Time { seconds: 12, nanoseconds: 500_000_000 }));
        assert_eq!(time(b"-1.25"), Some(Time { seconds: -2, nanoseconds: 750_000_000 }));
        assert_eq!(time(b"-3"), Some(Time::from_seconds(-3)));
        assert_eq!(time(b"0.0000000019"), Some(Time { seconds: 0, nanoseconds: 1 }));
        assert_eq!(time(b"-0.0000000001"), Some(Time { seconds: -1, nanoseconds: 999_999_999 }));
        assert_eq!(time(b""), None);
        assert_eq!(time(b"1.x"), None);
        assert_eq!(time(b"99999999999999999999"), None);
    }

    #[test]
    fn records_may_hold_anything_but_nonsense() {
        let mut records = Records::default();
        parse(b"12 path=a\nb\n11 size=17\n24 SCHILY.xattr.user.x=\n", &mut records).expect("good records");
        assert_eq!(records.path.as_deref(), Some(b"a\nb".as_slice()));
        assert_eq!(records.size, Some(17));
        assert!(records.xattrs);
        parse(b"8 path=\n", &mut records).expect("a record that takes back");
        assert_eq!(records.path, None);
        for bad in [b"x".as_slice(), b"5 a=b", b"99 a=b\n", b"3 a=b\n", b"7 ab\n  ", b"0 ", b"9 size=-1\n"] {
            assert!(parse(bad, &mut Records::default()).is_err(), "{}", bad.escape_ascii());
        }
    }
}
