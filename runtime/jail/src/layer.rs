//! The layers, each of which holds on its own.

/// One layer of the jail.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Layer {
    /// A user namespace: its capabilities, had it any, would mean nothing outside.
    User,
    /// A process namespace: it sees no process but itself, and all that it starts ends with it.
    Pid,
    /// A mount namespace.
    Mount,
    /// A network namespace without any interface that is up.
    Net,
    /// A namespace of System V IPC and message queues.
    Ipc,
    /// A namespace of host names.
    Uts,
    /// A control group namespace.
    Cgroup,
    /// A session keyring of its own, without a key.
    Keyring,
    /// An empty, read-only root directory.
    Root,
    /// An unprivileged user and group: with root's help, one that nobody else has.
    Identity,
    /// No capability in any set, and none to be had.
    Capabilities,
    /// `no_new_privs`: executing a program adds no privileges.
    NoNewPrivileges,
    /// Resource limits.
    Limits,
    /// Landlock: no file can be opened, no TCP port used, no process outside signalled.
    Landlock,
}

impl Layer {
    /// All, in the order in which they are listed.
    pub const ALL: [Self; 14] = [
        Self::User,
        Self::Pid,
        Self::Mount,
        Self::Net,
        Self::Ipc,
        Self::Uts,
        Self::Cgroup,
        Self::Keyring,
        Self::Root,
        Self::Identity,
        Self::Capabilities,
        Self::NoNewPrivileges,
        Self::Limits,
        Self::Landlock,
    ];

    /// What to call it in a sentence.
    pub const fn name(self) -> &'static str {
        match self {
            Self::User => "user namespace",
            Self::Pid => "process namespace",
            Self::Mount => "mount namespace",
            Self::Net => "network namespace",
            Self::Ipc => "IPC namespace",
            Self::Uts => "host name namespace",
            Self::Cgroup => "control group namespace",
            Self::Keyring => "session keyring",
            Self::Root => "empty root",
            Self::Identity => "unprivileged user",
            Self::Capabilities => "no capabilities",
            Self::NoNewPrivileges => "no new privileges",
            Self::Limits => "resource limits",
            Self::Landlock => "Landlock",
        }
    }

    /// A name for machines. It never changes.
    pub const fn key(self) -> &'static str {
        match self {
            Self::User => "user_namespace",
            Self::Pid => "pid_namespace",
            Self::Mount => "mount_namespace",
            Self::Net => "net_namespace",
            Self::Ipc => "ipc_namespace",
            Self::Uts => "uts_namespace",
            Self::Cgroup => "cgroup_namespace",
            Self::Keyring => "session_keyring",
            Self::Root => "empty_root",
            Self::Identity => "unprivileged_user",
            Self::Capabilities => "no_capabilities",
            Self::NoNewPrivileges => "no_new_privileges",
            Self::Limits => "resource_limits",
            Self::Landlock => "landlock",
        }
    }

    /// What to do on a host that does not give it.
    pub const fn mend(self) -> &'static str {
        match self {
            Self::User => {
                "allow user namespaces: `sudo sysctl user.max_user_namespaces=15000`, and where they exist \
                 `kernel.unprivileged_userns_clone=1`, `kernel.apparmor_restrict_unprivileged_userns=0`; in a container, \
                 its seccomp profile has to allow them; or run as root"
            }
            Self::Pid => "`sudo sysctl user.max_pid_namespaces=15000`, or run as root",
            Self::Mount => "`sudo sysctl user.max_mnt_namespaces=15000`, or run as root",
            Self::Net => "`sudo sysctl user.max_net_namespaces=15000`, or run as root",
            Self::Ipc => "`sudo sysctl user.max_ipc_namespaces=15000`, or run as root",
            Self::Uts => "`sudo sysctl user.max_uts_namespaces=15000`, or run as root",
            Self::Cgroup => "`sudo sysctl user.max_cgroup_namespaces=15000`, or run as root",
            Self::Keyring => {
                "in a container, allow keyctl(2) in its seccomp profile; if it is the user's quota, `sudo sysctl \
                 kernel.keys.maxkeys=2000 kernel.keys.maxbytes=200000`"
            }
            Self::Root => {
                "allow mounts within user namespaces (`kernel.apparmor_restrict_unprivileged_userns=0`), or run as root"
            }
            Self::Identity => {
                "do not run as root where its other users are not at hand, as in some containers"
            }
            Self::Capabilities => "allow user namespaces, or run as root",
            Self::NoNewPrivileges | Self::Limits => "use a newer host kernel (5.11 or later)",
            Self::Landlock => {
                "use a kernel with Landlock (5.13 or later), with `landlock` among the modules of its `lsm=` parameter"
            }
        }
    }

    const fn bit(self) -> u32 {
        1 << self as u8
    }
}

/// A set of layers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Layers(u32);

impl Layers {
    /// No layer.
    pub const NONE: Self = Self(0);
    /// Every layer.
    pub const ALL: Self = {
        let (mut set, mut index) = (0, 0);
        while index < Layer::ALL.len() {
            set |= Layer::ALL[index].bit();
            index += 1;
        }
        Self(set)
    };

    /// Whether it is one of them.
    pub const fn contains(self, layer: Layer) -> bool {
        self.0 & layer.bit() != 0
    }

    /// The set and this one.
    #[must_use]
    pub const fn with(self, layer: Layer) -> Self {
        Self(self.0 | layer.bit())
    }

    /// The set but this one.
    #[must_use]
    pub const fn without(self, layer: Layer) -> Self {
        Self(self.0 & !layer.bit())
    }

    /// All of them, in the order of [`Layer::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Layer> {
        Layer::ALL.into_iter().filter(move |&layer| self.contains(layer))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::HashSet;

    #[test]
    fn sets_hold_what_was_put_in() {
        assert_eq!(Layers::ALL.iter().count(), Layer::ALL.len());
        let set = Layers::NONE.with(Layer::Net).with(Layer::Landlock).without(Layer::Net);
        assert_eq!(set.iter().collect::<Vec<_>>(), [Layer::Landlock]);
        assert!(!Layers::ALL.without(Layer::Root).contains(Layer::Root));
    }

    #[test]
    fn each_has_names_of_its_own() {
        assert_eq!(Layer::ALL.map(Layer::name).into_iter().collect::<HashSet<_>>().len(), Layer::ALL.len());
        assert_eq!(Layer::ALL.map(Layer::key).into_iter().collect::<HashSet<_>>().len(), Layer::ALL.len());
    }
}
