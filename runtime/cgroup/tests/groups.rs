//! Groups on the host that the tests run on. Where it gives us none, that is what is tested.

use ampoule_cgroup::{Cgroup, Controller, CpuShare, Host, Limits};
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

/// In its presence, this program makes a group, says where, and waits.
const MAKER: &str = "AMPOULE_TEST_MAKER";

const LIMITS: Limits = Limits { memory: Some(64 << 20), cpu: None, weight: None, pids: Some(32) };

/// Whether the host has all controllers for us; else only that it says so is tested.
fn has(limits: &Limits) -> bool {
    let cgroup = Cgroup::create(limits).unwrap();
    let host = Host::new();
    for missing in cgroup.missing() {
        assert_eq!(host.find(missing.controller).unwrap_err(), missing.why);
        println!("no {} controller here: {}", missing.controller, missing.why);
    }
    cgroup.missing().is_empty()
}

fn paths(cgroup: &Cgroup) -> Vec<PathBuf> {
    cgroup.paths().map(Path::to_owned).collect()
}

/// A shell that has joined, and then runs the script when it is given a line.
fn joined(cgroup: &Cgroup, script: &str) -> Child {
    let mut joins = String::new();
    for path in cgroup.paths() {
        let v1 = path.join("tasks");
        let file = if v1.exists() { v1 } else { path.join("cgroup.procs") };
        joins += &format!("echo 0 > '{}' || exit 99; ", file.display());
    }
    let mut shell = Command::new("/bin/sh")
        .args(["-c", &format!("{joins} echo joined; {script}")])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut line = String::new();
    BufReader::new(shell.stdout.as_mut().unwrap()).read_line(&mut line).unwrap();
    assert_eq!(line, "joined\n");
    shell
}

#[test]
fn a_group_without_limits_is_no_directory() {
    let cgroup = Cgroup::create(&Limits::default()).unwrap();
    assert_eq!((cgroup.paths().count(), cgroup.joins().count(), cgroup.missing().len()), (0, 0, 0));
}

#[test]
fn a_group_is_there_while_it_is_needed_and_not_after() {
    if !has(&LIMITS) {
        return;
    }
    let cgroup = Cgroup::create(&LIMITS).unwrap();
    let paths = paths(&cgroup);
    assert!(!paths.is_empty() && paths.iter().all(|path| path.is_dir()), "{paths:?}");
    assert_eq!(cgroup.joins().count(), paths.len());
    let mut shell = joined(&cgroup, "read x");
    cgroup.sweep();
    assert!(paths.iter().all(|path| path.is_dir()), "a live maker's group was swept");
    shell.stdin.take().unwrap().write_all(b"go\n").unwrap();
    shell.wait().unwrap();
    assert!(cgroup.usage().peak_memory.is_some_and(|bytes| bytes > 0));
    drop(cgroup);
    assert!(paths.iter().all(|path| !path.exists()), "{paths:?}");
}

#[test]
fn memory_over_the_limit_kills_and_is_counted() {
    if !has(&LIMITS) {
        return;
    }
    let cgroup = Cgroup::create(&LIMITS).unwrap();
    // The shell itself holds what `head` gives it.
    let mut shell = joined(&cgroup, "x=$(head -c 200000000 /dev/zero | tr '\\0' x); echo ${#x}");
    let status = shell.wait().unwrap();
    assert!(!status.success(), "{status}");
    assert!(cgroup.usage().oom_kills.is_some_and(|kills| kills > 0), "{:?}", cgroup.usage());
}

#[test]
fn a_share_of_a_processor_is_a_share() {
    let limits = Limits { cpu: Some(CpuShare::new(100).unwrap()), ..Limits::default() };
    if !has(&limits) {
        return;
    }
    let cgroup = Cgroup::create(&limits).unwrap();
    let start = Instant::now();
    // A count that takes some tenths of a second of a whole processor.
    joined(&cgroup, "i=0; while [ $i -lt 300000 ]; do i=$((i + 1)); done").wait().unwrap();
    let throttled = Duration::from_micros(cgroup.usage().throttled_us.unwrap());
    assert!(throttled > Duration::ZERO && throttled < start.elapsed(), "{throttled:?}");
}

#[test]
fn processes_beyond_the_limit_are_not_made() {
    let limits = Limits { pids: Some(4), ..Limits::default() };
    if !has(&limits) {
        return;
    }
    let cgroup = Cgroup::create(&limits).unwrap();
    let status =
        joined(&cgroup, "for i in 1 2 3 4 5 6; do sleep 0.2 & done 2>/dev/null; wait").wait().unwrap();
    assert!(!status.success(), "six children of a shell were made where four processes may be");
    // The children that were made.
    std::thread::sleep(Duration::from_millis(400));
    let paths = paths(&cgroup);
    drop(cgroup);
    assert!(paths.iter().all(|path| !path.exists()), "{paths:?}");
}

#[test]
fn what_a_killed_maker_left_is_swept() {
    if std::env::var_os(MAKER).is_some() {
        let cgroup = Cgroup::create(&LIMITS).unwrap();
        for path in cgroup.paths() {
            println!("{}", path.display());
        }
        println!("made");
        std::thread::sleep(Duration::from_secs(60));
        return;
    }
    if !has(&LIMITS) {
        return;
    }
    let mut maker = Command::new(std::env::current_exe().unwrap())
        .args(["--exact", "what_a_killed_maker_left_is_swept", "--nocapture"])
        .env(MAKER, "1")
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(maker.stdout.take().unwrap()).lines().map(Result::unwrap);
    let left: Vec<PathBuf> = lines
        .take_while(|line| line != "made")
        .filter(|line| line.contains("ampoule-"))
        .map(PathBuf::from)
        .collect();
    let cgroup = Cgroup::create(&LIMITS).unwrap();
    cgroup.sweep();
    assert!(!left.is_empty() && left.iter().all(|path| path.is_dir()), "its maker lives: {left:?}");
    maker.kill().unwrap();
    maker.wait().unwrap();
    assert!(left.iter().all(|path| path.is_dir()), "{left:?}");
    // Another test's sweep may have been first.
    cgroup.sweep();
    assert!(left.iter().all(|path| !path.exists()), "{left:?}");
}

#[test]
fn every_controller_is_found_or_its_absence_explained() {
    let host = Host::new();
    for controller in Controller::ALL {
        match host.find(controller) {
            Ok((_, directory)) => assert!(directory.is_dir(), "{controller}: {}", directory.display()),
            Err(why) => assert!(!why.to_string().is_empty()),
        }
    }
}
