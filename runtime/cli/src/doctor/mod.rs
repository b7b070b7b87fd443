//! `ampoule doctor`: whether this machine can run microVMs, how, and what to mend.

mod check;
mod host;
mod jail;
mod kvm;
mod probe;

use check::{Check, Verdict};
use std::io::IsTerminal;
use std::process::ExitCode;

/// Fails with a sentence that says what to do, unless this host's KVM runs ring 0 of a guest natively.
pub fn require_hardware_kvm(what: &str) -> anyhow::Result<()> {
    match kvm::is_hardware() {
        Some(false) => anyhow::bail!(
            "{what} needs hardware KVM, and this host has software KVM: it emulates a guest's kernel one instruction at a \
             time, lacks instructions that Linux uses, and would take minutes to fail. Use ampoule's own kernel here \
             (--kernel ampoule), or a host with VT-x or AMD-V (`ampoule doctor` shows which kind it is)"
        ),
        // What is wrong with a host that cannot tell is said when the sandbox starts.
        Some(true) | None => Ok(()),
    }
}

/// Looks, prints, and gives 0 if microVMs can run, else 1.
pub fn doctor(json: bool) -> ExitCode {
    let mut checks = kvm::checks();
    checks.extend(host::checks());
    checks.extend(jail::checks());
    let worst = checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Ok);
    match json {
        true => println!("{}", serde_json::json!({ "verdict": worst, "checks": checks })),
        false => print(&checks, worst),
    }
    match worst {
        Verdict::Ok | Verdict::Warning => ExitCode::SUCCESS,
        Verdict::Failed => ExitCode::FAILURE,
    }
}

fn print(checks: &[Check], worst: Verdict) {
    let colours = std::io::stdout().is_terminal() && std::env::var_os("NO_COLOR").is_none();
    for check in checks {
        println!("{}  {:<19} {}", label(check.verdict, colours), check.name, check.found);
        if let Some(mend) = &check.mend {
            println!("       {:<19} to mend: {mend}", "");
        }
    }
    println!(
        "{}",
        match worst {
            Verdict::Ok => "microVMs run here",
            Verdict::Warning => "microVMs run here, with the warnings above",
            Verdict::Failed => "microVMs do not run here",
        }
    );
}

fn label(verdict: Verdict, colours: bool) -> String {
    let (text, colour) = match verdict {
        Verdict::Ok => ("ok  ", 32),
        Verdict::Warning => ("warn", 33),
        Verdict::Failed => ("FAIL", 31),
    };
    match colours {
        true => format!("\x1b[{colour}m{text}\x1b[0m"),
        false => text.to_owned(),
    }
}
