//! Users, groups and capabilities of a process (`credentials(7)`, `capabilities(7)`).

use alloc::vec::Vec;

/// All capabilities that this kernel names: bits 0 to 40.
pub const ALL_CAPABILITIES: u64 = (1 << 41) - 1;

/// Who a process is.
#[derive(Clone, Debug)]
pub struct Credentials {
    pub uid: u32,
    pub euid: u32,
    pub suid: u32,
    pub fsuid: u32,
    pub gid: u32,
    pub egid: u32,
    pub sgid: u32,
    pub fsgid: u32,
    pub groups: Vec<u32>,
    pub permitted: u64,
    pub effective: u64,
    pub inheritable: u64,
    pub bounding: u64,
    pub ambient: u64,
    /// `PR_SET_KEEPCAPS`.
    pub keep_capabilities: bool,
}

impl Credentials {
    /// The superuser with all rights.
    pub fn root() -> Self {
        Self {
            uid: 0,
            euid: 0,
            suid: 0,
            fsuid: 0,
            gid: 0,
            egid: 0,
            sgid: 0,
            fsgid: 0,
            groups: Vec::new(),
            permitted: ALL_CAPABILITIES,
            effective: ALL_CAPABILITIES,
            inheritable: 0,
            bounding: ALL_CAPABILITIES,
            ambient: 0,
            keep_capabilities: false,
        }
    }

    /// Whether a capability is effective.
    pub fn has(&self, capability: u32) -> bool {
        self.effective >> capability & 1 == 1
    }

    /// Whether the process is in a group.
    pub fn in_group(&self, gid: u32) -> bool {
        self.fsgid == gid || self.groups.contains(&gid)
    }

    /// What changes with the user ids: `capabilities(7)`, "Effect of user ID changes on capabilities".
    pub fn user_changed(&mut self, before: &Credentials) {
        let was_root = before.uid == 0 || before.euid == 0 || before.suid == 0;
        let is_root = self.uid == 0 || self.euid == 0 || self.suid == 0;
        if was_root && !is_root && !self.keep_capabilities {
            self.permitted = 0;
            self.effective = 0;
            self.ambient = 0;
        }
        if before.euid == 0 && self.euid != 0 {
            self.effective = 0;
        } else if before.euid != 0 && self.euid == 0 {
            self.effective = self.permitted;
        }
    }

    /// The rights after `execve`: the superuser gets all that the bounding set allows; others keep the ambient ones.
    pub fn executed(&mut self) {
        if self.euid == 0 || self.uid == 0 {
            self.permitted = self.bounding;
            self.effective = if self.euid == 0 { self.permitted } else { 0 };
        } else {
            self.permitted = self.ambient;
            self.effective = self.ambient;
        }
        self.suid = self.euid;
        self.sgid = self.egid;
        self.fsuid = self.euid;
        self.fsgid = self.egid;
        self.keep_capabilities = false;
    }
}

/// `CAP_*` numbers that system calls check.
pub mod capability {
    pub const KILL: u32 = 5;
    pub const SETGID: u32 = 6;
    pub const SETUID: u32 = 7;
    pub const SETPCAP: u32 = 8;
    pub const SYS_CHROOT: u32 = 18;
    pub const SYS_ADMIN: u32 = 21;
    pub const SYS_BOOT: u32 = 22;
    pub const SYS_NICE: u32 = 23;
    pub const SYS_RESOURCE: u32 = 24;
    pub const SYS_TIME: u32 = 25;
}
