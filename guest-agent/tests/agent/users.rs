//! Jobs of other users. These tests, like a guest's agent, run as root.

use crate::client::*;
use ampoule_protocol::*;

fn as_user(user: &str, script: &str) -> StartJob {
    let mut start = sh(1, script);
    start.user = Some(User::parse(user).unwrap());
    start
}

#[test]
fn by_name_and_by_number() {
    let mut guest = Guest::start();
    let mut run = |user: &str, script: &str| guest.run(as_user(user, script), b"").text().to_owned();
    assert_eq!(run("nobody", "id -u; id -g; echo $HOME $USER"), "65534\n65534\n/nonexistent nobody\n");
    assert_eq!(run("daemon:nogroup", "id -u; id -G"), "1\n65534\n");
    assert_eq!(run("4242", "id -u; id -g; id -G; echo $HOME ${USER-none}"), "4242\n0\n0\n/ none\n");
    assert_eq!(run("4242:4343", "id -u; id -g; id -G"), "4242\n4343\n4343\n");
    assert_eq!(run("root", "id -u; echo $HOME"), "0\n/root\n");
}

#[test]
fn all_ids_change() {
    let mut guest = Guest::start();
    let output = guest.run(as_user("4242:4343", "grep -E '^(Uid|Gid|Groups|CapEff)' /proc/self/status"), b"");
    let lines: Vec<Vec<_>> = output.text().lines().map(|line| line.split_whitespace().collect()).collect();
    assert_eq!(lines[0], ["Uid:", "4242", "4242", "4242", "4242"]);
    assert_eq!(lines[1], ["Gid:", "4343", "4343", "4343", "4343"]);
    assert_eq!(lines[2], ["Groups:"]);
    assert_eq!(lines[3], ["CapEff:", "0000000000000000"]);
}

#[test]
fn who_is_not_there_is_reported() {
    let mut guest = Guest::start();
    for (user, message) in [("no-such-user", "no such user"), ("nobody:no-such-group", "no such group")] {
        let failed = guest.refuse(as_user(user, "true"));
        assert_eq!((failed.step, failed.exit_code()), (StartStep::User, 125));
        assert!(failed.message.to_string().contains(message), "{failed:?}");
    }
}

#[test]
fn a_user_may_open_its_own_standard_files() {
    let mut guest = Guest::start();
    let output =
        guest.run(as_user("nobody", "echo out > /dev/stdout; echo err > /dev/stderr; cat /dev/stdin"), b"in");
    assert_eq!((output.text(), output.stderr.as_slice()), ("out\nin", &b"err\n"[..]));
    let mut start = as_user("nobody", "echo tty > $(tty)");
    start.stdio = Stdio::Tty(TtySize { rows: 1, cols: 1 });
    assert_eq!(guest.run(start, b"").text(), "tty\r\n");
}

#[test]
fn a_user_cannot_execute_what_it_may_not() {
    let mut guest = Guest::start();
    let directory = tempfile::tempdir().unwrap();
    std::fs::set_permissions(directory.path(), std::os::unix::fs::PermissionsExt::from_mode(0o700)).unwrap();
    let path = directory.path().join("true");
    std::fs::copy("/bin/true", &path).unwrap();
    let mut start = command(1, &[path.to_str().unwrap()]);
    assert_eq!(guest.run(start.clone(), b"").status(), Status::Code(0));
    // The directory is root's alone.
    start.user = Some(User::parse("nobody").unwrap());
    let failed = guest.refuse(start);
    assert_eq!((failed.step, failed.errno, failed.exit_code()), (StartStep::Exec, 13, 126));
}

#[test]
fn a_fork_bomb_harms_only_itself() {
    let mut guest = Guest::start();
    let mut start = as_user("54321:54321", "bomb() { bomb | bomb & }; bomb 2> /dev/null; sleep 0.2; exit 3");
    start.rlimits = List::new(vec![Rlimit { resource: Resource::Nproc, soft: 40, hard: 40 }]).unwrap();
    let output = guest.run(start, b"");
    assert!(output.exited.is_some());
    assert_eq!(guest.sh("echo fine").text(), "fine\n");
    let bombs = || {
        let uids = std::process::Command::new("ps").args(["-U", "54321", "-o", "pid="]).output().unwrap();
        uids.stdout.is_empty().then_some(())
    };
    eventually(bombs);
}
