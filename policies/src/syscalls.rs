//! Names of system calls.

use syscalls::x86_64::Sysno;

/// What a filter of system calls does.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SystemCalls {
    /// Which calls the filter lets pass.
    pub mode: FilterMode,
    /// The calls that are named: numbers of x86-64, ascending.
    pub numbers: Vec<u32>,
    /// What becomes of a call that does not pass.
    pub action: FilterAction,
}

/// Which calls a filter lets pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FilterMode {
    /// All: there is no filter.
    #[default]
    All,
    /// Those that are named.
    Allow,
    /// Those that are not named.
    Deny,
}

/// What becomes of a call that does not pass.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum FilterAction {
    /// It fails with `EPERM`.
    #[default]
    Errno,
    /// The process is killed by SIGSYS.
    Kill,
}

impl SystemCalls {
    /// The names.
    pub fn names(&self) -> impl Iterator<Item = &'static str> + '_ {
        self.numbers.iter().filter_map(|&number| name(number))
    }
}

/// The number of a system call of x86-64.
pub fn number(name: &str) -> Option<u32> {
    name.parse::<Sysno>().ok().map(|call| call as u32)
}

/// The name of a system call of x86-64.
pub fn name(number: u32) -> Option<&'static str> {
    Sysno::new(usize::try_from(number).ok()?).map(|call| call.name())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_have_the_numbers_of_x86_64() {
        for (call, expected) in [("read", 0), ("ptrace", 101), ("execve", 59), ("bpf", 321)] {
            assert_eq!(number(call), Some(expected));
            assert_eq!(name(expected), Some(call));
        }
        assert_eq!((number("reed"), number(""), name(100_000)), (None, None, None));
    }
}
