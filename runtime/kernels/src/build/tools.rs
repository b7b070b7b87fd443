//! What a kernel is built with, and whether it is there.

use crate::Error;
use std::env;
use std::ffi::OsStr;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::{Command, Stdio};

/// Programs, and Debian's packages of them.
const PROGRAMS: [(&str, &str); 6] = [
    ("make", "make"),
    ("gcc", "gcc"),
    ("ld", "binutils"),
    ("flex", "flex"),
    ("bison", "bison"),
    ("bc", "bc"),
];
/// What programs are compiled against that run during the build: Debian's package of it, and a program that needs it.
const LIBRARIES: [(&str, &str, &str, &[&str]); 2] = [
    ("the C library's headers", "libc6-dev", "#include <stdlib.h>\nint main(void) { return 0; }\n", &[]),
    (
        "libelf's headers",
        "libelf-dev",
        "#include <libelf.h>\nint main(void) { return elf_version(EV_CURRENT) == EV_NONE; }\n",
        &["-lelf"],
    ),
];

/// Says in one error all that is missing.
pub fn check() -> Result<(), Error> {
    let mut missing: Vec<(&str, &str)> =
        PROGRAMS.into_iter().filter(|(program, _)| !is_in_path(program)).collect();
    if !missing.iter().any(|(program, _)| ["gcc", "ld"].contains(program)) {
        for (what, package, program, arguments) in LIBRARIES {
            if !compiles(program, arguments)? {
                missing.push((what, package));
            }
        }
    }
    let list = |separator, part: fn(&(&'static str, &'static str)) -> &'static str| {
        missing.iter().map(part).collect::<Vec<_>>().join(separator)
    };
    match missing.is_empty() {
        true => Ok(()),
        false => Err(Error::NoTools {
            tools: list(", ", |(what, _)| what),
            packages: list(" ", |(_, package)| package),
        }),
    }
}

fn is_in_path(program: &str) -> bool {
    let path = env::var_os("PATH").unwrap_or_default();
    let is_program = |file: &Path| {
        file.metadata().is_ok_and(|metadata| metadata.is_file() && metadata.permissions().mode() & 0o111 != 0)
    };
    env::split_paths(&path).any(|directory| is_program(&directory.join(program)))
}

/// Whether a program can be compiled and linked.
fn compiles(program: &str, libraries: &[&str]) -> Result<bool, Error> {
    let directory = tempfile::tempdir().map_err(Error::file("write into", env::temp_dir()))?;
    let path = directory.path().join("program.c");
    fs::write(&path, program).map_err(Error::file("write", &path))?;
    let mut command = command("gcc", directory.path());
    command.arg(&path).arg("-o").arg(directory.path().join("program")).args(libraries);
    let status = command.status().map_err(|error| Error::File { what: "run", path: "gcc".into(), error })?;
    Ok(status.success())
}

/// A silent program with nothing of the environment but the path: what a build comes to must not depend on the rest.
pub fn command(program: impl AsRef<OsStr>, tmp: &Path) -> Command {
    let mut command = Command::new(program);
    command.env_clear().env("PATH", env::var_os("PATH").unwrap_or_default());
    command.env("LC_ALL", "C").env("TZ", "UTC").env("TMPDIR", tmp);
    command.stdin(Stdio::null()).stdout(Stdio::null()).stderr(Stdio::null());
    command
}
