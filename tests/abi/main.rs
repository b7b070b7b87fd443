//! The system-call ABI, with the host's Linux as the oracle: the same programs and shell scripts run on the host and in a
//! guest, each in an empty directory, and what they print and how they end must be the same byte for byte.
//!
//! `programs/*.c` are compiled by `build.rs`, as static programs and some as dynamically linked ones; `shell/*.sh` are
//! run by the same busybox on both sides. Each is a test, and each has a microVM of its own.
//! With `AMPOULE_TEST_KERNEL` the guest's kernel is one of the local store (`tests/lab/suite abi-linux`), and all share a
//! microVM ([`shared`]).

mod shared;
mod tests {
    include!(concat!(env!("OUT_DIR"), "/abi_tests.rs"));
}

use ampoule_tests::{BUSYBOX, Ended, Program, diff, image, need};
use std::path::{Path, PathBuf};
use std::time::Duration;

const PROGRAMS: &str = concat!(env!("OUT_DIR"), "/programs");
const RECORDS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/abi/programs");
const SCRIPTS: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/abi/shell");
/// Longest time of one program. Each has an alarm that ends it sooner.
const LIMIT: Duration = Duration::from_secs(90);

/// Runs a compiled program on both sides.
fn program(kind: &str, name: &str) {
    let host = PathBuf::from(PROGRAMS).join(kind).join(name);
    let guest = format!("/programs/{kind}/{name}");
    let theirs = on_host(Program::new(host).named(&guest), HOST_PATH);
    let ours = in_guest(&[&guest], "/bin");
    compare(&theirs, &ours);
}

/// Runs a compiled program that starts as root. Who is not root cannot ask the host's Linux: what it said is in a file.
fn program_of_root(kind: &str, name: &str) {
    let record = PathBuf::from(RECORDS).join(format!("{name}.transcript"));
    let recorded =
        std::fs::read_to_string(&record).unwrap_or_else(|error| panic!("{}: {error}", record.display()));
    if rustix::process::geteuid().is_root() {
        let host = PathBuf::from(PROGRAMS).join(kind).join(name);
        let theirs = on_host(Program::new(host), HOST_PATH);
        let difference = diff::lines(&recorded, &theirs.out());
        assert!(difference.is_empty(), "the record (-) is not what Linux (+) says:\n{difference}");
    }
    let ours = in_guest(&[&format!("/programs/{kind}/{name}")], "/bin");
    let difference = diff::lines(&recorded, &ours.out());
    assert!(difference.is_empty(), "Linux (-) and the guest (+) differ:\n{difference}{}", tail(&ours.err()));
}

/// Runs a script of busybox's shell on both sides.
fn script(_kind: &str, name: &str) {
    need(BUSYBOX, "busybox-static");
    let applets = tempfile::tempdir().expect("a temporary directory");
    image::applets(applets.path(), Path::new(BUSYBOX));
    let script = PathBuf::from(SCRIPTS).join(format!("{name}.sh"));
    let script =
        std::fs::read_to_string(&script).unwrap_or_else(|error| panic!("{}: {error}", script.display()));
    let path = applets.path().to_str().expect("a path in UTF-8");
    // As an argument, the script has the same name on both sides.
    let arguments = ["sh", "-c", &script, name];
    let theirs = on_host(Program::new(BUSYBOX).args(arguments), path);
    let ours = in_guest(&[&["/bin/busybox"], arguments.as_slice()].concat(), "/applets");
    compare(&theirs, &ours);
}

const HOST_PATH: &str = "/usr/bin:/bin";

fn on_host(program: Program, path: &str) -> Ended {
    let directory = tempfile::tempdir().expect("a temporary directory");
    program
        .only_env(&[("PATH", path), ("HOME", "/root"), ("USER", "root")])
        .cwd(directory.path())
        .like_a_job()
        .limit(LIMIT)
        .run()
}

fn in_guest(command: &[&str], path: &str) -> Ended {
    match std::env::var("AMPOULE_TEST_KERNEL") {
        Ok(kernel) => {
            let options = ["--memory", "512M", "--kernel", &kernel, "--", "/bin/busybox", "sh", "-c", RUNNER];
            let runner = || sandbox().args(options);
            shared::run(runner, path, command, LIMIT)
        }
        Err(_) => {
            let options =
                ["--workdir", "/work/here", "--timeout", "80s", "--env", &format!("PATH={path}"), "--"];
            sandbox().args(options).args(command).limit(LIMIT).run()
        }
    }
}

/// Starts the runner. One program tries to truncate itself while it runs: an overlay of Linux, as is the root, refuses that and
/// leaves the file empty, so this one lies in a tmpfs.
const RUNNER: &str = "
    PATH=/applets program=/programs/static/exec
    cp $program /dev/shm/exec && mount --bind /dev/shm/exec $program && exec /programs/runner";

fn sandbox() -> Program {
    Program::sandbox([Path::new("--image"), &guest_image()])
}

/// One image for all: the programs, their libraries, and busybox.
fn guest_image() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let sources: Vec<PathBuf> = files(PROGRAMS).collect();
    let newest: Vec<&Path> =
        sources.iter().map(PathBuf::as_path).chain([ampoule_tests::binary::ampoule()]).collect();
    image::cached(directory, "abi.erofs", &newest, |tree| {
        tree.busybox();
        for source in &sources {
            let relative = source.strip_prefix(PROGRAMS).expect("all are there");
            let relative = Path::new("/programs").join(relative);
            tree.file(source, relative.to_str().expect("a name in UTF-8"));
            if relative.starts_with("/programs/dynamic") {
                tree.libraries_of(source);
            }
        }
    })
}

/// The files below a directory, two levels deep.
fn files(directory: &str) -> impl Iterator<Item = PathBuf> {
    let list = |directory: &Path| -> Vec<PathBuf> {
        let entries =
            std::fs::read_dir(directory).unwrap_or_else(|error| panic!("{}: {error}", directory.display()));
        entries.map(|entry| entry.expect("an entry of a directory").path()).collect()
    };
    list(Path::new(directory)).into_iter().flat_map(move |path| match path.is_dir() {
        true => list(&path),
        false => vec![path],
    })
}

fn compare(theirs: &Ended, ours: &Ended) {
    let difference = diff::lines(&theirs.out(), &ours.out());
    let ends = (theirs.code(), ours.code());
    assert!(
        ends.0 == ends.1 && theirs.stdout == ours.stdout,
        "Linux (-, exit status {}) and the guest (+, exit status {}) differ:\n{difference}{}",
        ends.0,
        ends.1,
        tail(&ours.err()),
    );
    assert!(!theirs.stdout.is_empty(), "the program printed nothing, so nothing was compared");
}

/// The end of what came to standard error.
fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.lines().collect();
    lines[lines.len().saturating_sub(12)..].iter().map(|line| format!("stderr: {line}\n")).collect()
}
