//! Filters as they are written down.

use crate::FILTERS;
use crate::condition::{Call, Condition};
use crate::error::Error;
use serde::Deserialize;
use std::collections::BTreeMap;
use std::path::Path;

/// What a kind of thread may do. Everything else kills the process.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Filter {
    /// Which thread it is for, and from when on.
    pub thread: String,
    /// The filter that the thread takes on later, beside this one.
    pub becomes: Option<String>,
    /// The rules. A call needs only one that allows it.
    #[serde(rename = "allow")]
    pub rules: Vec<Rule>,
}

/// One thing that a thread may do.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rule {
    /// Name of the system call.
    pub call: String,
    /// All of them have to hold.
    #[serde(default, rename = "when")]
    pub conditions: Vec<Condition>,
    /// What the thread does with it.
    pub reason: String,
    /// When it is used, if that cannot be seen on an ordinary host.
    pub rare: Option<String>,
}

impl Filter {
    /// Reads a filter.
    pub fn read(file: &Path) -> Result<Self, Error> {
        let text = std::fs::read_to_string(file).map_err(|error| Error::Read { file: file.into(), error })?;
        Self::parse(&text).map_err(|error| Error::Parse { file: file.into(), error: Box::new(error) })
    }

    fn parse(text: &str) -> Result<Self, toml::de::Error> {
        toml::from_str(text)
    }
}

/// The filters of all threads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Filters(BTreeMap<&'static str, Filter>);

impl Filters {
    /// Reads them all from a directory.
    pub fn read(directory: &Path) -> Result<Self, Error> {
        let read = |&name| Ok((name, Filter::read(&directory.join(format!("{name}.toml")))?));
        FILTERS.iter().map(read).collect::<Result<_, _>>().map(Self)
    }

    /// The filters and their names.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, &Filter)> {
        FILTERS.iter().filter_map(|&name| Some((name, self.0.get(name)?)))
    }

    /// What a thread may do: the rules of its filter, after those of the filter that it takes on later. Those are asked
    /// more often.
    pub fn rules(&self, name: &str) -> Vec<&Rule> {
        let own = self.0.get(name);
        let later = own.and_then(|filter| self.0.get(filter.becomes.as_deref()?));
        later.into_iter().chain(own).flat_map(|filter| &filter.rules).collect()
    }
}

impl Rule {
    /// Whether it allows a call.
    pub fn allows(&self, call: &Call<'_>) -> bool {
        self.call == call.name && self.conditions.iter().all(|condition| condition.holds(call))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn mistakes_are_told_with_their_line() {
        let error = |rule: &str| Filter::parse(&format!("thread = \"x\"\n{rule}")).unwrap_err().to_string();
        assert!(error("[[allow]]\ncall = \"read\"\n").contains("line 2"), "a reason is a must");
        let unknown = error("[[allow]]\ncall = \"read\"\nreason = \"\"\nwhen = [\"1 = MAP_WHAT\"]\n");
        assert!(unknown.contains("line 5") && unknown.contains("MAP_WHAT"), "{unknown}");
        assert!(error("[[allow]]\ncall = \"read\"\nreason = \"\"\nif = []\n").contains("unknown field `if`"));
    }
}
