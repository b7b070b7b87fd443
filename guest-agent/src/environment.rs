//! A job's environment: a clean default, and on top of it what the host says.

use crate::user::Identity;
use alloc::collections::BTreeMap;
use alloc::vec::Vec;
use ampoule_protocol::EnvVar;

/// Where commands are looked for by default.
pub const DEFAULT_PATH: &[u8] = b"/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Variables as `[name, "=", value]`.
#[derive(Debug)]
pub struct Environment<'a> {
    variables: Vec<[&'a [u8]; 3]>,
}

impl<'a> Environment<'a> {
    /// The environment of a job of this user (`None`: root) with these variables on top; of several with the same
    /// name the last counts.
    pub fn new(identity: Option<&'a Identity>, terminal: bool, vars: &'a [EnvVar]) -> Self {
        let last: BTreeMap<&[u8], usize> =
            vars.iter().enumerate().map(|(index, var)| (var.name(), index)).collect();
        let (home, user) = match identity {
            Some(identity) => (identity.home.as_slice(), identity.name.as_deref()),
            None => (&b"/root"[..], Some(&b"root"[..])),
        };
        let term = terminal.then_some(&b"xterm"[..]);
        let defaults =
            [(&b"PATH"[..], Some(DEFAULT_PATH)), (b"HOME", Some(home)), (b"USER", user), (b"TERM", term)];
        let defaults = defaults.into_iter().filter_map(|(name, value)| Some((name, value?)));
        let defaults = defaults.filter(|(name, _)| !last.contains_key(name));
        let given = vars.iter().enumerate().filter(|(index, var)| last.get(var.name()) == Some(index));
        let given = given.map(|(_, var)| (var.name(), var.value()));
        Self { variables: defaults.chain(given).map(|(name, value)| [name, b"=", value]).collect() }
    }

    /// The variables.
    pub fn iter(&self) -> impl Iterator<Item = &[&'a [u8]; 3]> + Clone {
        self.variables.iter()
    }

    /// Where to look for commands.
    pub fn path(&self) -> &'a [u8] {
        self.iter().find(|[name, ..]| *name == b"PATH").map_or(DEFAULT_PATH, |[_, _, value]| value)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::string::String;

    fn environment(identity: Option<&Identity>, terminal: bool, vars: &[(&str, &str)]) -> Vec<String> {
        let vars = vars.iter().map(|(name, value)| EnvVar::new(name.as_bytes(), value.as_bytes()).unwrap());
        let vars: Vec<_> = vars.collect();
        let environment = Environment::new(identity, terminal, &vars);
        environment.iter().map(|parts| String::from_utf8(parts.concat()).unwrap()).collect()
    }

    #[test]
    fn root_has_defaults() {
        let path = String::from_utf8([b"PATH=", DEFAULT_PATH].concat()).unwrap();
        assert_eq!(environment(None, false, &[]), [path.as_str(), "HOME=/root", "USER=root"]);
        assert_eq!(environment(None, true, &[]), [path.as_str(), "HOME=/root", "USER=root", "TERM=xterm"]);
    }

    #[test]
    fn the_last_of_a_name_wins() {
        let vars = [("PATH", "/x"), ("A", "1"), ("TERM", "dumb"), ("A", "2=3"), ("PATH", "")];
        assert_eq!(
            environment(None, true, &vars),
            ["HOME=/root", "USER=root", "TERM=dumb", "A=2=3", "PATH="]
        );
    }

    #[test]
    fn a_user_without_a_name_has_no_name() {
        let identity = Identity { uid: 5, gid: 5, groups: Vec::new(), home: b"/".into(), name: None };
        assert_eq!(environment(Some(&identity), false, &[("PATH", "/bin")]), ["HOME=/", "PATH=/bin"]);
    }
}
