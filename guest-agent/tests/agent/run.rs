//! One job: how it starts and how it ends.

use crate::client::*;
use ampoule_protocol::*;

#[test]
fn exit_codes_and_output() {
    let mut guest = Guest::start();
    assert_eq!(guest.hello.agent.as_raw_str(), env!("CARGO_PKG_VERSION"));
    assert_eq!(guest.hello.kernel.as_raw_str(), "Linux");
    assert!(guest.hello.boot.len() >= 2 && guest.hello.boot.iter().all(|phase| phase.ns > 0));
    for code in [0, 1, 42, 255] {
        let output = guest.sh(&format!("echo out; echo err >&2; exit {code}"));
        assert_eq!(output.status(), Status::Code(code));
        assert_eq!((output.text(), output.stderr.as_slice()), ("out\n", &b"err\n"[..]));
    }
}

#[test]
fn death_by_signal() {
    let mut guest = Guest::start();
    for signo in [1, 9, 15, 34] {
        let status = guest.sh(&format!("kill -{signo} $$")).status();
        assert_eq!(status, Status::Signal { signo, core: false });
        assert_eq!(status.exit_code(), 128 + signo);
    }
    let status = guest.sh("ulimit -c 0; kill -11 $$").status();
    assert_eq!(status, Status::Signal { signo: 11, core: false });
}

#[test]
fn commands_that_are_not_there_or_not_executable() {
    let mut guest = Guest::start();
    let directory = tempfile::tempdir().unwrap();
    let path = |name: &str| directory.path().join(name).to_str().unwrap().to_owned();
    std::fs::write(path("plain"), "#!/bin/sh\n").unwrap();
    std::fs::write(path("garbage"), "garbage").unwrap();
    std::fs::set_permissions(path("garbage"), std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let mut check = |start: StartJob, errno, code| {
        let what = format!("{:?}", start.argv);
        let failed = guest.refuse(start);
        assert_eq!((failed.step, failed.errno, failed.exit_code()), (StartStep::Exec, errno, code), "{what}");
    };
    check(command(1, &["/no/such/command"]), 2, 127);
    check(command(1, &["no-such-command"]), 2, 127);
    check(command(1, &[""]), 2, 127);
    check(command(1, &["/etc/passwd/x"]), 2, 127);
    check(command(1, &["/"]), 13, 126);
    check(command(1, &[&path("plain")]), 13, 126);
    check(command(1, &[&path("garbage")]), 8, 126);
    // A directory of the search path may hold something of that name that is not it.
    let mut start = command(1, &["plain"]);
    start.env = env(&[("PATH", &format!("/nowhere:{}:/bin", path("")))]);
    check(start, 13, 126);
    let output = guest.sh("echo still there");
    assert_eq!(output.text(), "still there\n");
}

#[test]
fn the_path_of_the_job_finds_the_command() {
    let mut guest = Guest::start();
    let directory = tempfile::tempdir().unwrap();
    std::os::unix::fs::symlink("/bin/echo", directory.path().join("my-echo")).unwrap();
    let mut start = command(1, &["my-echo", "a b", "", "*"]);
    start.env = env(&[("PATH", &format!("/nowhere::{}", directory.path().display()))]);
    assert_eq!(guest.run(start, b"").text(), "a b  *\n");
    assert_eq!(guest.run(command(1, &["true"]), b"").status(), Status::Code(0));
}

#[test]
fn arguments_are_bytes() {
    let mut guest = Guest::start();
    let mut start = command(1, &["/usr/bin/printf", "%s"]);
    let mut argv = start.argv.clone().into_vec();
    argv.push(CBytes::new(&b"\xff\xfe\n"[..]).unwrap());
    start.argv = List::new(argv).unwrap();
    assert_eq!(guest.run(start, b"").stdout, b"\xff\xfe\n");
}

#[test]
fn many_and_long_arguments() {
    let mut guest = Guest::start();
    let long = "x".repeat(100_000);
    let mut argv = vec!["/bin/sh", "-c", "echo $# ${#1} ${#9}", "sh"];
    argv.extend([long.as_str(); 9]);
    argv.extend(["y"; 20_000]);
    assert_eq!(guest.run(command(1, &argv), b"").text(), "20009 100000 100000\n");
}

#[test]
fn a_clean_environment() {
    let mut guest = Guest::start();
    let mut start = command(1, &["/usr/bin/env"]);
    start.env = env(&[("B", "1"), ("HOME", "/there"), ("B", "2")]);
    let path = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";
    assert_eq!(guest.run(start, b"").text(), format!("{path}\nUSER=root\nHOME=/there\nB=2\n"));
}

#[test]
fn the_working_directory_is_created() {
    let mut guest = Guest::start();
    let directory = tempfile::tempdir().unwrap();
    let deep = directory.path().join("a/b/c");
    let mut start = command(1, &["/bin/pwd"]);
    start.cwd = Some(bytes(&deep));
    assert_eq!(guest.run(start, b"").text(), format!("{}\n", deep.display()));

    std::fs::write(directory.path().join("file"), "").unwrap();
    for (cwd, errno) in [("file", 20), ("file/x", 20)] {
        let mut start = command(1, &["/bin/pwd"]);
        start.cwd = Some(bytes(directory.path().join(cwd)));
        let failed = guest.refuse(start);
        assert_eq!((failed.step, failed.errno), (StartStep::Cwd, errno), "{cwd}");
    }
}

#[test]
fn no_input_is_an_empty_file() {
    let mut guest = Guest::start();
    let mut start = sh(1, "readlink /proc/self/fd/0; cat; echo done");
    start.stdio = Stdio::Pipes { stdin: Input::Null };
    assert_eq!(guest.run(start, b"").text(), "/dev/null\ndone\n");
}

#[test]
fn limits() {
    let mut guest = Guest::start();
    let mut start = sh(1, "ulimit -n; ulimit -f; ulimit -c");
    let limit = |resource, soft, hard| Rlimit { resource, soft, hard };
    let limits = vec![
        limit(Resource::Nofile, 33, 34),
        limit(Resource::Fsize, u64::MAX, u64::MAX),
        limit(Resource::Core, 0, 0),
    ];
    start.rlimits = List::new(limits).unwrap();
    assert_eq!(guest.run(start, b"").text(), "33\nunlimited\n0\n");
    let mut start = sh(1, "true");
    start.rlimits = List::new(vec![limit(Resource::Nofile, 2, 1)]).unwrap();
    let failed = guest.refuse(start);
    assert_eq!((failed.step, failed.errno, failed.exit_code()), (StartStep::Rlimits, 22, 125));
}

#[test]
fn a_job_has_only_its_own_files_and_signals() {
    let mut guest = Guest::start();
    let script = "ls /proc/self/fd; grep -E 'Sig(Blk|Ign|Cgt)' /proc/self/status";
    // What these tests inherited, the agent and its jobs inherit too.
    let without = std::process::Command::new("/bin/sh").args(["-c", script]).output().unwrap();
    assert_eq!(guest.sh(script).text(), std::str::from_utf8(&without.stdout).unwrap());
}

#[test]
fn a_job_leads_its_own_session() {
    let mut guest = Guest::start();
    let pid = guest.launch(sh(1, "exec cut -d' ' -f1,5,6,7 /proc/self/stat"));
    let output = guest.finish(job(1), Some(b""));
    assert_eq!(output.text(), format!("{pid} {pid} {pid} 0\n"));
}

#[test]
fn usage_is_measured() {
    let mut guest = Guest::start();
    let output = guest.sh("i=0; while [ $i -lt 300000 ]; do i=$((i+1)); done; sleep 0.05");
    let usage = output.exited.unwrap().usage;
    assert!(usage.wall_us >= 50_000, "{usage:?}");
    assert!(usage.user_us + usage.system_us > 10_000, "{usage:?}");
    assert!(usage.wall_us >= (usage.user_us + usage.system_us) / 2, "{usage:?}");
    assert!(usage.max_rss_kib > 300 && usage.minor_faults > 10, "{usage:?}");
}

/// `number` gives `action`, everything else is allowed.
fn all_but(number: u32, action: u32) -> Filter {
    let instruction = |code, jt, jf, k| Instruction { code, jt, jf, k };
    List::new(vec![
        instruction(0x20, 0, 0, 0), // Load the number.
        instruction(0x15, 0, 1, number),
        instruction(0x06, 0, 0, action),
        instruction(0x06, 0, 0, 0x7fff_0000),
    ])
    .unwrap()
}

const GIVES_EPERM: u32 = 0x0005_0001;
const KILLS: u32 = 0x8000_0000;
const EXECVE: u32 = 59;
const MKDIR: u32 = 83;
const EXIT: u32 = 60;

#[test]
fn a_filter_of_system_calls() {
    let mut guest = Guest::start();
    let directory = tempfile::tempdir().unwrap();
    let script = format!(
        "grep -E '^(NoNewPrivs|Seccomp):' /proc/self/status; mkdir {0}/new 2>&1; test -d {0}/new; echo $?",
        directory.path().display()
    );
    let mut start = sh(1, &script);
    start.filter = Some(all_but(MKDIR, GIVES_EPERM));
    let output = guest.run(start, b"");
    let lines: Vec<_> = output.text().lines().map(str::to_owned).collect();
    let [privileges, seccomp, refused, missing] = lines.as_slice() else { panic!("{lines:?}") };
    assert_eq!((privileges.as_str(), seccomp.as_str()), ("NoNewPrivs:\t1", "Seccomp:\t2"));
    assert!(refused.ends_with("Operation not permitted"), "{refused}");
    assert_eq!(missing, "1");
    // The agent itself, and the next job, are not filtered.
    assert_eq!(guest.sh("grep Seccomp: /proc/self/status").text(), "Seccomp:\t0\n");

    let mut start = sh(1, &script);
    start.filter = Some(all_but(MKDIR, KILLS));
    let last = guest.run(start, b"");
    assert!(last.text().ends_with("\n1\n"), "{}", last.text());
}

#[test]
fn a_filter_that_is_none_or_lets_nothing_start() {
    let mut guest = Guest::start();
    let mut start = command(1, &["/bin/true"]);
    // It runs off its end.
    start.filter = Some(List::new(vec![Instruction { code: 0x20, jt: 0, jf: 0, k: 0 }]).unwrap());
    let failed = guest.refuse(start);
    assert_eq!((failed.step, failed.errno, failed.exit_code()), (StartStep::Filter, 22, 125));

    let mut start = command(1, &["/bin/true"]);
    start.filter = Some(all_but(EXECVE, GIVES_EPERM));
    let failed = guest.refuse(start);
    assert_eq!((failed.step, failed.errno, failed.exit_code()), (StartStep::Exec, 1, 126));

    // Not even its own end.
    let refuse_all = vec![Instruction { code: 0x06, jt: 0, jf: 0, k: GIVES_EPERM }];
    let mut start = command(1, &["/bin/true"]);
    start.filter = Some(List::new(refuse_all).unwrap());
    assert_eq!(guest.refuse(start).step, StartStep::Exec);

    let mut start = command(1, &["/bin/true"]);
    start.filter = Some(all_but(EXECVE, KILLS));
    assert_eq!(guest.run(start, b"").status(), Status::Signal { signo: 31, core: false });

    // What is refused after the start is the command's affair.
    let mut start = sh(1, "ulimit -c 0; exit 3");
    start.filter = Some(all_but(EXIT, KILLS));
    assert_eq!(guest.run(start, b"").status(), Status::Code(3));
    assert_eq!(guest.sh("echo still there").text(), "still there\n");
}
