//! The agent dies, at each of the steps that it takes: the guest is over, and that is told.

use ampoule_tests::{Program, binary, image, need};
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

/// Calls of the agent's that a job which does nothing does not make: set-up, the job's start, its end.
const STEPS: [(&str, i64); 11] = [
    ("socket", libc::SYS_socket),
    ("connect", libc::SYS_connect),
    ("ppoll", libc::SYS_ppoll),
    ("sendto", libc::SYS_sendto),
    ("epoll_create1", libc::SYS_epoll_create1),
    ("epoll_ctl", libc::SYS_epoll_ctl),
    ("epoll_pwait", libc::SYS_epoll_pwait),
    ("recvfrom", libc::SYS_recvfrom),
    ("pipe2", libc::SYS_pipe2),
    ("clone", libc::SYS_clone),
    ("wait4", libc::SYS_wait4),
];

/// A program that the binary under test has inside, as it was built beside it.
pub fn embedded(name: &str) -> PathBuf {
    let target = binary::ampoule().ancestors().nth(2).expect("a binary in a target directory");
    let program = target.join("embed/x86_64-unknown-linux-gnu/release").join(name);
    assert!(program.is_file(), "{}: the binary under test is not where it was built", program.display());
    program
}

/// An image with an agent that dies at a call.
fn mortal_agent(directory: &Path, name: &str, call: i64) -> PathBuf {
    need("cc", "gcc");
    let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("faults/mortal.c");
    let tree = directory.join(name);
    fs::create_dir(&tree).expect("a directory for the image");
    let compile = Program::new("cc").args(["-static", "-O1", &format!("-DCALL={call}"), "-o"]);
    compile.args([&tree.join("agent"), &source]).run().succeeded();
    image::build(&tree)
}

#[test]
fn an_agent_that_dies_is_the_end_and_is_told() {
    let _alone = crate::alone();
    let directory = tempfile::tempdir().expect("a temporary directory");
    let root = directory.path().join("root");
    image::Tree::new(&root).busybox().file(&embedded("ampoule-agent"), "/agent.real");
    fs::set_permissions(root.join("agent.real"), fs::Permissions::from_mode(0o755)).expect("permissions");
    let root = image::build(&root);
    let run = |agent: &Path| {
        let args =
            ["--image".as_ref(), root.as_os_str(), "--".as_ref(), "/bin/busybox".as_ref(), "true".as_ref()];
        Program::sandbox(args).env("AMPOULE_AGENT", agent).run()
    };
    // A call that nobody makes: so far, all is well.
    run(&mortal_agent(directory.path(), "healthy", libc::SYS_reboot)).succeeded();
    for (name, call) in STEPS {
        let agent = mortal_agent(directory.path(), name, call);
        for _ in 0..5 {
            let told = run(&agent).failed(125, &["the guest kernel panicked", "the first process has ended"]);
            assert!(told.contains("31"), "{name}: not by SIGSYS: {told}");
        }
    }
}
