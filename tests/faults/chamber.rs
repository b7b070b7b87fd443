//! Namespaces of its own for a test: it is the first of its processes, and its temporary directories are empty.

use crate::mortal::embedded;
use ampoule_tests::{Program, Turn, binary, need};
use rustix::mount::{MountFlags, mount};
use std::ffi::OsString;
use std::path::Path;
use std::time::Duration;
use std::{env, fs, process};

/// Set for the test inside.
const INSIDE: &str = "AMPOULE_TEST_INSIDE";
/// Where the agent is that the binary under test has inside: the path of its file outside, and inside that of its copy.
pub const AGENT: &str = "AMPOULE_TEST_AGENT";
/// What may take files that nobody has asked for.
pub const TEMPORARY: [&str; 4] = ["/tmp", "/run", "/var/tmp", "/dev/shm"];
/// How long the test inside may take.
const LIMIT: Duration = Duration::from_secs(500);

/// Runs the test of this name, which calls this first, once more inside. Says whether it is inside already; if not, all
/// is done.
pub fn enter(test: &str) -> bool {
    if env::var_os(INSIDE).is_some() {
        furnish();
        return true;
    }
    need("unshare", "util-linux");
    let _turn = Turn::take();
    let user: &[&str] =
        if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    let exe = env::current_exe().expect("the path of this program");
    let ended = Program::new("unshare")
        .args(user)
        .args(["--mount", "--pid", "--ipc", "--fork", "--kill-child", "--mount-proc"])
        .args([exe.as_os_str()])
        .args(["--exact", test, "--nocapture", "--test-threads=1"])
        .env(INSIDE, "1")
        .env("AMPOULE_BIN", binary::ampoule())
        .env(AGENT, embedded("ampoule-agent"))
        .limit(LIMIT)
        .run();
    print!("{}", ended.out());
    assert_eq!(ended.code(), 0, "{}", ended.err());
    assert!(ended.out().contains("1 passed"), "the test did not run inside: {}", ended.out());
    false
}

/// Hides temporary directories behind empty ones. The binary stays, wherever it is.
fn furnish() {
    assert_eq!(process::id(), 1, "{INSIDE} is set outside of the namespaces");
    // What is asked for the binary later is to be the copy.
    let binary =
        env::var_os("AMPOULE_BIN").and_then(|path| fs::read(path).ok()).expect("the binary under test");
    let agent = env::var_os(AGENT).and_then(|path| fs::read(path).ok()).expect("its agent");
    for directory in TEMPORARY.map(Path::new).into_iter().filter(|directory| directory.is_dir()) {
        mount("none", directory, "tmpfs", MountFlags::empty(), None)
            .unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
    }
    let copy = Path::new("/tmp/ampoule");
    fs::write(copy, binary).expect("room for the binary");
    let copied_agent = Path::new("/tmp/agent");
    fs::write(copied_agent, agent).expect("room for the agent");
    for copy in [copy, copied_agent] {
        let executable = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        fs::set_permissions(copy, executable).expect("permissions of what was copied");
    }
    let home = Path::new("/tmp/home");
    fs::create_dir(home).expect("a home directory");
    env::set_current_dir(home).expect("the home directory");
    // SAFETY: the test's only thread is this one: its siblings are not run, and it has started nothing yet.
    unsafe {
        env::set_var("AMPOULE_BIN", OsString::from(copy));
        env::set_var(AGENT, OsString::from(copied_agent));
        env::set_var("HOME", home);
    }
}
