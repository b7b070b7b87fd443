//! Every way to end has its own exit code and one sentence (`docs/exit-codes.md`).

use crate::write;
use ampoule_tests::{Program, binary};
use std::fs;
use std::time::Duration;

#[test]
fn the_status_of_the_command_is_that_of_ampoule() {
    for code in [0, 1, 42, 124, 125, 255] {
        let ended = Program::script(&format!("exit {code}")).run();
        assert_eq!((ended.code(), ended.err().as_str()), (code, ""));
    }
}

#[test]
fn a_signal_is_128_and_its_number() {
    for (signal, number) in [("KILL", 9), ("TERM", 15), ("SEGV", 11), ("USR1", 10)] {
        let sentence = format!("ended by signal {number} (SIG{signal})");
        Program::script(&format!("kill -{signal} $$")).run().failed(128 + number, &[&sentence]);
    }
    // Shells keep silent about these, too.
    for (signal, number) in [("INT", 2), ("PIPE", 13)] {
        let ended = Program::script(&format!("kill -{signal} $$")).run();
        assert_eq!((ended.code(), ended.err().as_str()), (128 + number, ""));
    }
}

#[test]
fn commands_that_are_not_there_are_127() {
    for command in ["/nosuch", "nosuch", "/bin/no/such"] {
        Program::sandbox(["--", command]).run().failed(127, &[command, "no such file or directory"]);
    }
}

#[test]
fn commands_that_cannot_be_executed_are_126() {
    for command in ["/etc/passwd", "/etc"] {
        Program::sandbox(["--", command]).run().failed(126, &[command, "permission denied"]);
    }
}

#[test]
fn a_script_needs_its_interpreter() {
    let directory = tempfile::tempdir().unwrap();
    let script = write(directory.path(), "script", "#!/no/such/interpreter\n");
    fs::set_permissions(&script, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let input = format!("{}:/script", script.display());
    Program::sandbox(["--input", &input, "--", "/script"]).run().failed(127, &["/script"]);
}

#[test]
fn the_time_that_is_up_is_124() {
    let ended = Program::sandbox(["--timeout", "0.3s", "--", "sleep", "60"]).run();
    ended.failed(124, &["the time was up after 0.3 s"]);
    assert!(ended.took < Duration::from_secs(20), "{:?}", ended.took);
}

#[test]
fn output_before_the_time_was_up_is_delivered() {
    let ended = Program::sandbox(["--timeout", "0.5s", "--", "sh", "-c", "echo before; sleep 60"]).run();
    ended.failed(124, &["the time was up"]);
    assert_eq!(ended.out(), "before\n");
}

#[test]
fn a_command_that_ignores_sigterm_is_ended_all_the_same() {
    let ended =
        Program::sandbox(["--timeout", "0.3s", "--", "sh", "-c", "trap '' TERM; while :; do :; done"]).run();
    ended.failed(124, &["the time was up"]);
    assert!(ended.took < Duration::from_secs(30), "{:?}", ended.took);
}

#[test]
fn a_wrong_command_line_is_125() {
    for (args, word) in [
        (&["--no-such-option", "x"][..], "--no-such-option"),
        (&[][..], "no command"),
        (&["--memory", "1M", "x"][..], "--memory"),
        (&["--workdir", "relative", "x"][..], "absolute"),
        (&["--env", "=1", "x"][..], "--env"),
        (&["--input", "nocolon", "x"][..], "--input"),
    ] {
        let ended = Program::sandbox(args).run();
        assert_eq!((ended.code(), ended.out().as_str()), (125, ""), "{args:?}");
        assert!(ended.err().contains(word), "{args:?}: {}", ended.err());
    }
}

#[test]
fn wrong_images_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let empty = write(directory.path(), "empty", "");
    let text = write(directory.path(), "text", "not an image\n".repeat(1000));
    let zeros = write(directory.path(), "zeros", vec![0; 1 << 16]);
    Program::sandbox(["--image", "no-such-image", "--", "true"])
        .run()
        .failed(125, &["there is no image no-such-image"]);
    Program::sandbox(["--image", "/no/such", "--", "true"]).run().failed(125, &["/no/such"]);
    for path in [&empty, &text, &zeros, &binary::ampoule().to_owned(), &"/dev/null".into()] {
        let path = path.to_str().unwrap();
        Program::sandbox(["--image", path, "--", "true"]).run().failed(125, &[path]);
    }
}

#[test]
fn damaged_images_are_refused_or_run_but_never_hang() {
    let directory = tempfile::tempdir().unwrap();
    let (tree, image) = (directory.path().join("tree"), directory.path().join("image"));
    fs::create_dir_all(tree.join("bin")).unwrap();
    fs::copy(ampoule_tests::BUSYBOX, tree.join("bin/sh")).unwrap();
    Program::ampoule(["image", "build", tree.to_str().unwrap(), "-o", image.to_str().unwrap()])
        .run()
        .succeeded();
    let whole = fs::read(&image).unwrap();
    let run = |content: &[u8]| {
        let damaged = write(directory.path(), "damaged", content);
        Program::sandbox(["--image", damaged.to_str().unwrap(), "--", "/bin/sh", "-c", "exit 7"]).run()
    };
    assert_eq!(run(&whole).code(), 7);
    run(&whole[..whole.len() / 2]).failed(125, &["image"]);
    run(&whole[..1500]).failed(125, &["image"]);
    for at in [1024, 1028, 1036, 1060, 1064, 1100, 4096, 4100, 8192] {
        let mut content = whole.clone();
        content.iter_mut().skip(at).take(4).for_each(|byte| *byte ^= 0xff);
        let ended = run(&content);
        let fine = ended.code() == 7 || (ended.code() >= 125 && ended.err().starts_with("ampoule: "));
        assert!(fine, "at {at}: {} {}", ended.code(), ended.err());
    }
}

#[test]
fn wrong_kernels_are_refused() {
    let directory = tempfile::tempdir().unwrap();
    let program = fs::read(ampoule_tests::BUSYBOX).unwrap();
    let empty = write(directory.path(), "empty", "");
    let text = write(directory.path(), "text", "not a kernel\n".repeat(100));
    let head = write(directory.path(), "head", &program[..100]);
    for path in [&empty, &text, &head, &directory.path().to_owned(), &"/no/such".into(), &"/dev/null".into()]
    {
        let path = path.to_str().unwrap();
        Program::sandbox(["--kernel", path, "--", "true"]).run().failed(125, &["kernel", path]);
    }
    // A program of another kind may look like a kernel until it runs.
    Program::sandbox(["--kernel", ampoule_tests::BUSYBOX, "--", "true"]).run().failed(125, &[]);
}

#[test]
fn what_the_job_needs_has_to_be_there() {
    Program::sandbox(["--user", "bob", "--", "true"]).run().failed(125, &["cannot start true", "user"]);
    Program::sandbox(["--workdir", "/etc/passwd", "--", "true"]).run().failed(126, &["not a directory"]);
    Program::sandbox(["--env-file", "/no/such", "--", "true"]).run().failed(125, &["/no/such"]);
    Program::sandbox(["--policy", "/no/such", "--", "true"]).run().failed(125, &["policy /no/such"]);
    Program::sandbox(["--input", "/no/such:/x", "--", "true"]).run().failed(125, &["cannot open /no/such"]);
}
