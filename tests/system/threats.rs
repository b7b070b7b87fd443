//! The threat model says what shows each of its lines: that has to be there.

use std::fs;
use std::path::{Path, PathBuf};

/// Where tests are.
const SOURCES: [&str; 9] = [
    "fuzz/fuzz_targets",
    "guest-agent",
    "guest-kernel",
    "policies",
    "protocol",
    "rootfs",
    "runtime",
    "tests",
    "text",
];
/// Lines of the table that name no test, and why.
const NONE: [&str; 2] = ["| **KVM** and the processor", "| ending the runtime at a bad moment |"];

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// All text of Rust sources below these directories, built ones left out.
fn sources() -> String {
    fn collect(directory: &Path, all: &mut String) {
        for entry in fs::read_dir(directory).unwrap().map(Result::unwrap) {
            let path = entry.path();
            match entry.file_type().unwrap().is_dir() {
                true if path.ends_with("target") => {}
                true => collect(&path, all),
                false if path.extension().is_some_and(|end| end == "rs") => {
                    all.push_str(&fs::read_to_string(&path).unwrap());
                }
                false => {}
            }
        }
    }
    let mut all = String::new();
    SOURCES.iter().for_each(|directory| collect(&root().join(directory), &mut all));
    all
}

/// What stands between these marks.
fn between<'a>(text: &'a str, open: &'a str, close: &'a str) -> impl Iterator<Item = &'a str> {
    text.split(open).skip(1).filter_map(move |rest| rest.split_once(close).map(|(inside, _)| inside))
}

/// What is written as code.
fn quoted(text: &str) -> impl Iterator<Item = &str> {
    text.split('`').skip(1).step_by(2)
}

/// A test's name, as they are here: words, or a fuzz target in a line on fuzzing.
fn is_test(word: &str) -> bool {
    word.matches('_').count() >= 2 && word.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_')
}

/// A path of the repository.
fn is_path(word: &str) -> bool {
    SOURCES.iter().any(|source| word.starts_with(source.split('/').next().unwrap())) && word.contains('/')
}

#[test]
fn every_test_that_the_threat_model_names_is_there() {
    let text = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let sources = sources();
    let (mut tests, mut paths) = (0, 0);
    for word in quoted(&text) {
        if is_test(word) {
            let is_there =
                sources.contains(&format!("fn {word}(")) || sources.contains(&format!("(\"{word}\","));
            assert!(is_there, "there is no test {word}");
            tests += 1;
        }
        if is_path(word) {
            assert!(root().join(word).exists(), "there is no {word}");
            paths += 1;
        }
    }
    for link in between(&text, "](", ")").filter(|link| !link.starts_with("http")) {
        assert!(root().join("docs").join(link).exists(), "there is no {link}");
        paths += 1;
    }
    assert!(tests >= 10 && paths >= 30, "{tests} tests and {paths} paths: the document was not understood");
}

#[test]
fn every_line_of_its_tables_names_what_shows_it() {
    let text = fs::read_to_string(root().join("docs/threat-model.md")).unwrap();
    let lines = text.lines().filter(|line| line.starts_with("| ") && line.matches('|').count() >= 4);
    let mut seen = 0;
    for line in lines.filter(|line| !line.contains("shown by")) {
        seen += 1;
        let shown_by = line.trim_end_matches([' ', '|']).rsplit(" | ").next().unwrap();
        let names = quoted(shown_by).any(|word| is_test(word) || is_path(word)) || shown_by.contains("](../");
        assert!(names || NONE.iter().any(|none| line.starts_with(none)), "nothing shows: {line}");
    }
    assert!(seen >= 20, "{seen} lines: the document was not understood");
}

#[test]
fn every_fuzz_target_is_run_and_has_seeds() {
    let run = fs::read_to_string(root().join("fuzz/run")).unwrap();
    let listed = between(&run, "targets=(", ")").next().unwrap().split_whitespace().collect::<Vec<_>>();
    for entry in fs::read_dir(root().join("fuzz/fuzz_targets")).unwrap().map(Result::unwrap) {
        let name = entry.path().file_stem().unwrap().to_str().unwrap().to_owned();
        assert!(listed.contains(&name.as_str()), "fuzz/run does not run {name}");
        let seeds = fs::read_dir(root().join("fuzz/corpus").join(&name)).map_or(0, Iterator::count);
        assert!(seeds > 0, "{name} has no seeds");
    }
}
