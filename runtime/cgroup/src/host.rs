//! Where on this host groups can be made.

use crate::controller::Controller;
use rustix::fs::{Access, access, statfs};
use std::fs;
use std::path::{Path, PathBuf};
use thiserror::Error;

/// `CGROUP2_SUPER_MAGIC` and `CGROUP_SUPER_MAGIC` of linux/magic.h.
const MAGIC_V2: i64 = 0x6367_7270;
const MAGIC_V1: i64 = 0x0027_e0eb;

/// Where every distribution has them.
const ROOT: &str = "/sys/fs/cgroup";

/// Names a directory of version 2 to make groups in, where another than that of this process is delegated.
const VARIABLE: &str = "AMPOULE_CGROUP";

/// Which interface a hierarchy has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Version {
    /// One hierarchy a controller.
    V1,
    /// The unified hierarchy.
    V2,
}

/// Why a controller cannot be used.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
#[non_exhaustive]
pub enum Absent {
    /// No hierarchy has it.
    #[error("no control group hierarchy under {ROOT} has the controller")]
    NoHierarchy,
    /// There is one, and it may not be written.
    #[error("{} may not be written", .0.display())]
    NotWritable(PathBuf),
    /// The controller is not passed on to groups, and that may not be changed.
    #[error("{} does not pass the controller on to its groups", .0.display())]
    NotDelegated(PathBuf),
}

/// The directory below which groups with a controller are made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) version: Version,
    pub(crate) directory: PathBuf,
}

/// The hierarchies of this host.
#[derive(Clone, Debug)]
pub struct Host {
    root: PathBuf,
    /// The lines of `/proc/self/cgroup`.
    own: String,
    /// What [`VARIABLE`] says.
    delegated: Option<PathBuf>,
}

impl Host {
    /// This host, as this process sees it.
    pub fn new() -> Self {
        Self {
            root: ROOT.into(),
            own: fs::read_to_string("/proc/self/cgroup").unwrap_or_default(),
            delegated: std::env::var_os(VARIABLE).map(PathBuf::from),
        }
    }

    /// Where groups with this controller are made: the version, and the directory.
    pub fn find(&self, controller: Controller) -> Result<(Version, PathBuf), Absent> {
        self.place(controller).map(|place| (place.version, place.directory))
    }

    pub(crate) fn place(&self, controller: Controller) -> Result<Place, Absent> {
        let v1 = self.root.join(controller.name());
        if is_of(&v1, MAGIC_V1) {
            // Below our own group, whose limits then count, too.
            return writable(inside(&v1, self.own_path(Some(controller))))
                .map(|directory| Place { version: Version::V1, directory });
        }
        let unified =
            [self.root.clone(), self.root.join("unified")].into_iter().find(|path| is_of(path, MAGIC_V2));
        let mount = unified.ok_or(Absent::NoHierarchy)?;
        if !has_word(&mount.join("cgroup.controllers"), controller.name()) {
            return Err(Absent::NoHierarchy);
        }
        let directory = match &self.delegated {
            Some(directory) => delegating(directory, controller)?,
            None => self.beside_us(&mount, controller)?,
        };
        Ok(Place { version: Version::V2, directory })
    }

    /// A group that has processes passes no controller on, so ours cannot be below our own: the nearest one above that
    /// we may write is the place. The root may have processes, too.
    fn beside_us(&self, mount: &Path, controller: Controller) -> Result<PathBuf, Absent> {
        let own = inside(mount, self.own_path(None));
        let start = if own == *mount { mount } else { own.parent().unwrap_or(mount) };
        let mut first = None;
        for directory in start.ancestors().take_while(|directory| directory.starts_with(mount)) {
            match delegating(directory, controller) {
                Ok(directory) => return Ok(directory),
                Err(absent) => first = first.or(Some(absent)),
            }
        }
        Err(first.unwrap_or(Absent::NoHierarchy))
    }

    /// Our own group in the hierarchy of a controller; `None` for the unified one.
    fn own_path(&self, controller: Option<Controller>) -> &str {
        let is_it = |names: &str| match controller {
            Some(controller) => names.split(',').any(|name| name == controller.name()),
            None => names.is_empty(),
        };
        let mut lines = self.own.lines().filter_map(|line| {
            let (_, rest) = line.split_once(':')?;
            rest.split_once(':')
        });
        lines.find(|(names, _)| is_it(names)).map_or("", |(_, path)| path)
    }
}

impl Default for Host {
    fn default() -> Self {
        Self::new()
    }
}

/// Our own group below a mount. What is mounted may be only the part that a container is to see; then it is that part.
fn inside(mount: &Path, own: &str) -> PathBuf {
    let path = mount.join(own.trim_start_matches('/'));
    let is_plain = !own.split('/').any(|part| part == "..");
    if is_plain && path.is_dir() { path } else { mount.to_owned() }
}

/// The directory, if it passes the controller on to groups in it, or can be made to.
fn delegating(directory: &Path, controller: Controller) -> Result<PathBuf, Absent> {
    let directory = writable(directory.to_owned())?;
    let control = directory.join("cgroup.subtree_control");
    if has_word(&control, controller.name()) || fs::write(&control, format!("+{controller}")).is_ok() {
        return Ok(directory);
    }
    Err(Absent::NotDelegated(directory))
}

fn writable(directory: PathBuf) -> Result<PathBuf, Absent> {
    match access(&directory, Access::WRITE_OK | Access::EXEC_OK) {
        Ok(()) => Ok(directory),
        Err(_) => Err(Absent::NotWritable(directory)),
    }
}

fn has_word(file: &Path, word: &str) -> bool {
    fs::read_to_string(file).is_ok_and(|text| text.split_whitespace().any(|other| other == word))
}

fn is_of(path: &Path, magic: i64) -> bool {
    statfs(path).is_ok_and(|stat| stat.f_type == magic)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn host(own: &str) -> Host {
        Host { root: "/no/such".into(), own: own.to_owned(), delegated: None }
    }

    #[test]
    fn our_own_group_is_found_in_both_versions() {
        let host = host("4:memory:/a/b\n2:cpu,cpuacct:/c\n0::/user.slice/x.scope\n");
        assert_eq!(host.own_path(Some(Controller::Memory)), "/a/b");
        assert_eq!(host.own_path(Some(Controller::Cpu)), "/c");
        assert_eq!(host.own_path(Some(Controller::Pids)), "");
        assert_eq!(host.own_path(None), "/user.slice/x.scope");
    }

    #[test]
    fn a_group_that_is_not_mounted_or_leads_out_is_not_followed() {
        let mount = tempfile::tempdir().unwrap();
        fs::create_dir(mount.path().join("a")).unwrap();
        assert_eq!(inside(mount.path(), "/a"), mount.path().join("a"));
        assert_eq!(inside(mount.path(), "/docker/1"), mount.path());
        assert_eq!(inside(mount.path(), "/../.."), mount.path());
    }

    #[test]
    fn a_host_without_groups_says_so() {
        for controller in Controller::ALL {
            assert_eq!(host("0::/\n").find(controller), Err(Absent::NoHierarchy));
        }
    }
}
