//! Strings and lists with limits: a value of these types is within them, wherever it came from.

use crate::error::Error;
use alloc::string::String;
use alloc::vec::Vec;
use core::fmt;
use core::marker::PhantomData;
use core::ops::Deref;
use serde::de::{self, Deserializer, SeqAccess, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// Longest [`CBytes`] in bytes: what `execve` takes as one argument (`MAX_ARG_STRLEN` of Linux, with its NUL).
pub const MAX_CBYTES: usize = 128 * 1024 - 1;
/// Longest [`Text`] in bytes.
pub const MAX_TEXT: usize = 1024;
/// Most arguments or environment variables of a job.
pub const MAX_STRINGS: usize = 65_536;

/// Bytes without a NUL, at most [`MAX_CBYTES`] of them: a path, an argument, a name. Not necessarily UTF-8.
#[derive(Clone, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CBytes(Vec<u8>);

impl CBytes {
    /// Checks and takes `bytes`.
    pub fn new(bytes: impl Into<Vec<u8>>) -> Result<Self, Error> {
        let bytes = bytes.into();
        Self::check(&bytes).map_err(|problem| Error::InvalidValue { what: "string", problem })?;
        Ok(Self(bytes))
    }

    /// The bytes, without a terminating NUL.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The bytes themselves.
    pub fn into_bytes(self) -> Vec<u8> {
        self.0
    }

    fn check(bytes: &[u8]) -> Result<(), &'static str> {
        if bytes.len() > MAX_CBYTES {
            return Err("longer than 128 KiB");
        }
        if bytes.contains(&0) {
            return Err("contains a NUL byte");
        }
        Ok(())
    }
}

impl Deref for CBytes {
    type Target = [u8];
    fn deref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Debug for CBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "\"{}\"", self.0.escape_ascii())
    }
}

/// Shows the bytes with everything outside printable ASCII escaped, so that it is safe on a terminal.
impl fmt::Display for CBytes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}", self.0.escape_ascii())
    }
}

impl Serialize for CBytes {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_bytes(&self.0)
    }
}

impl<'de> Deserialize<'de> for CBytes {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Bytes;
        impl Visitor<'_> for Bytes {
            type Value = CBytes;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("bytes without NUL")
            }
            fn visit_bytes<E: de::Error>(self, bytes: &[u8]) -> Result<CBytes, E> {
                CBytes::check(bytes).map_err(E::custom)?;
                Ok(CBytes(bytes.to_vec()))
            }
        }
        deserializer.deserialize_bytes(Bytes)
    }
}

/// One environment variable, `NAME=VALUE`, with a name that is not empty.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(try_from = "CBytes", into = "CBytes")]
pub struct EnvVar(CBytes);

impl EnvVar {
    /// The variable from its two halves.
    pub fn new(name: &[u8], value: &[u8]) -> Result<Self, Error> {
        let mut bytes = Vec::with_capacity(name.len() + value.len() + 1);
        bytes.extend_from_slice(name);
        bytes.push(b'=');
        bytes.extend_from_slice(value);
        if name.contains(&b'=') {
            return Err(Error::InvalidValue { what: "environment variable", problem: "`=` in its name" });
        }
        Self::try_from(CBytes::new(bytes)?)
    }

    /// `NAME=VALUE`.
    pub fn as_bytes(&self) -> &[u8] {
        &self.0
    }

    /// The part before the first `=`.
    pub fn name(&self) -> &[u8] {
        self.0.split(|&byte| byte == b'=').next().unwrap_or_default()
    }

    /// The part after the first `=`.
    pub fn value(&self) -> &[u8] {
        self.0.get(self.name().len() + 1..).unwrap_or_default()
    }
}

impl TryFrom<CBytes> for EnvVar {
    type Error = Error;
    fn try_from(bytes: CBytes) -> Result<Self, Error> {
        match bytes.iter().position(|&byte| byte == b'=') {
            Some(1..) => Ok(Self(bytes)),
            _ => Err(Error::InvalidValue {
                what: "environment variable",
                problem: "not of the form NAME=VALUE",
            }),
        }
    }
}

impl From<EnvVar> for CBytes {
    fn from(var: EnvVar) -> CBytes {
        var.0
    }
}

/// At most [`MAX_TEXT`] bytes of UTF-8 for people to read. `Display` escapes control characters, so that a guest's
/// text cannot play with the host's terminal.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize)]
pub struct Text(String);

impl Text {
    /// The text, cut at a character boundary if it is too long.
    pub fn new(text: &str) -> Self {
        let mut end = text.len().min(MAX_TEXT);
        while !text.is_char_boundary(end) {
            end -= 1;
        }
        Self(text.get(..end).unwrap_or_default().into())
    }

    /// The text as it was sent: not safe to print on a terminal.
    pub fn as_raw_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for Text {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.chars().try_for_each(|character| ampoule_text::push(f, character))
    }
}

impl<'de> Deserialize<'de> for Text {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = <&str>::deserialize(deserializer)?;
        match text.len() <= MAX_TEXT {
            true => Ok(Self(text.into())),
            false => Err(de::Error::custom("text too long")),
        }
    }
}

/// Between `MIN` and `MAX` values. Decoding allocates for values that are there, never for a count that is claimed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(transparent)]
pub struct List<T, const MIN: usize, const MAX: usize>(Vec<T>);

impl<T, const MIN: usize, const MAX: usize> List<T, MIN, MAX> {
    /// Checks the count and takes the values.
    pub fn new(values: Vec<T>) -> Result<Self, Error> {
        match values.len() {
            len if len < MIN => Err(Error::InvalidValue { what: "list", problem: "too few elements" }),
            len if len > MAX => Err(Error::InvalidValue { what: "list", problem: "too many elements" }),
            _ => Ok(Self(values)),
        }
    }

    /// The values.
    pub fn into_vec(self) -> Vec<T> {
        self.0
    }
}

impl<T, const MAX: usize> Default for List<T, 0, MAX> {
    fn default() -> Self {
        Self(Vec::new())
    }
}

impl<T, const MIN: usize, const MAX: usize> Deref for List<T, MIN, MAX> {
    type Target = [T];
    fn deref(&self) -> &[T] {
        &self.0
    }
}

impl<'de, T: Deserialize<'de>, const MIN: usize, const MAX: usize> Deserialize<'de> for List<T, MIN, MAX> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Values<T, const MIN: usize, const MAX: usize>(PhantomData<T>);
        impl<'de, T: Deserialize<'de>, const MIN: usize, const MAX: usize> Visitor<'de> for Values<T, MIN, MAX> {
            type Value = List<T, MIN, MAX>;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                write!(f, "{MIN} to {MAX} values")
            }
            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Self::Value, A::Error> {
                let mut values = Vec::new();
                while let Some(value) = seq.next_element()? {
                    if values.len() == MAX {
                        return Err(de::Error::custom("too many elements"));
                    }
                    values.push(value);
                }
                List::new(values).map_err(de::Error::custom)
            }
        }
        deserializer.deserialize_seq(Values(PhantomData))
    }
}
