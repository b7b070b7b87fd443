//! `ampoule policy`: checks, shows and lists policies.

use crate::args::PolicyCommand;
use ampoule_policies::schema::MAX_LEN;
use ampoule_policies::{BUILTIN, Error, FilterAction, FilterMode, Policy};
use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};
use std::fs::File;
use std::io::Read;
use std::path::Path;
use std::process::ExitCode;
use std::time::Duration;

/// The policy of this name, or in this file. None is the default.
pub fn load(name: Option<&Path>) -> Result<Policy> {
    let Some(name) = name else { return Ok(Policy::builtin()?) };
    if let Some(policy) = name.to_str().and_then(Policy::named) {
        return Ok(policy?);
    }
    let text = read(name).with_context(|| format!("policy {}", name.display()))?;
    Policy::parse(&text).with_context(|| format!("policy {}", name.display()))
}

/// A file, or no more of it than shows that it is no policy.
fn read(file: &Path) -> Result<String> {
    let mut bytes = Vec::new();
    let most = u64::try_from(MAX_LEN).unwrap_or(u64::MAX).saturating_add(1);
    File::open(file)?.take(most).read_to_end(&mut bytes)?;
    // What is too long is cut within a character, perhaps; it is refused for its length.
    match String::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) if error.as_bytes().len() > MAX_LEN => Ok("x".repeat(MAX_LEN + 1)),
        Err(error) => bail!("it is no text: a byte at {} is not UTF-8", error.utf8_error().valid_up_to()),
    }
}

/// Does what the command says. Prints to standard output.
pub fn policy(command: PolicyCommand) -> Result<ExitCode> {
    match command {
        PolicyCommand::Check { file, json } => check(&file, json),
        PolicyCommand::Show { policy, json } => {
            let policy = load(Some(&policy))?;
            match json {
                true => println!("{}", Value::Object(fields(&policy))),
                false => print!("{}", toml(&policy)),
            }
            Ok(ExitCode::SUCCESS)
        }
        PolicyCommand::List { json } => list(json).map(|()| ExitCode::SUCCESS),
    }
}

fn check(file: &Path, json: bool) -> Result<ExitCode> {
    let name = || format!("policy {}", file.display());
    let result = Policy::parse(&read(file).with_context(name)?);
    if json {
        println!("{}", verdict(&result));
    }
    match result {
        Ok(_) if json => Ok(ExitCode::SUCCESS),
        Ok(_) => {
            println!("{}: valid", file.display());
            Ok(ExitCode::SUCCESS)
        }
        Err(_) if json => Ok(ExitCode::FAILURE),
        Err(error) => Err(error).with_context(name),
    }
}

fn verdict(result: &std::result::Result<Policy, Error>) -> Value {
    match result {
        Ok(_) => json!({ "valid": true }),
        Err(Error::Invalid(fault)) => json!({
            "valid": false, "line": fault.line, "column": fault.column, "message": fault.message,
            "help": fault.help,
        }),
        Err(error) => json!({ "valid": false, "message": error.to_string() }),
    }
}

fn list(json: bool) -> Result<()> {
    let mut policies = Vec::new();
    for (name, text) in BUILTIN {
        let policy = Policy::parse(text)?;
        policies.push((name, policy));
    }
    match json {
        true => {
            let list: Vec<Value> = policies
                .iter()
                .map(|(name, policy)| {
                    json!({ "name": name, "description": policy.description, "locked": policy.locked })
                })
                .collect();
            println!("{}", json!({ "policies": list }));
        }
        false => {
            for (name, policy) in policies {
                println!("{name:<10} {}", policy.description);
            }
        }
    }
    Ok(())
}

/// All fields of a policy, as a file would have them.
fn fields(policy: &Policy) -> Map<String, Value> {
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let limits = &policy.limits;
    let mut all = Map::new();
    let mut put = |table: &str, value: Value| all.insert(table.to_owned(), value);
    put("description", json!(policy.description));
    put("locked", json!(policy.locked));
    put("machine", json!({ "memory_mib": policy.machine.memory.get(), "vcpus": policy.machine.vcpus }));
    put(
        "deadlines",
        json!({
            "boot_ms": ms(policy.deadlines.boot),
            "answer_ms": ms(policy.deadlines.answer),
            "ping_ms": ms(policy.deadlines.ping),
            "job_ms": ms(policy.deadlines.job.unwrap_or_default()),
            "kill_grace_ms": ms(policy.deadlines.kill_grace),
        }),
    );
    put(
        "limits",
        json!({
            "cpus": f64::from(limits.cpu_milli.unwrap_or_default()) / 1000.0,
            "cpu_weight": limits.cpu_weight.unwrap_or_default(),
            "cpu_time_ms": ms(limits.cpu_time.unwrap_or_default()),
            "vmm_memory_mib": limits.vmm_memory >> 20,
            "vmm_threads": limits.vmm_threads.unwrap_or_default(),
            "processes": limits.processes.unwrap_or_default(),
            "open_files": limits.open_files.unwrap_or_default(),
            "disk_mib": limits.disk.unwrap_or_default() >> 20,
            "disk_files": limits.disk_files.unwrap_or_default(),
            "output_kib": limits.output.unwrap_or_default() >> 10,
            "capture_kib": limits.capture >> 10,
            "output_file_mib": limits.output_file >> 20,
            "vsock_kib_per_second": limits.vsock_rate.unwrap_or_default() >> 10,
        }),
    );
    put("network", json!({ "mode": "none" }));
    let set: Map<String, Value> =
        policy.environment.set.iter().map(|(name, value)| (name.clone(), json!(value))).collect();
    put(
        "environment",
        json!({ "pass": policy.environment.pass, "set": set, "deny": policy.environment.deny }),
    );
    put("files", json!({ "input": policy.files.input, "output": policy.files.output }));
    put("job", policy.user.as_ref().map_or(json!({}), |user| json!({ "user": user })));
    let calls = &policy.system_calls;
    put(
        "system_calls",
        json!({
            "mode": match calls.mode {
                FilterMode::All => "all",
                FilterMode::Allow => "allow",
                FilterMode::Deny => "deny",
            },
            "names": calls.names().collect::<Vec<_>>(),
            "action": match calls.action {
                FilterAction::Errno => "errno",
                FilterAction::Kill => "kill",
            },
        }),
    );
    all
}

/// The same as a policy file.
fn toml(policy: &Policy) -> String {
    let mut plain = String::new();
    let mut tables = String::new();
    for (name, value) in fields(policy) {
        match value {
            Value::Object(table) => {
                tables += &format!("\n[{name}]\n");
                for (name, value) in table {
                    tables += &format!("{name} = {}\n", literal(&value));
                }
            }
            value => plain += &format!("{name} = {}\n", literal(&value)),
        }
    }
    plain + &tables
}

/// A value in TOML. Strings are written as in JSON, all of whose escapes TOML has, but for the `\/` that nobody writes.
fn literal(value: &Value) -> String {
    match value {
        Value::Object(table) => {
            let entries: Vec<String> =
                table.iter().map(|(name, value)| format!("{} = {}", json!(name), literal(value))).collect();
            format!("{{ {} }}", entries.join(", ")).replace("{  }", "{}")
        }
        value => value.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_shown_is_the_policy() {
        for (name, _) in BUILTIN {
            let policy = load(Some(Path::new(name))).unwrap();
            let shown = toml(&policy);
            assert_eq!(Policy::parse(&shown).unwrap(), policy, "{shown}");
        }
    }

    #[test]
    fn a_policy_that_is_no_file_is_told() {
        let error = load(Some(Path::new("/no/such"))).unwrap_err();
        assert!(format!("{error:#}").starts_with("policy /no/such: "), "{error:#}");
        assert!(load(Some(Path::new("/"))).is_err());
        assert!(load(Some(Path::new("/dev/zero"))).is_err());
    }
}
