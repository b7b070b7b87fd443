//! Every limit, hit in a real VM: its own name, exit code and sentence, and nothing left behind.

use crate::write;
use ampoule_cgroup::{Controller, Host};
use ampoule_tests::{Program, Turn};
use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::thread;
use std::time::{Duration, Instant};

const SPIN: &str = "while :; do :; done";

fn report(args: &[&str]) -> serde_json::Value {
    let ended = Program::sandbox(["--json"]).args(args).run();
    serde_json::from_str(&ended.out()).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
}

/// Whether the host gives us this controller. Where it does not, a limit that needs it is refused.
fn has(controller: Controller) -> bool {
    Host::new().find(controller).is_ok()
}

/// The groups of the process with this id, or of all.
fn groups_of(pid: Option<u32>) -> Vec<PathBuf> {
    let host = Host::new();
    let start = pid.map_or("ampoule-".to_owned(), |pid| format!("ampoule-{pid}-"));
    let mut groups = Vec::new();
    for (_, place) in Controller::ALL.into_iter().filter_map(|controller| host.find(controller).ok()) {
        let entries = fs::read_dir(place).unwrap().map(|entry| entry.unwrap().path());
        groups.extend(
            entries.filter(|path| {
                path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(&start))
            }),
        );
    }
    groups
}

#[test]
fn processor_time_that_is_used_up_ends_the_sandbox() {
    let report = report(&["--cpu-time", "0.5s", "--", "sh", "-c", SPIN]);
    assert_eq!((&report["outcome"], &report["exit_code"]), (&"cpu_time_exceeded".into(), &152.into()));
    assert_eq!(report["message"], "the sandbox used up its processor time of 0.5 s (--cpu-time)");
    // Sleeping costs none.
    Program::sandbox(["--cpu-time", "20s", "--", "sleep", "0.5"]).run().succeeded();
}

#[test]
fn more_output_than_allowed_ends_the_sandbox_and_what_is_allowed_comes_out() {
    let script = "yes | head -c 5000; yes >&2";
    let ended = Program::sandbox(["--output-limit", "4K", "--", "sh", "-c", script]).run();
    assert_eq!((ended.code(), ended.out().len()), (153, 4096));
    assert!(ended.err().ends_with("the command wrote more than 4 KiB of output (--output-limit)\n"));
    let both = "yes | head -c 3000; yes | head -c 3000 >&2";
    let report = report(&["--output-limit", "4K", "--", "sh", "-c", both]);
    assert_eq!((&report["outcome"], &report["exit_code"]), (&"output_limit_exceeded".into(), &153.into()));
    let all = Program::sandbox(["--output-limit", "6000", "--", "sh", "-c", both]).run();
    assert_eq!((all.code(), all.out().len(), all.err().len()), (0, 3000, 3000));
}

#[test]
fn a_share_of_a_processor_is_enforced_or_refused() {
    let count = "i=0; while [ $i -lt 100000 ]; do i=$((i + 1)); done";
    let report = report(&["--cpus", "0.1", "--", "sh", "-c", count]);
    match has(Controller::Cpu) {
        true => {
            assert_eq!(report["outcome"], "exited", "{report}");
            assert!(report["host"]["throttled_us"].as_u64().unwrap() > 0, "{report}");
        }
        false => {
            assert_eq!(
                (&report["outcome"], &report["exit_code"]),
                (&"limit_unavailable".into(), &125.into())
            );
            assert!(report["message"].as_str().unwrap().contains("--cpus"));
        }
    }
}

#[test]
fn a_sandbox_that_needs_more_memory_of_the_host_ends() {
    if !has(Controller::Memory) {
        return;
    }
    let script = "read go; x=$(head -c 100000000 /dev/zero | tr '\\0' x); echo not over";
    let mut running = Program::sandbox(["-m", "256M", "--json", "--", "sh", "-c", script]).start();
    let pid = running.child.id();
    // The group's limit is what the policy says, and the VMM is in it.
    let group = wait_for(|| {
        let groups = groups_of(Some(pid));
        let members = |path: &PathBuf| fs::read_to_string(path.join("cgroup.procs")).unwrap_or_default();
        groups.into_iter().find(|path| memory_file(path).exists() && members(path).lines().count() == 1)
    });
    let limit: u64 = fs::read_to_string(memory_file(&group)).unwrap().trim().parse().unwrap();
    assert_eq!(limit, (256 + 16 + 64) << 20);
    // No policy can be so tight that its guest's RAM does not fit, so the group is made tighter here.
    fs::write(memory_file(&group), "48M").unwrap();
    running.child.stdin.take().unwrap().write_all(b"go\n").unwrap();
    let ended = running.finish();
    let report: serde_json::Value = serde_json::from_str(&ended.out()).unwrap();
    assert_eq!((&report["outcome"], &report["exit_code"]), (&"host_memory_exceeded".into(), &137.into()));
    assert!(report["host"]["peak_memory_kib"].as_u64().unwrap() > 20_000, "{report}");
    assert!(
        ended.err().contains("the sandbox needed more memory of the host than its 336 MiB"),
        "{}",
        ended.err()
    );
}

/// The file with its limit on memory.
pub fn memory_file(group: &Path) -> PathBuf {
    let v1 = group.join("memory.limit_in_bytes");
    if v1.exists() { v1 } else { group.join("memory.max") }
}

/// Waits for something that comes within a minute.
pub fn wait_for<T>(mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_secs(60);
    loop {
        match look() {
            Some(found) => return found,
            None => assert!(Instant::now() < deadline, "it does not come"),
        }
        thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn processes_files_and_disk_run_out_in_the_guest_with_the_guests_errors() {
    let script =
        "ulimit -n; i=3; while [ $i -lt 40 ]; do eval \"exec $i</dev/null\" || exit 4; i=$((i + 1)); done";
    let ended = Program::sandbox(["--ulimit", "nofile=16", "--", "sh", "-c", script]).run();
    assert_eq!(ended.out(), "16\n");
    assert_ne!(ended.code(), 0, "forty files were opened");
    let fill = "dd if=/dev/zero of=/tmp/x bs=64k count=64 2>&1 | head -n1; rm /tmp/x; echo again";
    let out = Program::sandbox(["--disk", "1M", "--", "sh", "-c", fill]).run().succeeded();
    assert_eq!(out, "dd: error writing '/tmp/x': No space left on device\nagain\n");
    let files = "i=0; while true > /tmp/$i; do i=$((i + 1)); done 2>/dev/null; [ $i -le 80 ] && echo few";
    let out = Program::sandbox(["--disk-files", "64", "--timeout", "60s", "--", "sh", "-c", files])
        .run()
        .succeeded();
    assert_eq!(out, "few\n");
}

#[test]
fn what_travels_in_a_second_is_limited() {
    let start = Instant::now();
    let ended = Program::sandbox(["--rate", "512K", "--", "head", "-c", "1500000", "/dev/zero"]).run();
    assert_eq!((ended.code(), ended.out().len()), (0, 1_500_000));
    // 1.5 MB less the burst of 128 KiB, at 512 KiB a second. Load can only make it slower.
    assert!(start.elapsed() > Duration::from_secs(2), "{:?}", start.elapsed());
    let all =
        Program::sandbox(["--rate", "1M", "--", "sh", "-c", "cat | wc -c"]).input("x".repeat(300_000)).run();
    assert_eq!(all.succeeded().trim(), "300000");
}

#[test]
fn siblings_of_a_sandbox_at_its_limits_go_on() {
    thread::scope(|scope| {
        let greedy = [
            ["--cpu-time", "1s", SPIN],
            ["--output-limit", "64K", "yes"],
            ["--disk", "1M", "cat /dev/zero > /tmp/x; exit 7"],
        ];
        for ([option, value, script], code) in greedy.into_iter().zip([152, 153, 7]) {
            scope.spawn(move || {
                let ended = Program::sandbox([option, value, "--", "sh", "-c", script]).run();
                assert_eq!(ended.code(), code, "{option}: {}", ended.err());
            });
        }
        for n in 0..6 {
            assert_eq!(Program::sandbox(["--", "echo", &n.to_string()]).run().succeeded(), format!("{n}\n"));
        }
    });
}

#[test]
fn no_group_is_left_behind_and_that_of_a_killed_program_is_swept() {
    let _turn = Turn::take();
    if !has(Controller::Memory) {
        return;
    }
    let mut running = Program::sandbox(["--", "sh", "-c", "echo up; sleep 60"]).start();
    running.wait_for_output("up\n");
    let pid = running.child.id();
    let groups = groups_of(Some(pid));
    assert!(!groups.is_empty());
    running.child.kill().unwrap();
    running.child.wait().unwrap();
    // The VMM's lifeline is cut: it ends by itself. The next sandboxes remove what is left.
    let deadline = Instant::now() + Duration::from_secs(60);
    while groups.iter().any(|path| path.exists()) {
        assert!(Instant::now() < deadline, "{groups:?} are still there");
        Program::sandbox(["--", "true"]).run().succeeded();
    }
    let mut ended = Program::sandbox(["--", "true"]).start();
    let pid = ended.child.id();
    assert_eq!(ended.finish().code(), 0);
    assert_eq!(groups_of(Some(pid)), Vec::<PathBuf>::new());
}

#[test]
fn processes_of_the_guest_are_counted() {
    let script = "for i in 1 2 3 4 5 6 7 8 9; do sleep 60 & done; echo all";
    let ended = Program::sandbox(["--pids-limit", "6", "--", "sh", "-c", script]).run();
    assert_ne!((ended.code(), ended.out().as_str()), (0, "all\n"));
    assert!(ended.err().contains("can't fork"), "{}", ended.err());
    let all = Program::sandbox(["--pids-limit", "20", "--", "sh", "-c", script]).run();
    assert_eq!((all.code(), all.out().as_str()), (0, "all\n"), "{}", all.err());
}

#[test]
fn system_calls_that_a_policy_denies_fail_or_kill() {
    let directory = tempfile::tempdir().unwrap();
    let run = |action: &str| {
        let text = format!(
            "[system_calls]\nmode = \"deny\"\naction = \"{action}\"\nnames = [\"mkdir\", \"mkdirat\"]\n"
        );
        let policy = write(directory.path(), action, text);
        let script = "touch /tmp/file && echo file; mkdir /tmp/directory; echo $?; exec mkdir /tmp/other";
        let args = ["--policy".as_ref(), policy.as_os_str(), "--".as_ref(), "sh".as_ref(), "-c".as_ref()];
        Program::sandbox(args).args([script]).run()
    };
    let failed = run("errno");
    assert_eq!((failed.code(), failed.out().as_str()), (1, "file\n1\n"), "{}", failed.err());
    assert!(failed.err().contains("Operation not permitted"), "{}", failed.err());
    let killed = run("kill");
    assert_eq!((killed.code(), killed.out().as_str()), (128 + 31, "file\n159\n"), "{}", killed.err());
}

#[test]
fn a_locked_policy_takes_what_is_tighter_and_nothing_else() {
    for (option, value, words) in [
        ("--memory", "1G", "--memory 1024 MiB is looser than the policy allows"),
        ("--timeout", "0", "`deadlines.job_ms` is 60 s"),
        ("--pids-limit", "65", "`limits.processes` is 64"),
        ("--user", "root", "`job.user` is 65534:65534"),
        ("--env", "HOME", "environment.pass"),
        ("--rate", "0", "`limits.vsock_kib_per_second` is 64 MiB"),
        ("--isolation", "none", "takes the whole jail"),
    ] {
        let ended = Program::sandbox(["--policy", "strict", option, value, "--", "true"]).run();
        ended.failed(125, &[option, words, "the policy is locked"]);
    }
}

#[test]
fn policies_are_checked_shown_and_listed() {
    let directory = tempfile::tempdir().unwrap();
    let bad = write(directory.path(), "bad.toml", "[machine]\nmemory_mib = 1\n");
    let path = bad.to_str().unwrap();
    let ended = Program::ampoule(["policy", "check", path]).run();
    assert_eq!(ended.code(), 1);
    assert!(
        ended.err().contains("bad.toml: line 2, column 14: `machine.memory_mib` is 1\n"),
        "{}",
        ended.err()
    );
    let run = Program::sandbox(["--policy", path, "--", "true"]).run();
    assert_eq!(run.code(), 125);
    assert!(
        run.err().contains("line 2, column 14") && run.err().contains("memory_mib = 1\n"),
        "{}",
        run.err()
    );
    for name in ["default", "strict", "function", "ci", "document"] {
        let shown = Program::ampoule(["policy", "show", name]).run().succeeded();
        let file = write(directory.path(), name, &shown);
        Program::ampoule(["policy", "check", file.to_str().unwrap()]).run().succeeded();
        assert!(Program::ampoule(["policy", "list"]).run().succeeded().contains(name));
    }
    assert_eq!(Program::sandbox(["--policy", "nosuch", "--", "true"]).run().code(), 125);
}

#[test]
fn policies_that_are_no_policies_are_refused_at_once() {
    let directory = tempfile::tempdir().unwrap();
    let file = |name: &str, text: &[u8]| write(directory.path(), name, text).to_str().unwrap().to_owned();
    for (path, words) in [
        ("/dev/zero".to_owned(), "more than the 65536 allowed"),
        ("/".to_owned(), "directory"),
        ("/proc/self/mem".to_owned(), "error"),
        (file("giant", &vec![b'#'; 1 << 20]), "more than the 65536 allowed"),
        (file("bytes", b"[machine]\nmemory_mib = \xff\n"), "a byte at 23 is not UTF-8"),
        (file("lists", format!("a = {}", "[".repeat(60_000)).as_bytes()), "line 1, column"),
        (file("tables", format!("a = {}", "{a=".repeat(20_000)).as_bytes()), "line 1, column"),
        (file("keys", format!("{}a = 1", "a.".repeat(30_000)).as_bytes()), "line 1, column"),
        (file("controls", b"[limits]\n\n\"\\u001b[2J\" = 1 # \xe2\x80\xae\n"), "line 3, column 1"),
    ] {
        for (args, code) in [(&["policy", "check", &path][..], 1), (&["run", "--policy", &path, "true"], 125)]
        {
            let ended = Program::ampoule(args).run();
            assert_eq!(ended.code(), code, "{path}: {}", ended.err());
            assert!(ended.err().starts_with("ampoule: ") && ended.err().contains(words), "{}", ended.err());
            assert!(ended.stderr.len() < 1 << 17 && !ended.err().contains('\x1b'), "{path}");
        }
    }
}

#[test]
fn a_policy_gives_variables_files_and_a_user() {
    let directory = tempfile::tempdir().unwrap();
    let input = write(directory.path(), "in", "hello\n");
    let output = directory.path().join("out");
    let policy = format!(
        "[environment]\npass = [\"GIVEN\"]\nset = {{ A = \"b c\" }}\ndeny = [\"SECRET*\"]\n[files]\ninput = [\"{}:/in\"]\n\
         output = [\"/tmp/out:{}\"]\n[job]\nuser = \"65534:65534\"\n",
        input.display(),
        output.display(),
    );
    let policy = write(directory.path(), "policy.toml", &policy);
    let path = policy.to_str().unwrap();
    let script = "cp /in /tmp/out; echo $A,$GIVEN,$(id -u)";
    let ended = Program::sandbox(["--policy", path, "--", "sh", "-c", script]).env("GIVEN", "x").run();
    assert_eq!(ended.succeeded(), "b c,x,65534\n");
    assert_eq!(fs::read_to_string(Path::new(&output)).unwrap(), "hello\n");
    let denied = Program::sandbox(["--policy", path, "-e", "SECRET_KEY=1", "--", "true"]).run();
    denied.failed(125, &["denies the variable SECRET_KEY", "SECRET*"]);
}
