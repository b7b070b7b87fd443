//! Files of kernel options, as Linux's configuration system writes and reads them.

use crate::Error;
use std::collections::BTreeMap;
use std::fmt;

const PREFIX: &str = "CONFIG_";
const UNSET: &str = " is not set";

/// Options and their values, in the order of a file. An option is there once, with what was said last.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Fragment(Vec<(String, Option<String>)>);

impl Fragment {
    /// Reads `CONFIG_NAME=value` and `# CONFIG_NAME is not set`; other comments and empty lines say nothing. `what` is for
    /// messages.
    pub fn parse(what: &str, text: &str) -> Result<Self, Error> {
        let mut options = Vec::new();
        for (index, line) in text.lines().enumerate() {
            match option(line.trim()) {
                Some(option) => options.push(option),
                None if line.trim().is_empty() || line.starts_with('#') => {}
                None => {
                    let text = line.chars().take(80).collect();
                    return Err(Error::Fragment { what: what.into(), line: index + 1, text });
                }
            }
        }
        Ok(Self::default().with(Self(options)))
    }

    /// These options with others over them. The others come last: among options of which only one can be, that counts.
    #[must_use]
    pub fn with(self, over: Self) -> Self {
        let last: BTreeMap<&str, usize> =
            over.0.iter().enumerate().map(|(index, (name, _))| (name.as_str(), index)).collect();
        let kept = self.0.iter().filter(|(name, _)| !last.contains_key(name.as_str()));
        let added =
            over.0.iter().enumerate().filter(|(index, (name, _))| last.get(name.as_str()) == Some(index));
        Self(kept.chain(added.map(|(_, option)| option)).cloned().collect())
    }

    /// What of this another configuration has differently, in sentences.
    pub fn missing_in(&self, result: &Self) -> Vec<String> {
        let has: BTreeMap<&str, Option<&str>> =
            result.0.iter().map(|(name, value)| (name.as_str(), value.as_deref())).collect();
        let differs = |(name, wanted): &(String, Option<String>)| {
            let found = has.get(name.as_str()).copied().flatten();
            (found != wanted.as_deref()).then(|| match (wanted, found) {
                (Some(wanted), Some(found)) => format!("{PREFIX}{name}={wanted} became {found}"),
                (Some(wanted), None) => {
                    format!(
                        "{PREFIX}{name}={wanted} was dropped (it is unknown there, or needs what is not set)"
                    )
                }
                (None, found) => format!(
                    "{PREFIX}{name} was to be left out and is {} (something else needs it)",
                    found.unwrap_or_default()
                ),
            })
        };
        self.0.iter().filter_map(differs).collect()
    }
}

impl fmt::Display for Fragment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|(name, value)| match value {
            Some(value) => writeln!(f, "{PREFIX}{name}={value}"),
            None => writeln!(f, "# {PREFIX}{name}{UNSET}"),
        })
    }
}

/// An option's name without its prefix, and its value; no value if it is left out.
fn option(line: &str) -> Option<(String, Option<String>)> {
    let (name, value) = match line.strip_prefix("# ") {
        Some(comment) => (comment.strip_prefix(PREFIX)?.strip_suffix(UNSET)?, None),
        None => {
            let (name, value) = line.strip_prefix(PREFIX)?.split_once('=')?;
            if value.is_empty() || value.contains(char::is_control) {
                return None;
            }
            (name, Some(value).filter(|value| *value != "n"))
        }
    };
    let good = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_');
    good.then(|| (name.to_owned(), value.map(str::to_owned)))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Fragment {
        Fragment::parse("test", text).unwrap()
    }

    #[test]
    fn options_are_read_and_written() {
        let text = "CONFIG_B=y\n# CONFIG_A is not set\nCONFIG_S=\"a b\"\nCONFIG_N=0x10\n";
        let more = format!("# A comment about CONFIG_B.\n\n{text}#\nCONFIG_M=n\n");
        assert_eq!(parse(&more).to_string(), format!("{text}# CONFIG_M is not set\n"));
    }

    #[test]
    fn what_comes_later_counts() {
        let both =
            parse("CONFIG_A=y\nCONFIG_B=y").with(parse("CONFIG_A=m\nCONFIG_C=y\n# CONFIG_A is not set"));
        assert_eq!(both.to_string(), "CONFIG_B=y\nCONFIG_C=y\n# CONFIG_A is not set\n");
        assert_eq!(parse("CONFIG_A=y\nCONFIG_A=m").to_string(), "CONFIG_A=m\n");
    }

    #[test]
    fn what_is_no_option_is_refused_with_its_line() {
        for line in ["OPTION=y", "CONFIG_A", "CONFIG_A=", "CONFIG_=y", "CONFIG_A B=y", "CONFIG_A=\u{1b}[2J"] {
            let error = Fragment::parse("file", &format!("CONFIG_X=y\n{line}\n")).unwrap_err().to_string();
            assert!(error.starts_with("file, line 2: "), "{error}");
        }
    }

    #[test]
    fn differences_are_told() {
        let wanted =
            parse("CONFIG_A=y\nCONFIG_B=y\nCONFIG_C=\"x\"\n# CONFIG_D is not set\n# CONFIG_E is not set");
        assert_eq!(wanted.missing_in(&wanted), [""; 0]);
        let missing =
            wanted.missing_in(&parse("CONFIG_A=y\n# CONFIG_B is not set\nCONFIG_C=\"y\"\nCONFIG_D=y"));
        assert_eq!(missing.len(), 3, "{missing:?}");
        assert!(missing[0].starts_with("CONFIG_B=y was dropped"), "{missing:?}");
        assert_eq!(missing[1], "CONFIG_C=\"x\" became \"y\"");
        assert!(missing[2].starts_with("CONFIG_D was to be left out and is y"), "{missing:?}");
    }
}
