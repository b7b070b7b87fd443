//! `--env` and `--env-file`: the job's environment.

use ampoule_protocol::EnvVar;
use std::ffi::{OsStr, OsString};
use std::os::unix::ffi::OsStrExt;

/// `--env NAME=VALUE`, or `--env NAME` for the value that `ampoule` itself has.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum EnvArg {
    /// A name and a value.
    Set(EnvVar),
    /// A name whose value is taken from the environment of `ampoule`, if it is there.
    Inherit(OsString),
}

impl EnvArg {
    /// Parses the argument.
    pub fn parse(text: &OsStr) -> Result<Self, String> {
        let bytes = text.as_bytes();
        match bytes.iter().position(|&byte| byte == b'=') {
            Some(at) => {
                let (name, value) = bytes.split_at(at);
                set(name, value.get(1..).unwrap_or_default()).map(Self::Set)
            }
            None => set(bytes, b"").map(|_| Self::Inherit(text.to_owned())),
        }
    }

    /// The variable, if there is one.
    pub fn resolve(self, host: impl Fn(&OsStr) -> Option<OsString>) -> Result<Option<EnvVar>, String> {
        match self {
            Self::Set(var) => Ok(Some(var)),
            Self::Inherit(name) => match host(&name) {
                Some(value) => set(name.as_bytes(), value.as_bytes()).map(Some),
                None => Ok(None),
            },
        }
    }
}

/// Parses a file as `docker run --env-file` takes it: a variable a line, empty lines and lines that begin with `#` are
/// skipped, nothing is unquoted.
pub fn parse_env_file(content: &[u8]) -> Result<Vec<EnvArg>, String> {
    let mut vars = Vec::new();
    for (index, line) in content.split(|&byte| byte == b'\n').enumerate() {
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.is_empty() || line.starts_with(b"#") {
            continue;
        }
        let var =
            EnvArg::parse(OsStr::from_bytes(line)).map_err(|why| format!("line {}: {why}", index + 1))?;
        vars.push(var);
    }
    Ok(vars)
}

fn set(name: &[u8], value: &[u8]) -> Result<EnvVar, String> {
    EnvVar::new(name, value).map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_is_given_or_inherited() {
        let host = |name: &OsStr| (name == "HERE").then(|| OsString::from("x=y"));
        let resolve = |text: &str| EnvArg::parse(OsStr::new(text)).unwrap().resolve(host).unwrap();
        assert_eq!(resolve("A=b=c").unwrap().as_bytes(), b"A=b=c");
        assert_eq!(resolve("A=").unwrap().as_bytes(), b"A=");
        assert_eq!(resolve("HERE").unwrap().as_bytes(), b"HERE=x=y");
        assert_eq!(resolve("GONE"), None);
        assert!(EnvArg::parse(OsStr::new("=x")).is_err());
        assert!(EnvArg::parse(OsStr::new("")).is_err());
    }

    #[test]
    fn an_env_file_is_a_variable_a_line() {
        let vars = parse_env_file(b"# comment\n\nA=1\r\nB='2'\n").unwrap();
        let text: Vec<_> = vars.iter().map(|var| format!("{var:?}")).collect();
        assert_eq!(vars.len(), 2, "{text:?}");
        assert!(parse_env_file(b"A=1\n=2\n").unwrap_err().starts_with("line 2:"));
        assert!(parse_env_file(b"A=1\0\n").is_err());
    }
}
