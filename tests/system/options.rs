//! What the flags of `ampoule run` do.

use crate::{noise, write};
use ampoule_tests::Program;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};

#[test]
fn variables_are_set_inherited_and_read_from_files() {
    let directory = tempfile::tempdir().unwrap();
    let file = write(directory.path(), "env", "# a comment\nA=file\nB=from file\n");
    let ended = Program::sandbox([
        "--env-file",
        file.to_str().unwrap(),
        "-e",
        "A=given",
        "-e",
        "HERE",
        "-e",
        "NOT_HERE",
    ])
    .args(["--", "sh", "-c", "echo $A,$B,$HERE,${NOT_HERE-unset},${SECRET-unset}"])
    .env("HERE", "inherited")
    .env("SECRET", "of the host")
    .run();
    assert_eq!(ended.succeeded(), "given,from file,inherited,unset,unset\n");
}

#[test]
fn a_file_of_variables_without_end_is_refused() {
    for file in ["/dev/zero", "/dev/urandom"] {
        let ended = Program::sandbox(["--env-file", file, "--", "true"]).run();
        ended.failed(125, &[file, "more than 4 MiB"]);
    }
}

#[test]
fn pipes_that_nobody_writes_to_are_no_images_and_no_kernels() {
    let directory = tempfile::tempdir().unwrap();
    let pipe = directory.path().join("pipe");
    Program::new("mkfifo").args([&pipe]).run().succeeded();
    let pipe = pipe.to_str().unwrap();
    for (args, code) in [
        (&["run", "--image", pipe, "--", "true"][..], 125),
        (&["run", "--kernel", pipe, "--", "true"], 125),
        (&["image", "inspect", pipe], 1),
        (&["kernel", "import", pipe, "--name", "pipe"], 1),
    ] {
        Program::ampoule(args).limit(std::time::Duration::from_secs(20)).run().failed(code, &[pipe]);
    }
}

#[test]
fn the_working_directory_is_made_if_it_is_missing() {
    for directory in ["/tmp", "/made/for/this"] {
        assert_eq!(
            Program::sandbox(["-w", directory, "--", "pwd"]).run().succeeded(),
            format!("{directory}\n")
        );
    }
    assert_eq!(Program::sandbox(["--", "pwd"]).run().succeeded(), "/\n");
}

#[test]
fn users_are_names_or_numbers() {
    for (user, ids) in [("nobody", "65534"), ("1234", "1234"), ("1234:1235", "1234"), ("root", "0")] {
        let out =
            Program::sandbox(["-u", user, "--", "sh", "-c", "id -u; touch /root/x 2>/dev/null; echo $?"])
                .run()
                .out();
        let (id, may) = out.trim().split_once('\n').expect("two lines");
        assert_eq!((id, may == "0"), (ids, user == "root"), "{user}");
    }
}

#[test]
fn memory_is_what_was_asked_for() {
    let total = |size: &str| -> u64 {
        let out = Program::sandbox(["-m", size, "--", "awk", "/MemTotal/ { print $2 }", "/proc/meminfo"])
            .run()
            .succeeded();
        out.trim().parse().unwrap()
    };
    let (small, large) = (total("64M"), total("1G"));
    assert!((48 << 10..=64 << 10).contains(&small), "{small} KiB");
    assert!((900 << 10..=1 << 20).contains(&large), "{large} KiB");
}

#[test]
fn more_than_four_gigabytes_of_memory_can_be_had() {
    let script = "awk '/MemTotal/ { print ($2 > 4500000) }' /proc/meminfo";
    assert_eq!(Program::sandbox(["-m", "5G", "--", "sh", "-c", script]).run().succeeded(), "1\n");
}

#[test]
fn files_go_in_and_come_out() {
    let directory = tempfile::tempdir().unwrap();
    let bytes = noise(5 << 20);
    let from = write(directory.path(), "from: with a colon", &bytes);
    fs::set_permissions(&from, fs::Permissions::from_mode(0o755)).unwrap();
    let to = directory.path().join("to");
    let input = format!("{}:/new/dir/in", from.display());
    let output = format!("/new/dir/out:{}", to.display());
    let script = "cd /new/dir && test -x in && cp in out";
    Program::sandbox(["--input", &input, "--output", &output, "--", "sh", "-c", script]).run().succeeded();
    assert!(fs::read(&to).unwrap() == bytes, "bytes changed on their way");
    assert_eq!(fs::metadata(&to).unwrap().permissions().mode() & 0o111, 0o111);
}

#[test]
fn outputs_take_the_place_of_links_and_do_not_follow_them() {
    let directory = tempfile::tempdir().unwrap();
    let victim = write(directory.path(), "victim", "untouched");
    let link = directory.path().join("link");
    symlink(&victim, &link).unwrap();
    let output = format!("/out:{}", link.display());
    Program::sandbox(["--output", &output, "--", "sh", "-c", "echo new > /out"]).run().succeeded();
    assert_eq!(fs::read_to_string(&victim).unwrap(), "untouched");
    assert!(fs::symlink_metadata(&link).unwrap().is_file());
    assert_eq!(fs::read_to_string(&link).unwrap(), "new\n");
}

#[test]
fn what_is_no_file_does_not_come_out() {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().join("to");
    let output = format!("/out:{}", to.display());
    let hostile = [
        ("true", "no such file"),
        ("mkdir /out", "not a regular file"),
        ("mkfifo /out", ""),
        ("ln -s /out /out", ""),
        ("ln -s /dev/zero /out", ""),
    ];
    for (script, words) in hostile {
        let ended = Program::sandbox(["--output", &output, "--", "sh", "-c", script]).run();
        ended.failed(125, &["/out", words]);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0, "{script}: something is left");
    }
}

#[test]
fn outputs_do_not_replace_directories_or_devices() {
    let directory = tempfile::tempdir().unwrap();
    let to = directory.path().to_str().unwrap();
    for to in [to, "/dev/null", "/no/such/directory/x"] {
        let output = format!("/etc/passwd:{to}");
        let ended = Program::sandbox(["--output", &output, "--", "echo", "ran"]).run();
        ended.failed(125, &[to.rsplit_once('/').unwrap().0]);
        assert_eq!(ended.out(), "", "the command ran");
    }
}

#[test]
fn a_command_that_failed_and_has_no_output_has_its_own_status() {
    let directory = tempfile::tempdir().unwrap();
    let output = format!("/out:{}", directory.path().join("to").display());
    assert_eq!(Program::sandbox(["--output", &output, "--", "sh", "-c", "exit 9"]).run().code(), 9);
}

#[test]
fn json_is_one_object_on_one_line() {
    let ended = Program::sandbox(["--json", "--", "sh", "-c", "echo out; echo err >&2; exit 5"]).run();
    let out = ended.out();
    assert_eq!((ended.code(), out.matches('\n').count(), ended.err().as_str()), (5, 1, ""));
    let report: serde_json::Value = serde_json::from_str(&out).unwrap();
    assert_eq!(report["outcome"], "exited");
    assert_eq!(report["exit_code"], 5);
    assert_eq!(report["signal"], serde_json::Value::Null);
    assert_eq!(report["stdout"]["text"], "out\n");
    assert_eq!(report["stderr"]["text"], "err\n");
    assert_eq!(report["stdout"]["truncated"], false);
    assert!(report["usage"]["wall_us"].as_u64().unwrap() > 0);
    assert!(report["vmm_peak_rss_kib"].as_u64().unwrap() > 500);
    let phases = report["timings"].as_array().unwrap();
    assert!(phases.iter().any(|phase| phase["phase"] == "agent ready"), "{phases:?}");
    let times: Vec<f64> = phases.iter().map(|phase| phase["at_us"].as_f64().unwrap()).collect();
    assert!(times.is_sorted(), "{times:?}");
}

#[test]
fn json_tells_failures_and_bytes_too() {
    let report = |args: &[&str]| -> serde_json::Value {
        let ended = Program::sandbox(["--json"]).args(args).run();
        serde_json::from_str(&ended.out()).unwrap_or_else(|error| panic!("{error}: {ended:?}"))
    };
    let missing = report(&["--image", "no-such-image", "--", "true"]);
    assert_eq!((&missing["outcome"], &missing["exit_code"]), (&"invalid_request".into(), &125.into()));
    let killed = report(&["--", "sh", "-c", "kill -9 $$"]);
    assert_eq!((&killed["outcome"], &killed["signal"]), (&"killed_by_signal".into(), &9.into()));
    let unknown = report(&["--", "/nosuch"]);
    assert_eq!((&unknown["outcome"], &unknown["exit_code"]), (&"not_found".into(), &127.into()));
    let late = report(&["--timeout", "0.2s", "--", "sleep", "60"]);
    assert_eq!((&late["outcome"], &late["exit_code"]), (&"timed_out".into(), &124.into()));
    let binary = report(&["--", "printf", "\\377\\000"]);
    assert_eq!(binary["stdout"]["base64"], "/wA=");
    let much = report(&["--", "head", "-c", "5000000", "/dev/zero"]);
    assert_eq!(much["stdout"]["truncated"], true);
}

#[test]
fn timings_name_the_phases() {
    let ended = Program::sandbox(["--timings", "--", "echo", "hi"]).run();
    assert_eq!((ended.code(), ended.out().as_str()), (0, "hi\n"));
    for phase in ["vmm: first run", "guest: kernel", "agent ready", "job started", "job ended"] {
        assert!(ended.err().contains(phase), "{phase} is not in {}", ended.err());
    }
}

#[test]
fn a_trace_has_a_line_for_each_call() {
    let ended = Program::sandbox(["--trace", "--", "cat", "/etc/passwd"]).run();
    assert_eq!(ended.code(), 0);
    let err = ended.err();
    let line = |parts: [&str; 2]| err.lines().any(|line| parts.iter().all(|part| line.contains(part)));
    assert!(line(["open", "\"/etc/passwd\""]), "{err}");
    assert!(line(["execve(", "cat"]), "{err}");
}

#[test]
fn the_console_has_what_the_guest_kernel_says() {
    let ended =
        Program::sandbox(["--console", "--", "sh", "-c", "echo to the console > /dev/console; echo out"])
            .run();
    assert_eq!((ended.code(), ended.out().as_str()), (0, "out\n"));
    assert!(ended.err().contains("to the console"), "{}", ended.err());
}
