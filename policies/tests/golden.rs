//! Each file of `bad/` is wrong in its way, and beside it is what is said about it.

use ampoule_policies::{BUILTIN, Error, Policy};
use std::fs;
use std::path::Path;

/// With this variable set, what is said becomes what is expected.
const BLESS: &str = "BLESS";

#[test]
fn what_is_wrong_is_said_with_its_place() {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/bad");
    let mut files: Vec<_> = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.extension().is_some_and(|extension| extension == "toml"));
    files.sort();
    assert!(files.len() >= 20, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).unwrap();
        let error = Policy::parse(&text).expect_err(&file.display().to_string());
        let Error::Invalid(fault) = &error else { panic!("{}: {error}", file.display()) };
        assert!(fault.line <= text.lines().count() && fault.column >= 1, "{fault:?}");
        let said = format!("{error}\n");
        let expected = file.with_extension("txt");
        if std::env::var_os(BLESS).is_some() {
            fs::write(&expected, &said).unwrap();
        }
        assert_eq!(fs::read_to_string(&expected).unwrap_or_default(), said, "{}", file.display());
    }
}

#[test]
fn the_builtin_policies_are_valid_and_tighter_than_the_default_where_they_say_something() {
    let default = Policy::builtin().unwrap();
    assert_eq!((default.machine.memory.get(), default.deadlines.job, default.locked), (256, None, false));
    for (name, text) in BUILTIN {
        let policy = Policy::named(name).unwrap().unwrap_or_else(|error| panic!("{name}: {error}"));
        assert!(!policy.description.is_empty(), "{name}");
        assert_eq!(policy, Policy::parse(text).unwrap());
        assert_eq!(policy.locked, name == "strict");
        assert!(name == "default" || policy.deadlines.job.is_some(), "{name} runs for ever");
    }
    assert!(Policy::named("no-such").is_none());
}

#[test]
fn what_a_file_leaves_out_is_as_in_the_default() {
    let policy = Policy::parse("[deadlines]\njob_ms = 1500\n").unwrap();
    let default = Policy::builtin().unwrap();
    assert_eq!(policy.deadlines.job.unwrap().as_millis(), 1500);
    assert_eq!((policy.deadlines.boot, policy.machine), (default.deadlines.boot, default.machine));
    assert_eq!(policy.limits, default.limits);
    assert!(matches!(Policy::parse(&"#".repeat(1 << 20)), Err(Error::TooLong { .. })));
}
