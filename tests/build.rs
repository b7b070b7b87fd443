//! Compiles the C programs of the ABI tests, and lists them, so that each is a `#[test]` of its own.
//!
//! Every `abi/programs/*.c` becomes a static program; those with a line `// abi: dynamic` become a dynamically linked,
//! position-independent one as well. Those with `// abi: root` start as root. Every `abi/shell/*.sh` is a test, too.

use std::error::Error;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitCode};
use std::thread::available_parallelism;

/// The programs misuse calls on purpose, and do not look at every result.
const FLAGS: [&str; 9] = [
    "-O1",
    "-pthread",
    "-Wall",
    "-Wno-nonnull",
    "-Wno-stringop-overflow",
    "-Wno-stringop-overread",
    "-Wno-unused-result",
    "-Wno-array-bounds",
    "-Wno-infinite-recursion",
];
const STATIC: &str = "-static";
const DYNAMIC: &str = "-pie";
const DYNAMIC_TOO: &str = "// abi: dynamic";
const ROOT: &str = "// abi: root";

fn main() -> ExitCode {
    match build() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            println!("cargo::error={error}");
            ExitCode::FAILURE
        }
    }
}

fn build() -> Result<(), Box<dyn Error>> {
    let here = PathBuf::from(std::env::var("CARGO_MANIFEST_DIR")?);
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    let sources = files(&here.join("abi/programs"), "c")?;
    let headers = files(&here.join("abi/programs"), "h")?;
    let scripts = files(&here.join("abi/shell"), "sh")?;
    for sources in ["abi", "lab/dax.c"] {
        println!("cargo::rerun-if-changed={}", here.join(sources).display());
    }
    let mut compiler = Compiler::new(newest(&headers)?);
    let mut tests = String::new();
    for source in &sources {
        let name = stem(source);
        compiler.compile(source, &directory(&out, "static")?.join(name), STATIC)?;
        let text = fs::read_to_string(source)?;
        let call = if text.contains(ROOT) { "program_of_root" } else { "program" };
        tests += &test("static", name, call);
        if text.contains(DYNAMIC_TOO) {
            compiler.compile(source, &directory(&out, "dynamic")?.join(name), DYNAMIC)?;
            tests += &test("dynamic", name, "program");
        }
    }
    for (source, name) in [("abi/runner.c", "runner"), ("lab/dax.c", "dax")] {
        compiler.compile(&here.join(source), &out.join("programs").join(name), STATIC)?;
    }
    compiler.finish()?;
    for script in &scripts {
        tests += &test("shell", stem(script), "script");
    }
    fs::write(out.join("abi_tests.rs"), tests)?;
    Ok(())
}

fn test(kind: &str, name: &str, call: &str) -> String {
    format!("#[test]\nfn {kind}_{name}() {{\n    crate::{call}(\"{kind}\", \"{name}\");\n}}\n\n")
}

/// Runs a few compilers at a time.
struct Compiler {
    /// When the headers were changed last.
    headers: std::time::SystemTime,
    running: Vec<(PathBuf, Child)>,
}

impl Compiler {
    fn new(headers: std::time::SystemTime) -> Self {
        Self { headers, running: Vec::new() }
    }

    /// Starts to compile a program that is older than its source.
    fn compile(&mut self, source: &Path, program: &Path, link: &str) -> Result<(), Box<dyn Error>> {
        let changed = modified(source)?.max(self.headers);
        if modified(program).is_ok_and(|built| built > changed) {
            return Ok(());
        }
        if self.running.len() >= available_parallelism().map_or(2, usize::from) {
            let (source, child) = self.running.remove(0);
            wait(&source, child)?;
        }
        let mut command = Command::new(std::env::var_os("CC").unwrap_or_else(|| "gcc".into()));
        command.args(FLAGS).arg(link).arg("-o").arg(program).arg(source);
        let child = command.spawn().map_err(|error| {
            format!(
                "cannot run {:?}: {error}; install the Debian packages gcc and libc6-dev",
                command.get_program()
            )
        })?;
        self.running.push((source.to_owned(), child));
        Ok(())
    }

    fn finish(self) -> Result<(), Box<dyn Error>> {
        self.running.into_iter().try_for_each(|(source, child)| wait(&source, child))
    }
}

fn wait(source: &Path, mut child: Child) -> Result<(), Box<dyn Error>> {
    match child.wait()?.success() {
        true => Ok(()),
        false => {
            Err(format!("{} does not compile; is the Debian package libc6-dev there?", source.display())
                .into())
        }
    }
}

fn directory(out: &Path, kind: &str) -> Result<PathBuf, std::io::Error> {
    let directory = out.join("programs").join(kind);
    fs::create_dir_all(&directory)?;
    Ok(directory)
}

fn files(directory: &Path, extension: &str) -> Result<Vec<PathBuf>, std::io::Error> {
    let entries = fs::read_dir(directory)?.map(|entry| entry.map(|entry| entry.path()));
    let mut files = entries.collect::<Result<Vec<_>, _>>()?;
    files.retain(|path| path.extension().is_some_and(|found| found == extension));
    files.sort();
    Ok(files)
}

fn newest(files: &[PathBuf]) -> Result<std::time::SystemTime, std::io::Error> {
    files.iter().try_fold(std::time::UNIX_EPOCH, |newest, file| Ok(newest.max(modified(file)?)))
}

fn modified(file: &Path) -> Result<std::time::SystemTime, std::io::Error> {
    fs::metadata(file)?.modified()
}

fn stem(path: &Path) -> &str {
    path.file_stem().and_then(|stem| stem.to_str()).unwrap_or_default()
}
