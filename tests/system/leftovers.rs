//! Nothing is left behind: each scenario runs in namespaces of its own, where every process, mount, file of the usual
//! temporary directories and control group that is there afterwards is counted.

use ampoule_tests::{Program, Turn, binary, need};
use std::time::Duration;

/// What the scenarios run in: fresh temporary directories, and `ampoule` where they do not hide it.
///
/// `state` prints all that could be left; the loop waits, within bounds, for processes that are about to end.
const FRAME: &str = r#"
set -e
mount -t tmpfs none /mnt
cp "$1" /mnt/ampoule
for directory in /tmp /run /var/tmp /dev/shm; do mount -t tmpfs none "$directory"; done
mkdir /tmp/home
export HOME=/tmp/home PATH="/mnt:$PATH"
cd /tmp/home
processes() { set -- /proc/[0-9]*; echo $#; }
state() {
    cat /proc/mounts
    find /tmp /run /var/tmp /dev/shm | sort
    [ -z "$next" ] || ampoule run -- true > /dev/null 2>&1 < /dev/null
    # The makers of others, which run beside this test, hold a lock on theirs.
    for group in $(find /sys/fs/cgroup -type d -name '*ampoule*'); do ! flock -n "$group" true 2> /dev/null || echo "$group"; done
    ls /dev | grep -c kvm
    ls -l /proc/$$/fd | grep -c -- '->'
    processes
}
# Waits until there are children of this one named ampoule, with a VMM and a job that has made itself known.
up() { read word < "$1"; rm "$1"; }
vmm() { cat /proc/$1/task/$1/children; }
set +e
before=$(state)
scenario
ended=$?
i=0
while [ "$(state)" != "$before" ] && [ $i -lt "$2" ]; do sleep 0.01; i=$((i + 1)); done
after=$(state)
[ "$before" = "$after" ] || { echo "before: $before"; echo "after: $after"; for p in /proc/[0-9]*; do cat $p/comm; done; exit 99; }
exit $ended
"#;

/// Runs a scenario, which must end with this exit status and leave everything as it was.
fn leaves_nothing(scenario: &str, status: i32) {
    leaves(scenario, status, "500");
}

/// Runs a scenario, and looks so often whether everything is as it was.
fn leaves(scenario: &str, status: i32, looks: &str) {
    need("unshare", "util-linux");
    let _turn = Turn::take();
    let user: &[&str] =
        if rustix::process::geteuid().is_root() { &[] } else { &["--user", "--map-root-user"] };
    let script = format!("scenario() {{\n{scenario}\n}}\n{FRAME}");
    let ended = Program::new("unshare")
        .args(user)
        .args([
            "--mount",
            "--pid",
            "--ipc",
            "--fork",
            "--kill-child",
            "--mount-proc",
            "sh",
            "-c",
            &script,
            "sh",
        ])
        .args([binary::ampoule().as_os_str(), looks.as_ref()])
        .limit(Duration::from_secs(50))
        .run();
    assert_eq!(ended.code(), status, "stdout: {}\nstderr: {}", ended.out(), ended.err());
}

/// The scenario of a job that runs when something happens to `$cli` or `$vmm`.
fn while_it_runs(job: &str, event: &str) -> String {
    format!(
        "mkfifo ready; ampoule run -- sh -c '{job}' > ready 2> /dev/null < /dev/null &
         cli=$!; up ready; vmm=$(vmm $cli); {event}; wait $cli"
    )
}

const SLEEPER: &str = "echo ready; exec >/dev/null; sleep 100";
const SPINNER: &str = "trap : INT TERM; echo ready; exec >/dev/null; while :; do :; done";

#[test]
fn the_count_sees_what_is_left() {
    for scenario in ["touch /tmp/left", "sleep 30 &", "mount -t tmpfs left /srv"] {
        leaves(scenario, 99, "5");
    }
}

#[test]
fn after_runs_that_went_well() {
    leaves_nothing("ampoule run -- true && ampoule run -- sh -c 'exit 3'", 3);
    leaves_nothing("echo x | ampoule run -- cat | grep -q x", 0);
    leaves_nothing("ampoule run --json -- true > /dev/null", 0);
    leaves_nothing("ampoule run --timings -- true 2> /dev/null", 0);
}

#[test]
fn after_runs_that_failed() {
    leaves_nothing("ampoule run -- /nosuch 2> /dev/null", 127);
    leaves_nothing("ampoule run --image /etc/passwd -- true 2> /dev/null", 125);
    leaves_nothing("ampoule run --kernel /etc/passwd -- true 2> /dev/null", 125);
    leaves_nothing("ampoule run --timeout 0.2s -- sleep 60 2> /dev/null", 124);
    leaves_nothing("ampoule run --output /nosuch:out -- true 2> /dev/null", 125);
    leaves_nothing("ampoule run -- poweroff -f 2> /dev/null", 125);
}

#[test]
fn after_files_went_in_and_out() {
    let scenario = "mkdir -p image/bin && cp /bin/busybox image/bin/sh
        echo content > in
        ampoule run --image image --input in:/in --output /in:out -- /bin/sh -c 'exit 0' && cmp in out
        status=$?; rm -r image in out; return $status";
    leaves_nothing(scenario, 0);
}

#[test]
fn after_signals() {
    for (signal, status) in [("INT", 130), ("TERM", 143), ("HUP", 129)] {
        leaves_nothing(&while_it_runs(SLEEPER, &format!("kill -{signal} $cli")), status);
    }
    leaves_nothing(&while_it_runs(SPINNER, "kill -TERM $cli; sleep 0.1; kill -TERM $cli"), 143);
}

#[test]
fn after_the_cli_was_killed() {
    for job in [SLEEPER, SPINNER] {
        // Its control group goes with the next start, which `state` makes then.
        leaves_nothing(&while_it_runs(job, "kill -KILL $cli; next=1"), 137);
    }
}

#[test]
fn after_the_vmm_was_killed() {
    for job in [SLEEPER, SPINNER] {
        leaves_nothing(&while_it_runs(job, "kill -KILL $vmm"), 125);
    }
}

#[test]
fn after_the_reader_went() {
    leaves_nothing("test $(ampoule run -- yes | head -c1) = y", 0);
}
