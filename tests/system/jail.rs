//! The jail around the VMM of real sandboxes, as root and as a user without any privilege.

use ampoule_tests::{Program, Running, binary, need};
use std::fs;
use std::path::{Path, PathBuf};

/// Every layer, by the name that `--json` has for it.
pub const LAYERS: [&str; 16] = [
    "user_namespace",
    "pid_namespace",
    "mount_namespace",
    "net_namespace",
    "ipc_namespace",
    "uts_namespace",
    "cgroup_namespace",
    "session_keyring",
    "empty_root",
    "unprivileged_user",
    "no_capabilities",
    "no_new_privileges",
    "resource_limits",
    "landlock",
    "control_group",
    "system_call_filters",
];

/// The end of a script that becomes nobody and then `ampoule`.
pub const AS_NOBODY: &str =
    "exec /usr/bin/setpriv --reuid 65534 --regid 65534 --clear-groups -- /mnt/ampoule \"$@\"";

/// Who starts a sandbox.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Who {
    /// Whoever runs the tests.
    Tester,
    /// A user who is nobody, but may use KVM. There only if root runs the tests, who can become that user.
    Nobody,
}

impl Who {
    fn all() -> &'static [Self] {
        match rustix::process::geteuid().is_root() {
            true => &[Self::Tester, Self::Nobody],
            false => &[Self::Tester],
        }
    }

    /// What insists on every layer, for who can have every layer: nobody may make control groups.
    fn strict(self) -> &'static [&'static str] {
        match rustix::process::geteuid().is_root() && self == Self::Tester {
            true => &["--strict"],
            false => &[],
        }
    }

    /// `ampoule run` with these arguments, behind every layer that this user can have.
    fn run(self, args: &[&str]) -> Program {
        self.ampoule(&[&["run"], self.strict(), args].concat())
    }

    /// `ampoule` with these arguments. It is the very process that is started.
    fn ampoule(self, args: &[&str]) -> Program {
        match self {
            Self::Tester => Program::ampoule(args),
            Self::Nobody => in_mounts_of_its_own(AS_NOBODY, args),
        }
    }
}

/// Runs a script as root among mounts of its own, where `/mnt/ampoule` is the binary and everybody may use KVM.
pub fn in_mounts_of_its_own(script: &str, args: &[&str]) -> Program {
    need("unshare", "util-linux");
    let script = format!(
        "set -e; mount -t tmpfs none /mnt; cp \"$0\" /mnt/ampoule; mknod -m 666 /mnt/kvm c 10 232
         mount --bind /mnt/kvm /dev/kvm; cd /; export HOME=/; {script}"
    );
    Program::new("unshare").args(["--mount", "sh", "-c", &script]).args([binary::ampoule()]).args(args)
}

/// A sandbox with an idle job.
struct Sandbox {
    cli: Running,
    vmm: i32,
}

impl Sandbox {
    fn start(who: Who) -> Self {
        let mut cli = who.run(&["--", "sh", "-c", "echo ready; read x"]).start();
        cli.wait_for_output("ready\n");
        let pid = cli.pid().as_raw_nonzero();
        let children = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
        let vmm = children.trim().parse().unwrap_or_else(|_| panic!("one child, not {children:?}"));
        Self { cli, vmm }
    }

    fn proc(&self, name: &str) -> PathBuf {
        format!("/proc/{}/{name}", self.vmm).into()
    }

    fn read(&self, name: &str) -> String {
        fs::read_to_string(self.proc(name)).unwrap()
    }

    fn status(&self, field: &str) -> String {
        let status = self.read("status");
        let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
        line.unwrap_or_else(|| panic!("there is no {field} in {status}")).trim().to_owned()
    }

    fn limit(&self, name: &str) -> (String, String) {
        let limits = self.read("limits");
        let line = limits.lines().find_map(|line| line.strip_prefix(name)).unwrap();
        let mut words = line.split_whitespace();
        (words.next().unwrap().to_owned(), words.next().unwrap().to_owned())
    }

    /// The status of its thread with this number or name.
    fn task(&self, thread: &str) -> String {
        let tasks = fs::read_dir(self.proc("task")).unwrap();
        let mut statuses = tasks.map(|task| {
            let task = task.unwrap();
            (task.file_name(), fs::read_to_string(task.path().join("status")).unwrap())
        });
        let is_it = |number: &std::ffi::OsStr, status: &str| {
            number == thread || status.starts_with(&format!("Name:\t{thread}\n"))
        };
        statuses.find(|(number, status)| is_it(number, status)).unwrap_or_else(|| panic!("no {thread}")).1
    }

    fn namespace(&self, name: &str) -> PathBuf {
        fs::read_link(self.proc(&format!("ns/{name}"))).unwrap()
    }
}

/// Looks at a sandbox of everybody's.
fn of_each(look: impl Fn(Who, Sandbox)) {
    for &who in Who::all() {
        look(who, Sandbox::start(who));
    }
}

#[test]
fn the_vmm_has_no_privileges() {
    of_each(|who, sandbox| {
        for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
            assert_eq!(sandbox.status(set), "0000000000000000", "{who:?}: {set}");
        }
        assert_eq!(sandbox.status("NoNewPrivs"), "1", "{who:?}");
        for kind in ["Uid", "Gid"] {
            let ids = sandbox.status(kind);
            assert!(!ids.split_whitespace().any(|id| id == "0"), "{who:?}: {kind} {ids}");
        }
    });
}

#[test]
fn root_gives_each_vmm_a_user_of_its_own() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let sandboxes: Vec<Sandbox> = (0..3).map(|_| Sandbox::start(Who::Tester)).collect();
    let mut users: Vec<u32> = sandboxes
        .iter()
        .map(|sandbox| sandbox.status("Uid").split_whitespace().next().unwrap().parse().unwrap())
        .collect();
    users.sort_unstable();
    assert!(users.iter().all(|user| (0x7000_0000..0x7840_0000).contains(user)), "{users:?}");
    assert!(users.windows(2).all(|pair| pair[0] != pair[1]), "{users:?}");
    assert!(sandboxes.iter().all(|sandbox| sandbox.status("Groups").is_empty()), "it is in a group");
}

#[test]
fn the_vmm_is_in_namespaces_of_its_own() {
    of_each(|who, sandbox| {
        let other = Sandbox::start(who);
        for name in ["user", "pid", "mnt", "net", "ipc", "uts", "cgroup"] {
            let (here, cli) = (
                format!("/proc/self/ns/{name}"),
                format!("/proc/{}/ns/{name}", sandbox.cli.pid().as_raw_nonzero()),
            );
            for outside in [fs::read_link(here).unwrap(), fs::read_link(cli).unwrap(), other.namespace(name)]
            {
                assert_ne!(sandbox.namespace(name), outside, "{who:?}: {name}");
            }
        }
        assert!(sandbox.status("NSpid").ends_with("\t1"), "{who:?}: {}", sandbox.status("NSpid"));
    });
}

#[test]
fn the_root_of_the_vmm_is_empty_and_read_only() {
    of_each(|who, sandbox| {
        let mounts = sandbox.read("mountinfo");
        assert_eq!(mounts.lines().count(), 1, "{who:?}: {mounts}");
        assert!(mounts.contains(" / / ro,nosuid,nodev,noexec"), "{who:?}: {mounts}");
        assert_eq!(fs::read_dir(sandbox.proc("root/")).unwrap().count(), 0, "{who:?}");
        assert_eq!(fs::read_dir(sandbox.proc("cwd/")).unwrap().count(), 0, "{who:?}");
    });
}

#[test]
fn the_vmm_has_only_the_descriptors_that_it_needs() {
    let directory = tempfile::tempdir().unwrap();
    let secret = crate::write(directory.path(), "secret", "of the host");
    let script = format!("exec 7<{}; exec \"$0\" run -- sh -c 'echo ready; read x'", secret.display());
    let mut cli = Program::new("sh").args(["-c", &script]).args([binary::ampoule()]).start();
    cli.wait_for_output("ready\n");
    let pid = cli.pid().as_raw_nonzero();
    let vmm = fs::read_to_string(format!("/proc/{pid}/task/{pid}/children")).unwrap();
    let sandbox = Sandbox { cli, vmm: vmm.trim().parse().unwrap() };
    let mut sockets = 0;
    for entry in fs::read_dir(sandbox.proc("fd")).unwrap() {
        let number = entry.unwrap().file_name().into_string().unwrap();
        let target = fs::read_link(sandbox.proc(&format!("fd/{number}"))).unwrap();
        let name = target.to_str().unwrap().to_owned();
        sockets += usize::from(name.starts_with("socket:"));
        let known = ["anon_inode:", "pipe:", "socket:", "/dev/kvm", "/memfd:guest-ram"];
        if !known.iter().any(|known| name.starts_with(known)) {
            // Images, the kernel, and its own status in `/proc`.
            let own = target == binary::ampoule().canonicalize().unwrap()
                || name.ends_with(&format!("/{}/status", sandbox.vmm));
            assert!(own, "it has {name}");
            let flags = sandbox.read(&format!("fdinfo/{number}"));
            let flags = flags.lines().find_map(|line| line.strip_prefix("flags:")).unwrap().trim();
            assert!(flags.ends_with('0'), "{name} can be written: {flags}");
        }
    }
    assert_eq!(sockets, 1, "only the agent's connection");
}

#[test]
fn the_vmm_has_limits() {
    of_each(|who, sandbox| {
        for (name, most) in [
            ("Max address space", 2_u64 << 30),
            ("Max data size", 64 << 20),
            ("Max file size", 1 << 30),
            ("Max open files", 64),
            ("Max core file size", 0),
            ("Max processes", 16),
            ("Max locked memory", 0),
        ] {
            let (soft, hard) = sandbox.limit(name);
            assert!(hard.parse::<u64>().is_ok_and(|hard| hard <= most), "{who:?}: {name}: {hard}");
            assert_eq!(soft, hard, "{who:?}: {name}");
        }
    });
}

#[test]
fn the_report_lists_the_layers() {
    for &who in Who::all() {
        let out = who.run(&["--json", "--", "true"]).run().succeeded();
        let report: serde_json::Value = serde_json::from_str(&out).unwrap();
        let missing = &report["isolation"]["missing"];
        let is_there = |layer: &&str| !missing.as_array().unwrap().iter().any(|other| other == *layer);
        let layers: Vec<&str> = LAYERS.into_iter().filter(is_there).collect();
        assert_eq!(report["isolation"]["layers"], serde_json::json!(layers), "{who:?}");
        match who {
            Who::Nobody => assert_eq!(*missing, serde_json::json!(["control_group"])),
            Who::Tester if who.strict().is_empty() => assert!(layers.len() + 1 >= LAYERS.len(), "{missing}"),
            Who::Tester => assert_eq!(*missing, serde_json::json!([])),
        }
        let peak = report["vmm_peak_rss_kib"].as_u64().unwrap();
        assert!((500..100_000).contains(&peak), "{who:?}: the VMM cannot tell its memory: {peak} KiB");
    }
}

#[test]
fn no_jail_is_said_aloud() {
    let ended = Program::sandbox(["--isolation", "none", "--json", "--", "true"]).run();
    assert_eq!(ended.code(), 0);
    assert!(ended.err().starts_with("ampoule: warning: --isolation none"), "{}", ended.err());
    let report: serde_json::Value = serde_json::from_slice(&ended.stdout).unwrap();
    let layers = report["isolation"]["layers"].as_array().unwrap();
    // The VMM's own, and the group's.
    let is_left = |layer: &serde_json::Value| layer == "system_call_filters" || layer == "control_group";
    assert!(
        layers.iter().all(is_left) && layers.iter().any(|layer| layer == "system_call_filters"),
        "{layers:?}"
    );
    let both = Program::sandbox(["--isolation", "none", "--strict", "--", "true"]).run();
    assert_eq!(both.code(), 125, "{}", both.err());
}

#[test]
fn each_thread_of_the_vmm_has_filters() {
    of_each(|who, sandbox| {
        for (name, filters) in [(sandbox.vmm.to_string(), 2), ("devices".to_owned(), 2)] {
            let status = sandbox.task(&name);
            let field = |field: &str| {
                let line = status.lines().find_map(|line| line.strip_prefix(field)?.strip_prefix(':'));
                line.map(|value| value.trim().parse::<u32>().unwrap())
            };
            assert_eq!(field("Seccomp"), Some(2), "{who:?}: {status}");
            // Kernels before 5.9 do not count them.
            assert!(field("Seccomp_filters").is_none_or(|count| count >= filters), "{who:?}: {status}");
        }
    });
}

#[test]
fn a_sandbox_of_nobody_does_what_any_does() {
    for &who in Who::all() {
        let ended = who.run(&["--", "sh", "-c", "cat; exit 3"]).input("some words\n").run();
        assert_eq!(
            (ended.code(), ended.out().as_str(), ended.err().as_str()),
            (3, "some words\n", ""),
            "{who:?}"
        );
        let timed = who.ampoule(&["run", "--timeout", "0.3s", "--", "sleep", "60"]).run();
        assert_eq!(timed.code(), 124, "{who:?}: {}", timed.err());
    }
}

#[test]
fn nobody_builds_and_runs_images() {
    for &who in Who::all() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path();
        let root = path.join("root/bin");
        fs::create_dir_all(&root).unwrap();
        fs::copy(ampoule_tests::BUSYBOX, root.join("sh")).unwrap();
        open_to_all(path);
        let (image, out) = (path.join("image"), path.join("out"));
        let (image, out) = (image.to_str().unwrap(), out.to_str().unwrap());
        let from = path.join("root");
        who.ampoule(&["image", "build", from.to_str().unwrap(), "-o", image]).run().succeeded();
        let output = format!("/made:{out}");
        let ended = who
            .ampoule(&[
                "run",
                "--image",
                image,
                "--output",
                &output,
                "--",
                "/bin/sh",
                "-c",
                "echo made > /made",
            ])
            .run();
        assert_eq!((ended.code(), ended.err().as_str()), (0, ""), "{who:?}");
        assert_eq!(fs::read_to_string(out).unwrap(), "made\n", "{who:?}");
        let stored = who
            .ampoule(&["image", "build", from.to_str().unwrap(), "--name", "mine"])
            .env("XDG_DATA_HOME", path)
            .run();
        assert_eq!(stored.code(), 0, "{who:?}: {}", stored.err());
        let ended = who
            .ampoule(&["run", "--image", "mine", "--", "/bin/sh", "-c", "echo stored"])
            .env("XDG_DATA_HOME", path)
            .run();
        assert_eq!(ended.succeeded(), "stored\n", "{who:?}");
    }
}

fn open_to_all(directory: &Path) {
    use std::os::unix::fs::PermissionsExt;
    fs::set_permissions(directory, fs::Permissions::from_mode(0o777)).unwrap();
}
