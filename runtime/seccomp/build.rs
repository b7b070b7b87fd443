//! Compiles the filters into `OUT_DIR/programs.rs`.

use ampoule_seccomp_rules::{FILTERS, Filters, Program, directory};
use std::error::Error;
use std::fmt::Write;
use std::path::PathBuf;
use std::process::ExitCode;

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
    println!("cargo::rerun-if-changed={}", directory().display());
    let filters = Filters::read(&directory())?;
    let mut text = String::new();
    for name in FILTERS {
        let program =
            Program::compile(&filters.rules(name)).map_err(|error| format!("{name}.toml: {error}"))?;
        write_program(&mut text, name, &program)?;
    }
    let out = PathBuf::from(std::env::var("OUT_DIR")?);
    Ok(std::fs::write(out.join("programs.rs"), text)?)
}

fn write_program(text: &mut String, name: &str, program: &Program) -> Result<(), Box<dyn Error>> {
    let (name, len) = (name.to_uppercase(), program.code.len());
    writeln!(text, "static {name}: Program<{len}> = Program {{ code: [")?;
    for (code, jt, jf, k) in &program.code {
        writeln!(text, "    sock_filter {{ code: {code}, jt: {jt}, jf: {jf}, k: {k} }},")?;
    }
    writeln!(text, "], own_pid: &{:?} }};", program.own_pid)?;
    Ok(())
}
