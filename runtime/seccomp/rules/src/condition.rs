//! Conditions on the arguments of a call.

use crate::error::Error;
use crate::names;
use serde::Deserialize;
use serde_json::{Value, json};

/// Stands for the process's own id, which is known only when the filter is installed. No process has it: ids end at
/// 2^22.
pub const OWN_PID: u64 = 0x7069_6421;

/// Arguments of a system call.
const ARGUMENTS: u8 = 6;

/// A system call that was made.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Call<'a> {
    /// What it is called.
    pub name: &'a str,
    /// The registers of its arguments.
    pub arguments: [u64; 6],
    /// The process that made it.
    pub pid: u64,
}

/// What an argument has to be: `ARGUMENT [& MASK] = VALUE`, with arguments counted from 0, and names and numbers joined
/// by `|`. All 64 bits count.
#[derive(Clone, Debug, PartialEq, Eq, Deserialize)]
#[serde(try_from = "String")]
pub struct Condition {
    pub(crate) argument: u8,
    pub(crate) mask: u64,
    pub(crate) value: u64,
    text: String,
}

impl Condition {
    /// Whether a call fulfils it.
    pub fn holds(&self, call: &Call<'_>) -> bool {
        let argument = call.arguments.get(usize::from(self.argument)).copied();
        let value = if self.value == OWN_PID { call.pid } else { self.value };
        argument.is_some_and(|argument| argument & self.mask == value)
    }

    /// As it is written down.
    pub fn text(&self) -> &str {
        &self.text
    }

    /// In the language of `seccompiler`.
    pub(crate) fn to_json(&self) -> Value {
        let op = match self.mask {
            u64::MAX => json!("eq"),
            mask => json!({ "masked_eq": mask }),
        };
        json!({ "index": self.argument, "type": "qword", "op": op, "val": self.value })
    }
}

impl TryFrom<String> for Condition {
    type Error = Error;

    fn try_from(text: String) -> Result<Self, Error> {
        let wrong = |problem| Error::Condition { text: text.clone(), problem };
        let (left, right) = text.split_once('=').ok_or_else(|| wrong("there is no `=`"))?;
        let (argument, mask) = match left.split_once('&') {
            Some((argument, mask)) => {
                (argument, value(mask).ok_or_else(|| wrong("unknown name in the mask"))?)
            }
            None => (left, u64::MAX),
        };
        let argument = argument.trim().parse().ok().filter(|&argument| argument < ARGUMENTS);
        let argument = argument.ok_or_else(|| wrong("arguments are 0 to 5"))?;
        let value = value(right).ok_or_else(|| wrong("unknown name in the value"))?;
        match value & !mask {
            0 => Ok(Self { argument, mask, value, text }),
            _ => Err(wrong("the value has bits that the mask does not have")),
        }
    }
}

fn value(text: &str) -> Option<u64> {
    text.split('|').try_fold(0, |all, word| Some(all | one_value(word.trim())?))
}

fn one_value(word: &str) -> Option<u64> {
    match word {
        "OWN_PID" => Some(OWN_PID),
        word => names::value(word).or_else(|| word.parse().ok()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(text: &str) -> Result<Condition, Error> {
        Condition::try_from(text.to_owned())
    }

    #[test]
    fn conditions_are_read() {
        let call = |argument| Call { name: "mmap", arguments: [0, 0, argument, 0, 0, 0], pid: 7 };
        let holds = |text, argument| condition(text).unwrap().holds(&call(argument));
        assert!(holds("2 = PROT_READ | PROT_WRITE", 3) && !holds("2 = PROT_READ|PROT_WRITE", 7));
        assert!(holds("2 & PROT_EXEC = 0", 3) && !holds("2 & PROT_EXEC = 0", 4));
        assert!(holds("2=12", 12) && !holds("2=12", 12 | 1 << 32));
        assert!(holds("2 = OWN_PID", 7) && !holds("2 = OWN_PID", OWN_PID));
    }

    #[test]
    fn what_is_no_condition_is_refused() {
        let problem = |text| condition(text).unwrap_err().to_string();
        assert!(problem("2").contains("no `=`"));
        assert!(problem("6 = 0").contains("0 to 5"));
        assert!(problem("x = 0").contains("0 to 5"));
        assert!(problem("2 = PROT_EXECUTE").contains("in the value"));
        assert!(problem("2 & = 0").contains("in the mask"));
        assert!(problem("2 & 1 = 2").contains("does not have"));
    }
}
