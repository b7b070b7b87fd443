//! Users and groups, from `/etc/passwd` and `/etc/group`.

use crate::fs::read_file;
use alloc::vec::Vec;
use ampoule_protocol::{Principal, User};
use rustix::io::Errno;

/// Longest user database that is read, in bytes.
const MAX_DATABASE: usize = 4 << 20;

/// Who runs a job.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Identity {
    /// User id.
    pub uid: u32,
    /// Group id.
    pub gid: u32,
    /// Supplementary groups.
    pub groups: Vec<u32>,
    /// Home directory.
    pub home: Vec<u8>,
    /// Name, if the user has one.
    pub name: Option<Vec<u8>>,
}

/// Why a user or group was not found.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum NotFound {
    /// No such name in `/etc/passwd`.
    User,
    /// No such name in `/etc/group`.
    Group,
    /// A database could not be read.
    Unreadable(Errno),
}

impl Identity {
    /// Finds a user in the databases of the running system.
    #[cold]
    pub fn find(user: &User) -> Result<Self, NotFound> {
        Self::resolve(user, &database(b"/etc/passwd")?, &database(b"/etc/group")?)
    }

    /// Finds a user in databases with this content.
    pub fn resolve(user: &User, passwd: &[u8], group: &[u8]) -> Result<Self, NotFound> {
        let entry = passwd_entries(passwd).find(|entry| match &user.user {
            Principal::Id(uid) => entry.uid == *uid,
            Principal::Name(name) => entry.name == name.as_bytes(),
        });
        let uid = match (&user.user, &entry) {
            (_, Some(entry)) => entry.uid,
            (Principal::Id(uid), None) => *uid,
            (Principal::Name(_), None) => return Err(NotFound::User),
        };
        let gid = match &user.group {
            None => entry.as_ref().map_or(0, |entry| entry.gid),
            Some(Principal::Id(gid)) => *gid,
            Some(Principal::Name(name)) => {
                let mut groups = group_entries(group);
                groups.find(|entry| entry.name == name.as_bytes()).ok_or(NotFound::Group)?.gid
            }
        };
        // Whoever names a group wants that one alone, as with docker.
        let groups = match (&user.group, &entry) {
            (None, Some(entry)) => supplementary(group, entry.name, gid),
            _ => Vec::new(),
        };
        let home = entry.as_ref().map_or(&b"/"[..], |entry| entry.home).to_vec();
        Ok(Self { uid, gid, groups, home, name: entry.map(|entry| entry.name.to_vec()) })
    }
}

fn database(path: &[u8]) -> Result<Vec<u8>, NotFound> {
    match read_file(path, MAX_DATABASE) {
        Err(Errno::NOENT) => Ok(Vec::new()),
        result => result.map_err(NotFound::Unreadable),
    }
}

fn supplementary(group: &[u8], name: &[u8], gid: u32) -> Vec<u32> {
    /// As many as Linux takes.
    const NGROUPS_MAX: usize = 65_536;
    let member = |entry: &Group<'_>| entry.members.split(|&byte| byte == b',').any(|member| member == name);
    let mut groups = Vec::from([gid]);
    groups.extend(group_entries(group).filter(member).map(|entry| entry.gid).filter(|&other| other != gid));
    groups.truncate(NGROUPS_MAX);
    groups
}

struct Passwd<'a> {
    name: &'a [u8],
    uid: u32,
    gid: u32,
    home: &'a [u8],
}

/// `name:password:uid:gid:comment:home:shell`; lines of another form are skipped.
fn passwd_entries(text: &[u8]) -> impl Iterator<Item = Passwd<'_>> {
    text.split(|&byte| byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|&byte| byte == b':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let uid = fields.nth(1).and_then(number)?;
        let gid = fields.next().and_then(number)?;
        let home = fields.nth(1).filter(|home| !home.is_empty()).unwrap_or(b"/");
        Some(Passwd { name, uid, gid, home })
    })
}

struct Group<'a> {
    name: &'a [u8],
    gid: u32,
    members: &'a [u8],
}

/// `name:password:gid:members`; lines of another form are skipped.
fn group_entries(text: &[u8]) -> impl Iterator<Item = Group<'_>> {
    text.split(|&byte| byte == b'\n').filter_map(|line| {
        let mut fields = line.split(|&byte| byte == b':');
        let name = fields.next().filter(|name| !name.is_empty())?;
        let gid = fields.nth(1).and_then(number)?;
        Some(Group { name, gid, members: fields.next().unwrap_or_default() })
    })
}

fn number(text: &[u8]) -> Option<u32> {
    core::str::from_utf8(text).ok()?.parse().ok().filter(|&id| id != u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &[u8] = b"root:x:0:0:root:/root:/bin/sh\n# odd\nbroken:x:many\n\
        bob:x:1000:100:Bob,,,:/home/bob:/bin/sh\nno-home:x:7:7:::\n";
    const GROUP: &[u8] = b"root:x:0:\nusers:x:100:bob\nwheel:x:10:root,bob\naudio:x:29:bobby\n";

    fn resolve(text: &str) -> Result<Identity, NotFound> {
        Identity::resolve(&User::parse(text).unwrap(), PASSWD, GROUP)
    }

    fn ids(text: &str) -> (u32, u32, Vec<u32>) {
        let identity = resolve(text).unwrap();
        (identity.uid, identity.gid, identity.groups)
    }

    #[test]
    fn names_and_numbers_resolve() {
        assert_eq!(ids("bob"), (1000, 100, [100, 10].into()));
        assert_eq!(ids("1000"), (1000, 100, [100, 10].into()));
        assert_eq!(ids("bob:wheel"), (1000, 10, [].into()));
        assert_eq!(ids("bob:29"), (1000, 29, [].into()));
        assert_eq!(ids("4242"), (4242, 0, [].into()));
        assert_eq!(ids("4242:4343"), (4242, 4343, [].into()));
    }

    #[test]
    fn what_is_not_there_is_not_found() {
        assert_eq!(resolve("alice"), Err(NotFound::User));
        assert_eq!(resolve("broken"), Err(NotFound::User));
        assert_eq!(resolve("bob:nobody"), Err(NotFound::Group));
    }

    #[test]
    fn homes_and_names() {
        let identity = resolve("bob").unwrap();
        assert_eq!(
            (identity.home.as_slice(), identity.name.as_deref()),
            (&b"/home/bob"[..], Some(&b"bob"[..]))
        );
        let identity = resolve("4242").unwrap();
        assert_eq!((identity.home.as_slice(), identity.name), (&b"/"[..], None));
        assert_eq!(resolve("no-home").unwrap().home, b"/");
    }
}
