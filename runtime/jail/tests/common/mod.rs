//! Shells in jails.

use ampoule_jail::{Child, Command, Group, Layer, Layers, Limits, Program, spawn_with};
use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::ffi::CString;
use std::fs::{self, File};
use std::io::{PipeReader, PipeWriter, Read, Seek, Write};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::path::PathBuf;
use std::ptr::null;

/// A static program that is many.
pub fn busybox() -> File {
    File::open("/bin/busybox").expect("a static busybox (Debian: busybox-static)")
}

/// A shell that runs a script in a jail. It has closed standard streams but for standard error, so its output goes there.
pub fn command<'a>(program: &'a File, script: &str, stderr: BorrowedFd<'a>) -> Command<'a> {
    let script = format!("exec >&2; {script}");
    Command {
        program: Program::File(program.as_fd()),
        arguments: ["busybox", "sh", "-c", &script].map(|word| CString::new(word).unwrap()).into(),
        stderr,
        descriptors: Vec::new(),
        groups: Vec::new(),
        own_status: false,
        limits: Limits {
            address_space: 1 << 30,
            private_memory: 1 << 28,
            file_size: 4096,
            open_files: 16,
            threads: 4,
        },
    }
}

/// Runs a script behind these layers, all of which the host must have. Gives what it wrote.
pub fn inside(layers: Layers, script: &str) -> String {
    let program = busybox();
    let (reader, said) = pipe();
    let child = spawn_with(&command(&program, script, said.as_fd()), layers, true, &mut |_| Ok(()))
        .unwrap_or_else(|error| panic!("{error}"));
    drop(said);
    let said = read_all(reader);
    wait(&child.pidfd);
    said
}

/// These layers, and what only root can be without.
pub fn with_user(layers: &[Layer]) -> Layers {
    let first = match rustix::process::geteuid().is_root() {
        true => Layers::NONE,
        false => Layers::NONE.with(Layer::User),
    };
    layers.iter().fold(first, |set, &layer| set.with(layer))
}

/// A process in a jail; killed when dropped.
pub struct Jailed {
    child: Child,
    said: PipeReader,
}

impl Jailed {
    /// A shell whose descriptor 3 is a pipe that nobody writes to. Waits until it runs.
    pub fn waiting(layers: Layers, script: &str) -> (Self, PipeWriter) {
        Self::waiting_in(Vec::new(), layers, script)
    }

    /// The same in these control groups.
    pub fn waiting_in(groups: Vec<Group<'_>>, layers: Layers, script: &str) -> (Self, PipeWriter) {
        let program = busybox();
        let (mut said, stderr) = pipe();
        let (reader, writer) = pipe();
        let mut command = command(&program, &format!("echo up; {script}"), stderr.as_fd());
        command.descriptors = vec![reader.as_fd()];
        command.own_status = true;
        command.groups = groups;
        let child = spawn_with(&command, layers, true, &mut |_| Ok(())).unwrap();
        let mut word = [0; 3];
        said.read_exact(&mut word).unwrap();
        (Self { child, said }, writer)
    }

    pub fn pid(&self) -> i32 {
        self.child.pid.as_raw_nonzero().get()
    }

    /// A file of its directory in `/proc`.
    pub fn proc(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.pid()).into()
    }

    /// A field of its status.
    pub fn status(&self, field: &str) -> String {
        let status = fs::read_to_string(self.proc("status")).unwrap();
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("there is no {field} in {status}")).trim().to_owned()
    }

    /// A numeric field of its stat, counted from 1.
    pub fn stat_field(&self, number: usize) -> i32 {
        let stat = fs::read_to_string(self.proc("stat")).unwrap();
        let (_, rest) = stat.rsplit_once(')').unwrap();
        rest.split_whitespace().nth(number - 3).unwrap().parse().unwrap()
    }

    pub fn namespace(&self, name: &str) -> PathBuf {
        fs::read_link(self.proc(&format!("ns/{name}"))).unwrap()
    }

    /// What else it writes until it ends by itself.
    pub fn said_until_its_end(mut self) -> String {
        let mut said = String::new();
        wait(&self.child.pidfd);
        self.said.read_to_string(&mut said).unwrap();
        said
    }
}

impl Drop for Jailed {
    fn drop(&mut self) {
        let _gone = rustix::process::pidfd_send_signal(&self.child.pidfd, rustix::process::Signal::KILL);
        wait(&self.child.pidfd);
    }
}

pub fn own_pid() -> u32 {
    std::process::id()
}

pub fn pipe() -> (PipeReader, PipeWriter) {
    std::io::pipe().unwrap()
}

pub fn read_all(mut reader: impl Read) -> String {
    let mut text = String::new();
    reader.read_to_string(&mut text).unwrap();
    text
}

pub fn wait(pidfd: &OwnedFd) {
    let _reaped_before = waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED);
}

pub fn file_with(content: &str) -> File {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(content.as_bytes()).unwrap();
    file.rewind().unwrap();
    file
}

/// This thread's standard error, for what nobody reads.
pub fn nothing() -> BorrowedFd<'static> {
    rustix::stdio::stderr()
}

/// Blocks SIGUSR1 in this thread.
pub fn block_a_signal() {
    // SAFETY: a set is plain bits, and the calls get valid pointers to one.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigaddset(&raw mut set, libc::SIGUSR1);
        libc::pthread_sigmask(libc::SIG_BLOCK, &raw const set, std::ptr::null_mut());
    }
}

/// Gives this thread a session keyring with a key that only who possesses it may see. Gives a part of its line in
/// `/proc/keys`.
pub fn join_session_with_a_key() -> String {
    let name = format!("ampoule-jail-test-{}", own_pid());
    let [kind, description] = ["user", &name].map(|text| CString::new(text).unwrap());
    // SAFETY: the strings live, the payload is as long as said, and the other calls take no pointers but a null one.
    let done = unsafe {
        let joined =
            libc::syscall(libc::SYS_keyctl, libc::KEYCTL_JOIN_SESSION_KEYRING, null::<libc::c_char>());
        let ring = libc::KEY_SPEC_SESSION_KEYRING;
        let key =
            libc::syscall(libc::SYS_add_key, kind.as_ptr(), description.as_ptr(), name.as_ptr(), 4, ring);
        let possessor = 0x3f00_0000;
        joined > 0 && key > 0 && libc::syscall(libc::SYS_keyctl, libc::KEYCTL_SETPERM, key, possessor) == 0
    };
    assert!(done, "there is no key: {}", std::io::Error::last_os_error());
    name
}

/// A mount of the control groups of version 2 that is nowhere in the file system; `None` if it may not be made.
pub fn unified_hierarchy() -> Option<OwnedFd> {
    let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC).ok()?;
    fsconfig_create(&context).ok()?;
    fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty()).ok()
}

/// A control group of version 2; removed when dropped.
pub struct TestGroup<'a> {
    hierarchy: &'a OwnedFd,
    name: &'a str,
    pub directory: OwnedFd,
}

impl<'a> TestGroup<'a> {
    pub fn new(hierarchy: &'a OwnedFd, name: &'a str) -> Self {
        mkdirat(hierarchy, name, Mode::RWXU).unwrap();
        let directory = openat(hierarchy, name, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty()).unwrap();
        Self { hierarchy, name, directory }
    }
}

impl Drop for TestGroup<'_> {
    fn drop(&mut self) {
        unlinkat(self.hierarchy, self.name, AtFlags::REMOVEDIR).unwrap();
    }
}
