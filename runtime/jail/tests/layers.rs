//! Each layer of the jail, seen from inside, by a shell that uses nothing but its builtins, and in `/proc` from outside.

mod common;

use ampoule_jail::{Error, Group, Isolation, Layer, Layers, Program, probe, spawn, spawn_with};
use common::{Jailed, busybox, command, inside, nothing, own_pid};
use std::ffi::CString;
use std::fs::{self, File};
use std::os::fd::AsFd;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

#[test]
fn this_host_gives_every_layer() {
    let (layers, missing) = probe().unwrap();
    assert_eq!((layers, missing), (Layers::ALL, vec![]));
}

#[test]
fn the_root_is_empty_and_cannot_be_written() {
    let layers = common::with_user(&[Layer::Mount, Layer::Root]);
    let said = inside(layers, "cd /; echo /* /.[a-z]* ..; cd ..; echo *; : > /file");
    assert_eq!(said.lines().next(), Some("/* /.[a-z]* .."));
    assert_eq!(said.lines().nth(1), Some("*"));
    assert!(said.contains("Read-only file system"), "{said}");
}

#[test]
fn landlock_alone_denies_every_path() {
    let script = "echo /*; (: < /etc/passwd); (: > /tmp/ampoule-jail-test); (: < /proc/self/status)";
    let free = inside(Layers::NONE, "echo /*; : < /etc/passwd && echo read");
    assert!(free.contains("/etc") && free.contains("read"), "{free}");
    let layers = Layers::NONE.with(Layer::NoNewPrivileges).with(Layer::Landlock);
    let said = inside(layers, script);
    assert_eq!(said.lines().next(), Some("/*"));
    assert_eq!(said.matches("Permission denied").count(), 3, "{said}");
}

#[test]
fn other_processes_are_not_seen() {
    let script = format!("echo I am $$; kill -0 {} && echo seen", own_pid());
    let layers = common::with_user(&[Layer::Pid]);
    let said = inside(layers, &script);
    assert!(said.starts_with("I am 1\n") && !said.contains("seen"), "{said}");
    assert!(said.contains("No such process"), "{said}");
}

#[test]
fn landlock_alone_denies_signals() {
    let layers = Layers::NONE.with(Layer::NoNewPrivileges).with(Layer::Landlock);
    let script = format!("kill -0 {} && echo seen", own_pid());
    let free = inside(Layers::NONE, &script);
    assert_eq!(free, "seen\n");
    let said = inside(layers, &script);
    assert!(said.contains("not permitted") && !said.contains("seen"), "{said}");
}

#[test]
fn limits_are_set_and_stay() {
    let said = inside(Layers::ALL, "ulimit -v; ulimit -d; ulimit -n; ulimit -c; ulimit -f; ulimit -n 1000");
    let lines: Vec<&str> = said.lines().collect();
    // In KiB, descriptors, blocks of 512 bytes.
    assert_eq!(lines[..5], ["1048576", "262144", "19", "0", "8"], "{said}");
    assert!(said.contains("error setting limit"), "a limit was raised: {said}");
}

#[test]
fn no_more_threads_than_the_limit() {
    let script = "for i in 1 2 3 4 5 6 7 8; do (read x <&3) & done; echo all";
    let (jailed, _writer) = Jailed::waiting(Layers::ALL, script);
    let said = jailed.said_until_its_end();
    assert!(said.contains("fork") && !said.contains("all"), "{said}");
}

#[test]
fn there_are_no_privileges() {
    let (jailed, _writer) = Jailed::waiting(Layers::ALL, "read x <&3");
    for set in ["CapInh", "CapPrm", "CapEff", "CapBnd", "CapAmb"] {
        assert_eq!(jailed.status(set), "0000000000000000", "{set}");
    }
    assert_eq!(jailed.status("NoNewPrivs"), "1");
    let (uid, gid) = (jailed.status("Uid"), jailed.status("Gid"));
    assert!(!uid.split_whitespace().any(|id| id == "0"), "{uid}");
    assert!(!gid.split_whitespace().any(|id| id == "0"), "{gid}");
    if rustix::process::geteuid().is_root() {
        assert_eq!(jailed.status("Groups"), "");
        let (other, _writer) = Jailed::waiting(Layers::ALL, "read x <&3");
        assert_ne!(other.status("Uid"), uid, "two processes share a user");
    }
}

#[test]
fn every_namespace_is_its_own() {
    let (jailed, _writer) = Jailed::waiting(Layers::ALL, "read x <&3");
    let (other, _writer) = Jailed::waiting(Layers::ALL, "read x <&3");
    for namespace in ["user", "pid", "mnt", "net", "ipc", "uts", "cgroup"] {
        let ours = fs::read_link(format!("/proc/self/ns/{namespace}")).unwrap();
        assert_ne!(jailed.namespace(namespace), ours, "{namespace}");
        assert_ne!(jailed.namespace(namespace), other.namespace(namespace), "{namespace}");
    }
    assert!(jailed.status("NSpid").ends_with("\t1"), "{}", jailed.status("NSpid"));
}

#[test]
fn the_session_keyring_is_empty() {
    let name = common::join_session_with_a_key();
    let script =
        format!("while read line; do case $line in *{name}*) echo seen;; esac; done < /proc/keys; echo end");
    assert_eq!(inside(Layers::NONE, &script), "seen\nend\n");
    assert_eq!(inside(Layers::NONE.with(Layer::Keyring), &script), "end\n");
}

#[test]
fn the_network_has_no_interface_that_is_up() {
    let (jailed, _writer) = Jailed::waiting(Layers::ALL, "read x <&3");
    let devices = fs::read_to_string(jailed.proc("net/dev")).unwrap();
    let names: Vec<&str> = devices.lines().skip(2).filter_map(|line| line.split(':').next()).collect();
    assert_eq!(names.iter().map(|name| name.trim()).filter(|&name| name == "lo").count(), 1, "{devices}");
    let files = ["net/route", "net/fib_trie"].map(|name| fs::read_to_string(jailed.proc(name)).unwrap());
    let said = files.concat();
    assert!(said.lines().all(|line| line.starts_with("Iface")), "there is a route or an address: {said}");
}

#[test]
fn the_only_mount_is_the_empty_root() {
    let (jailed, _writer) = Jailed::waiting(Layers::ALL, "read x <&3");
    let mounts = fs::read_to_string(jailed.proc("mountinfo")).unwrap();
    assert_eq!(mounts.lines().count(), 1, "{mounts}");
    assert!(mounts.contains(" / / ro,nosuid,nodev,noexec"), "{mounts}");
    assert_eq!(fs::read_dir(jailed.proc("root/")).unwrap().count(), 0);
}

#[test]
fn descriptors_are_those_that_were_given() {
    let leaked = File::open("/dev/null").unwrap();
    rustix::io::fcntl_setfd(&leaked, rustix::io::FdFlags::empty()).unwrap();
    let (jailed, _writer) = Jailed::waiting(Layers::ALL, "read x <&3");
    let mut numbers: Vec<u32> = fs::read_dir(jailed.proc("fd"))
        .unwrap()
        .map(|entry| entry.unwrap().file_name().to_str().unwrap().parse().unwrap())
        // The shell's own copies: what it writes to and reads from.
        .filter(|&number| number > 1)
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, [2, 3, 4]);
    let own_status = fs::read_link(jailed.proc("fd/4")).unwrap();
    assert!(own_status.ends_with("status"), "{own_status:?}");
}

#[test]
fn descriptors_may_change_places() {
    // Each is where another one is to go.
    let files: Vec<File> = (0..6).map(|index| common::file_with(&format!("{index}\n"))).collect();
    let program = busybox();
    let (stderr, said) = common::pipe();
    let script = "for i in 3 4 5 6 7 8; do eval \"read x <&$i\"; echo $x; done; read x <&9; echo $x";
    let mut command = command(&program, script, said.as_fd());
    command.descriptors = files.iter().rev().map(AsFd::as_fd).collect();
    command.own_status = true;
    let child = spawn(&command, Isolation::BestEffort, &mut |_| Ok(())).unwrap();
    drop(said);
    let said = common::read_all(stderr);
    common::wait(&child.pidfd);
    assert_eq!(said.lines().take(6).collect::<Vec<_>>(), ["5", "4", "3", "2", "1", "0"], "{said}");
    assert!(said.lines().nth(6).is_some_and(|line| line.starts_with("Name:")), "{said}");
}

#[test]
fn signals_are_as_new() {
    common::block_a_signal();
    let (jailed, _writer) = Jailed::waiting(Layers::ALL, "read x <&3");
    assert_eq!(jailed.status("SigBlk"), "0000000000000000");
    // The shell itself ignores SIGQUIT.
    assert_eq!(jailed.status("SigIgn"), "0000000000000004");
    assert_eq!(jailed.stat_field(6), jailed.pid(), "it is not the leader of a session");
}

#[test]
fn layers_are_entered_one_by_one() {
    for layer in Layer::ALL {
        let mut layers = common::with_user(&[layer]);
        if layer == Layer::Landlock {
            layers = layers.with(Layer::NoNewPrivileges);
        }
        if layer == Layer::Root {
            layers = layers.with(Layer::Mount);
        }
        assert_eq!(inside(layers, "echo here"), "here\n", "{}", layer.name());
    }
}

#[test]
fn the_caller_comes_before_the_program() {
    let program = busybox();
    let (stderr, said) = common::pipe();
    let command = command(&program, "echo here", said.as_fd());
    let mut name = String::new();
    let child = spawn_with(&command, Layers::ALL, true, &mut |pid| {
        name = fs::read_to_string(format!("/proc/{}/comm", pid.as_raw_nonzero()))?;
        Ok(())
    })
    .unwrap();
    drop(said);
    assert_eq!(name, fs::read_to_string("/proc/thread-self/comm").unwrap(), "it was another program already");
    assert_eq!(common::read_all(stderr), "here\n");
    common::wait(&child.pidfd);
}

#[test]
fn control_groups_are_joined_first() {
    // Any file will do to see what is written; that it is done by the process itself shows in a real group's `tasks`.
    let (program, group) = (busybox(), common::file_with(""));
    let mut joining = command(&program, "exit 0", nothing());
    // What is no group of version 2 cannot be the place where a process is made, so it joins all the same.
    let directory = tempfile::tempdir().unwrap();
    let no_group = File::open(directory.path()).unwrap();
    joining.groups = vec![Group { join: group.as_fd(), directory: Some(no_group.as_fd()) }];
    let mut seen = String::new();
    let child = spawn_with(&joining, Layers::ALL, true, &mut |_| {
        let path = format!("/proc/self/fd/{}", std::os::fd::AsRawFd::as_raw_fd(&group));
        // The process does it while we are here.
        for _ in 0..1000 {
            seen = fs::read_to_string(&path)?;
            if !seen.is_empty() {
                break;
            }
            std::thread::sleep(std::time::Duration::from_millis(1));
        }
        Ok(())
    })
    .unwrap();
    common::wait(&child.pidfd);
    assert_eq!(seen, "0");
    let closed = File::open("/dev/null").unwrap();
    joining.groups = vec![Group { join: closed.as_fd(), directory: None }];
    let result = spawn(&joining, Isolation::Strict, &mut |_| Ok(()));
    assert!(matches!(result, Err(Error::Join(_))), "{result:?}");
}

#[test]
fn a_process_is_made_in_its_group_of_version_2() {
    // It cannot be mounted here, as without root.
    let Some(hierarchy) = common::unified_hierarchy() else { return };
    let name = format!("jail-tests-{}", own_pid());
    let group = common::TestGroup::new(&hierarchy, &name);
    // Whoever would write to this to join could not.
    let closed = File::open("/dev/null").unwrap();
    for layers in [Layers::NONE, Layers::ALL] {
        let (jailed, _writer) = Jailed::waiting_in(
            vec![Group { join: closed.as_fd(), directory: Some(group.directory.as_fd()) }],
            layers,
            "read x <&3",
        );
        let groups = fs::read_to_string(jailed.proc("cgroup")).unwrap();
        let unified = groups.lines().find_map(|line| line.strip_prefix("0::")).unwrap();
        assert!(unified.ends_with(&format!("/{name}")), "{groups}");
    }
}

#[test]
fn a_caller_that_fails_ends_the_process() {
    let program = busybox();
    let command = command(&program, "exit 0", nothing());
    let mut born = None;
    let result = spawn_with(&command, Layers::ALL, true, &mut |pid| {
        born = Some(pid);
        Err("no room".into())
    });
    assert!(matches!(&result, Err(Error::Caller(why)) if why.to_string() == "no room"), "{result:?}");
    assert!(!fs::exists(format!("/proc/{}", born.unwrap().as_raw_nonzero())).unwrap(), "it is still there");
}

#[test]
fn what_cannot_be_executed_is_told() {
    let text = common::file_with("#!/bin/sh\n");
    let execute = |program| {
        let mut command = command(&text, "", nothing());
        command.program = program;
        spawn(&command, Isolation::BestEffort, &mut |_| Ok(())).unwrap_err()
    };
    assert!(matches!(execute(Program::File(text.as_fd())), Error::Execute(_)));
    let closed = command(&text, "", nothing());
    assert!(
        spawn(&closed, Isolation::Strict, &mut |_| Ok(()))
            .unwrap_err()
            .to_string()
            .starts_with("cannot execute")
    );
}

#[test]
fn nothing_is_left_of_a_hundred_processes() {
    let count = || fs::read_dir("/proc/self/fd").unwrap().count();
    let mapped = || fs::read_to_string("/proc/self/maps").unwrap().matches("[stack").count();
    // The other tests of this program run at the same time: a program of its own has nobody else's descriptors.
    if std::env::var_os("AMPOULE_JAIL_ALONE").is_none() {
        let status = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "nothing_is_left_of_a_hundred_processes"])
            .env("AMPOULE_JAIL_ALONE", "1")
            .status();
        return assert!(status.unwrap().success());
    }
    inside(Layers::ALL, "exit 0");
    let before = (count(), mapped());
    for _ in 0..100 {
        inside(Layers::ALL, "exit 0");
    }
    assert_eq!((count(), mapped()), before);
    let children = fs::read_to_string("/proc/thread-self/children").unwrap();
    assert_eq!(children, "", "processes are left");
}

#[test]
fn all_of_this_again_without_root() {
    if !rustix::process::geteuid().is_root() {
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    fs::set_permissions(directory.path(), fs::Permissions::from_mode(0o755)).unwrap();
    let copy = directory.path().join("layers");
    // By another process: what is open for writing, by a child of another test for instance, cannot be executed.
    let copied = Command::new("cp").arg(std::env::current_exe().unwrap()).arg(&copy).status();
    assert!(copied.unwrap().success());
    let output = Command::new("setpriv")
        .args(["--reuid=65534", "--regid=65534", "--clear-groups", "--"])
        .arg(&copy)
        .args(["--skip", "all_of_this_again_without_root"])
        .env("RUST_BACKTRACE", "0")
        .env("TMPDIR", "/tmp")
        .current_dir("/")
        .output()
        .expect("setpriv (Debian: util-linux)");
    let (stdout, stderr) = (String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{stdout}{stderr}");
    assert!(stdout.contains("the_root_is_empty_and_cannot_be_written ... ok"));
}

#[test]
fn arguments_are_passed_and_the_environment_is_empty() {
    let program = busybox();
    let (stderr, said) = common::pipe();
    let mut command = command(&program, "", said.as_fd());
    command.arguments = ["busybox", "sh", "-c", "echo $0,$1 >&2; export -p >&2", "a b", "c"]
        .map(|word| CString::new(word).unwrap())
        .into();
    let child = spawn(&command, Isolation::Strict, &mut |_| Ok(())).unwrap();
    drop(said);
    let said = common::read_all(stderr);
    common::wait(&child.pidfd);
    // The shell exports a few that it makes up itself.
    let own = ["PATH", "PWD", "OLDPWD", "SHLVL"].map(|name| format!("export {name}"));
    let rest: Vec<&str> =
        said.lines().filter(|line| !own.iter().any(|own| line.starts_with(own.as_str()))).collect();
    assert_eq!(rest, ["a b,c"]);
}
