//! Hosts that lack a layer of isolation: what `ampoule` then does, says and refuses.

use crate::jail::{AS_NOBODY, LAYERS, in_mounts_of_its_own};
use crate::quotas::{memory_file, wait_for};
use ampoule_tests::{Program, Turn, binary, need};
use std::fs;
use std::io::Write;
use std::os::unix::fs::chown;
use std::path::{Path, PathBuf};

/// A host that lacks layers: what is missing there, with and without `--strict`, and what the doctor says.
fn a_host_without(ampoule: impl Fn(&[&str]) -> Program, missing: &[&str], words: &str) {
    let out = ampoule(&["run", "--json", "--", "true"]).run();
    assert_eq!(out.code(), 0, "{}", out.err());
    let report: serde_json::Value = serde_json::from_slice(&out.stdout).unwrap();
    let mut found: Vec<&str> = report["isolation"]["missing"]
        .as_array()
        .unwrap()
        .iter()
        .map(|layer| layer.as_str().unwrap())
        .collect();
    let mut missing = missing.to_vec();
    found.sort_unstable();
    missing.sort_unstable();
    assert_eq!(found, missing);
    ampoule(&["run", "--strict", "--", "true"])
        .run()
        .failed(125, &[words, "this host does not give the layer"]);
    let doctor = ampoule(&["doctor"]).run();
    assert_eq!(doctor.code(), 0, "{}", doctor.err());
    for layer in LAYERS {
        let line = doctor
            .out()
            .lines()
            .find(|line| line.get(6..).is_some_and(|line| line.starts_with(layer)))
            .unwrap_or_else(|| panic!("no {layer}"))
            .to_owned();
        assert_eq!(line.starts_with("warn"), missing.contains(&layer), "{line}");
    }
}

/// `ampoule` as root of a user namespace in which there is none of what this limit is of. That root may set its limits, but
/// has nobody else's user to give away.
fn where_there_is_no(limit: &str, args: &[&str]) -> Program {
    let script = format!("echo 0 > /proc/sys/user/{limit} && exec \"$0\" \"$@\"");
    Program::new("unshare")
        .args(["--user", "--map-root-user", "sh", "-c", &script])
        .args([binary::ampoule()])
        .args(args)
}

#[test]
fn a_host_without_network_namespaces() {
    let root = |args: &[&str]| where_there_is_no("max_net_namespaces", args);
    a_host_without(root, &["net_namespace", "unprivileged_user"], "unprivileged user");
}

#[test]
fn a_host_without_user_namespaces() {
    let root = |args: &[&str]| where_there_is_no("max_user_namespaces", args);
    a_host_without(root, &["user_namespace", "unprivileged_user"], "user namespace");
}

#[test]
fn a_host_without_control_groups() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    need("unshare", "util-linux");
    for (hide, why) in [
        (
            "mount -t tmpfs none /sys/fs/cgroup",
            "no control group hierarchy under /sys/fs/cgroup has the controller",
        ),
        // Of a group that is there and is not nobody's, the user is told which.
        (AS_NOBODY, "may not be written"),
    ] {
        let script = format!("{hide}; exec /mnt/ampoule \"$@\"");
        let host = |args: &[&str]| in_mounts_of_its_own(&script, args);
        a_host_without(host, &["control_group"], why);
        let ended = host(&["run", "--strict", "--json", "--", "true"]).run();
        let words = [
            "this host does not give the layer `control group`",
            "memory: ",
            "run as root, or below a delegated group",
        ];
        ended.failed(125, &words);
        let report: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
        assert_eq!(report["outcome"], "not_launched", "{report}");
    }
}

/// The groups of every hierarchy of version 1 that limits need, given to nobody.
struct Delegated {
    groups: Vec<PathBuf>,
    /// Dropped after the groups are gone, which others would count.
    _turn: Turn,
}

impl Delegated {
    fn new() -> Option<Self> {
        let name = format!("ampoule-tests-{}", std::process::id());
        let groups = ["memory", "cpu", "pids"].map(|controller| Path::new("/sys/fs/cgroup").join(controller));
        if !groups.iter().all(|group| group.join("tasks").exists()) {
            return None;
        }
        let _turn = Turn::take();
        let groups = Self { groups: groups.map(|group| group.join(&name)).into(), _turn };
        for group in &groups.groups {
            fs::create_dir(group).unwrap();
            chown(group, Some(65534), Some(65534)).unwrap();
        }
        Some(groups)
    }
}

impl Drop for Delegated {
    fn drop(&mut self) {
        for group in &self.groups {
            let _ = fs::remove_dir(group);
        }
    }
}

#[test]
fn nobody_has_every_layer_in_a_delegated_group() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let Some(groups) = Delegated::new() else { return };
    let joins: String =
        groups.groups.iter().map(|group| format!("echo $$ > {}/tasks; ", group.display())).collect();
    let script = format!("{joins} {AS_NOBODY}");
    let ended = in_mounts_of_its_own(&script, &["run", "--strict", "--json", "--", "true"]).run();
    let report: serde_json::Value = serde_json::from_str(&ended.succeeded()).unwrap();
    assert_eq!(report["isolation"]["layers"], serde_json::json!(LAYERS));
}

/// A group of version 2 that is nobody's, as `systemd-run --user -p Delegate=yes` gives one, with a group in it for
/// those who start sandboxes.
struct DelegatedUnified {
    group: PathBuf,
    /// Dropped after the groups are gone, which others would count.
    _turn: Turn,
}

impl DelegatedUnified {
    /// `None` where version 2 does not have the controllers; in the laboratory it has.
    fn new() -> Option<Self> {
        const CONTROLLERS: [&str; 3] = ["memory", "cpu", "pids"];
        let root = Path::new("/sys/fs/cgroup");
        let there = fs::read_to_string(root.join("cgroup.controllers")).unwrap_or_default();
        if !CONTROLLERS.iter().all(|name| there.split_whitespace().any(|word| word == *name)) {
            assert!(
                std::env::var_os("AMPOULE_TEST_UNIFIED").is_none(),
                "there is no version 2 here: {there}"
            );
            return None;
        }
        let _turn = Turn::take();
        fs::write(root.join("cgroup.subtree_control"), "+memory +cpu +pids").unwrap();
        let group = root.join(format!("tests-{}", std::process::id()));
        let delegated = Self { group, _turn };
        fs::create_dir_all(delegated.starters()).unwrap();
        let group = &delegated.group;
        let files = ["cgroup.procs", "cgroup.subtree_control", "cgroup.threads"].map(|name| group.join(name));
        for path in files.iter().chain([group]) {
            chown(path, Some(65534), Some(65534)).unwrap();
        }
        Some(delegated)
    }

    fn starters(&self) -> PathBuf {
        self.group.join("starters")
    }

    /// `ampoule`, started by nobody there.
    fn ampoule(&self, args: &[&str]) -> Program {
        let script = format!("echo $$ > {}/cgroup.procs; {AS_NOBODY}", self.starters().display());
        in_mounts_of_its_own(&script, args)
    }

    /// The groups of sandboxes in it.
    fn sandboxes(&self) -> Vec<PathBuf> {
        let entries = fs::read_dir(&self.group).unwrap().map(|entry| entry.unwrap().path());
        entries.filter(|path| path.is_dir() && *path != self.starters()).collect()
    }
}

impl Drop for DelegatedUnified {
    fn drop(&mut self) {
        for group in [self.starters(), self.group.clone()] {
            let _ = fs::remove_dir(group);
        }
    }
}

#[test]
fn nobody_has_every_layer_and_limits_in_a_delegated_group_of_version_2() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let Some(delegated) = DelegatedUnified::new() else { return };
    let run = |args: &[&str]| delegated.ampoule(&[&["run", "--strict", "--json"], args].concat());
    let count = "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done";
    let ended = run(&["--cpus", "0.1", "--", "sh", "-c", count]).run();
    let report: serde_json::Value = serde_json::from_str(&ended.succeeded()).unwrap();
    assert_eq!(report["isolation"]["layers"], serde_json::json!(LAYERS));
    assert!(report["host"]["throttled_us"].as_u64().unwrap() > 0, "{report}");
    memory_is_limited(&delegated, &run);
    assert_eq!(delegated.sandboxes(), Vec::<PathBuf>::new());
    let doctor = delegated.ampoule(&["doctor"]).run();
    assert!(doctor.out().lines().any(|line| line.starts_with("ok    control_group")), "{}", doctor.out());
}

fn memory_is_limited(delegated: &DelegatedUnified, run: &dyn Fn(&[&str]) -> Program) {
    let script = "read go; x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo not over";
    let mut running = run(&["-m", "256M", "--", "sh", "-c", script]).start();
    let group = wait_for(|| {
        let members = |path: &PathBuf| fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        delegated.sandboxes().into_iter().find(|path| members(path).lines().count() == 1)
    });
    assert_eq!(fs::read_to_string(memory_file(&group)).unwrap().trim(), ((256 + 16 + 64) << 20).to_string());
    // No policy can be so tight that its guest's RAM does not fit, so the group is made tighter here.
    fs::write(memory_file(&group), "48M").unwrap();
    running.child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let report: serde_json::Value = serde_json::from_str(&running.finish().out()).unwrap();
    assert_eq!((&report["outcome"], &report["exit_code"]), (&"host_memory_exceeded".into(), &137.into()));
}

/// Has a program's call fail, as where the kernel has none, or a container's filter hides it.
fn without_call(number: libc::c_long, errno: i32, program: Program) -> Program {
    use std::os::unix::process::CommandExt;
    let statement = |code: u32, k: u32| libc::sock_filter { code: code as u16, jt: 0, jf: 0, k };
    let [load, compare, answer] = [
        libc::BPF_LD | libc::BPF_W | libc::BPF_ABS,
        libc::BPF_JMP | libc::BPF_JEQ | libc::BPF_K,
        libc::BPF_RET,
    ];
    let mut filter = [
        statement(load, 0),
        libc::sock_filter { jf: 1, ..statement(compare, number as u32) },
        statement(answer, libc::SECCOMP_RET_ERRNO | errno as u32),
        statement(answer, libc::SECCOMP_RET_ALLOW),
    ];
    program.command(|command| {
        let install = move || {
            let program = libc::sock_fprog { len: 4, filter: filter.as_mut_ptr() };
            // SAFETY: plain system calls, of which the second reads `program`.
            let result = unsafe {
                libc::prctl(libc::PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0);
                libc::prctl(libc::PR_SET_SECCOMP, libc::SECCOMP_MODE_FILTER, &raw const program)
            };
            if result == 0 { Ok(()) } else { Err(std::io::Error::last_os_error()) }
        };
        // SAFETY: it makes system calls only.
        unsafe { command.pre_exec(install) };
    })
}

fn without_seccomp(program: Program) -> Program {
    without_call(libc::SYS_seccomp, libc::ENOSYS, program)
}

#[test]
fn a_host_that_hides_its_keyrings() {
    for errno in [libc::EPERM, libc::ENOSYS] {
        let host = |args: &[&str]| without_call(libc::SYS_keyctl, errno, Program::ampoule(args));
        a_host_without(host, &["session_keyring"], "allow keyctl(2)");
    }
}

#[test]
fn a_host_without_system_call_filters_runs_nothing() {
    let words = ["this host does not give the layer `system-call filters`", "CONFIG_SECCOMP_FILTER"];
    for args in [&["run"][..], &["run", "--strict"], &["run", "--isolation", "none"]] {
        let ended = without_seccomp(Program::ampoule(args).args(["--", "echo", "ran"])).run();
        ended.failed(125, &words);
        assert_eq!(ended.out(), "", "{args:?}");
    }
    let doctor = without_seccomp(Program::ampoule(["doctor"])).run();
    assert_eq!(doctor.code(), 1);
    let out = doctor.out();
    assert!(out.lines().any(|line| line.starts_with("FAIL  system_call_filters")), "{out}");
    assert!(out.contains("CONFIG_SECCOMP_FILTER") && out.ends_with("microVMs do not run here\n"), "{out}");
}

#[test]
fn a_user_without_user_namespaces() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    // Whose root directory was changed may not create any.
    let script = "mkdir /mnt/root; mount --rbind / /mnt/root
        exec chroot /mnt/root /usr/bin/setpriv --reuid 65534 --regid 65534 --clear-groups -- /mnt/ampoule \"$@\"";
    let nobody = |args: &[&str]| in_mounts_of_its_own(script, args);
    let left = [
        "session_keyring",
        "unprivileged_user",
        "no_new_privileges",
        "resource_limits",
        "landlock",
        "system_call_filters",
    ];
    let missing: Vec<&str> = LAYERS.into_iter().filter(|layer| !left.contains(layer)).collect();
    a_host_without(nobody, &missing, "control group");
}
