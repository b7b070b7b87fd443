//! From a policy file as written to a complete and valid policy.

use crate::error::Error;
use crate::fault::Fault;
use crate::policy::{Deadlines, Environment, Files, Limits, Machine, Policy};
use crate::ranges;
use crate::schema::{RawDeadlines, RawEnvironment, RawFiles, RawLimits, RawPolicy, RawSystemCalls, Value};
use crate::syscalls::{FilterAction, FilterMode, SystemCalls, number};
use crate::units::Mib;
use core::ops::{Range, RangeInclusive};
use core::time::Duration;
use toml::Spanned;

/// Most entries of a list.
const MAX_ENTRIES: usize = 512;

/// Resolves a file against the default, from which comes what the file leaves out.
pub(crate) fn resolve(text: &str, raw: &RawPolicy, default: &RawPolicy) -> Result<Policy, Error> {
    let file = File { text };
    network(&file, raw)?;
    Ok(Policy {
        description: file.value(&raw.description).cloned().unwrap_or_default(),
        locked: file.value(&raw.locked).copied().unwrap_or_default(),
        machine: machine(&file, raw, default)?,
        deadlines: deadlines(&file, &raw.deadlines, &default.deadlines)?,
        limits: limits(&file, &raw.limits, &default.limits)?,
        environment: environment(&file, &raw.environment)?,
        files: files(&file, &raw.files)?,
        user: raw.job.user.as_ref().map(|user| file.user(user)).transpose()?,
        system_calls: system_calls(&file, &raw.system_calls)?,
    })
}

fn machine(file: &File<'_>, raw: &RawPolicy, default: &RawPolicy) -> Result<Machine, Error> {
    let (raw, default) = (&raw.machine, &default.machine);
    let range = Mib::MIN.get().into()..=Mib::MAX.get().into();
    let mib = file.within("machine.memory_mib", &raw.memory_mib, &default.memory_mib, range)?;
    if let Some(vcpus) = raw.vcpus.as_ref().filter(|vcpus| *vcpus.get_ref() != 1) {
        let message = format!("`machine.vcpus` is {}", vcpus.get_ref());
        return Err(file.fault(
            vcpus.span(),
            message,
            "a guest has 1 virtual processor; more do not exist yet",
        ));
    }
    // It is within the range of the type.
    let memory = Mib::new(mib).map_err(|_| Error::Missing { field: "machine.memory_mib" })?;
    Ok(Machine { memory, vcpus: 1 })
}

fn deadlines(file: &File<'_>, raw: &RawDeadlines, default: &RawDeadlines) -> Result<Deadlines, Error> {
    let ms = |name, value: &Value<u64>, default: &Value<u64>, range| {
        file.within(name, value, default, range).map(Duration::from_millis)
    };
    let job = ms("deadlines.job_ms", &raw.job_ms, &default.job_ms, ranges::TIME_MS)?;
    Ok(Deadlines {
        boot: ms("deadlines.boot_ms", &raw.boot_ms, &default.boot_ms, 1..=ranges::HOUR_MS)?,
        answer: ms("deadlines.answer_ms", &raw.answer_ms, &default.answer_ms, 100..=ranges::HOUR_MS)?,
        ping: ms("deadlines.ping_ms", &raw.ping_ms, &default.ping_ms, 100..=ranges::HOUR_MS)?,
        job: Some(job).filter(|job| !job.is_zero()),
        kill_grace: ms(
            "deadlines.kill_grace_ms",
            &raw.kill_grace_ms,
            &default.kill_grace_ms,
            0..=ranges::HOUR_MS,
        )?,
    })
}

fn limits(file: &File<'_>, raw: &RawLimits, default: &RawLimits) -> Result<Limits, Error> {
    let within =
        |name, value: &Value<u64>, default: &Value<u64>, range| file.within(name, value, default, range);
    // 0 is no limit.
    let some = |name, value: &Value<u64>, default: &Value<u64>, range: RangeInclusive<u64>| {
        file.within_or_zero(name, value, default, range)
    };
    let small = |value: Option<u64>| value.map(|value| u32::try_from(value).unwrap_or(u32::MAX));
    let capture = within("limits.capture_kib", &raw.capture_kib, &default.capture_kib, 0..=1 << 20)?;
    let weight = some("limits.cpu_weight", &raw.cpu_weight, &default.cpu_weight, ranges::CPU_WEIGHT)?;
    Ok(Limits {
        cpu_milli: file.cpus(&raw.cpus, &default.cpus)?,
        cpu_weight: weight.map(|weight| u16::try_from(weight).unwrap_or(u16::MAX)),
        cpu_time: some("limits.cpu_time_ms", &raw.cpu_time_ms, &default.cpu_time_ms, ranges::TIME_MS)?
            .map(Duration::from_millis),
        vmm_memory: within(
            "limits.vmm_memory_mib",
            &raw.vmm_memory_mib,
            &default.vmm_memory_mib,
            ranges::VMM_MEMORY_MIB,
        )? << 20,
        vmm_threads: small(some(
            "limits.vmm_threads",
            &raw.vmm_threads,
            &default.vmm_threads,
            ranges::VMM_THREADS,
        )?),
        processes: small(some("limits.processes", &raw.processes, &default.processes, ranges::PROCESSES)?),
        open_files: small(some(
            "limits.open_files",
            &raw.open_files,
            &default.open_files,
            ranges::OPEN_FILES,
        )?),
        disk: some("limits.disk_mib", &raw.disk_mib, &default.disk_mib, ranges::DISK_MIB)?
            .map(|mib| mib << 20),
        disk_files: small(some(
            "limits.disk_files",
            &raw.disk_files,
            &default.disk_files,
            ranges::DISK_FILES,
        )?),
        output: some("limits.output_kib", &raw.output_kib, &default.output_kib, ranges::OUTPUT_KIB)?
            .map(|kib| kib << 10),
        capture: usize::try_from(capture << 10).unwrap_or(usize::MAX),
        output_file: within(
            "limits.output_file_mib",
            &raw.output_file_mib,
            &default.output_file_mib,
            0..=1 << 24,
        )? << 20,
        vsock_rate: some(
            "limits.vsock_kib_per_second",
            &raw.vsock_kib_per_second,
            &default.vsock_kib_per_second,
            ranges::RATE_KIB,
        )?
        .map(|kib| kib << 10),
    })
}

fn network(file: &File<'_>, raw: &RawPolicy) -> Result<(), Error> {
    match &raw.network.mode {
        Some(mode) if mode.get_ref() != "none" => Err(file.fault(
            mode.span(),
            format!("`network.mode` is {:?}", mode.get_ref()),
            "it must be \"none\": a guest has no network, and nothing else exists yet",
        )),
        _ => Ok(()),
    }
}

fn environment(file: &File<'_>, raw: &RawEnvironment) -> Result<Environment, Error> {
    let name = |name: &Spanned<String>| file.variable(name, false);
    let set = raw.set.iter().flatten().map(|(key, value)| {
        if value.get_ref().contains('\0') {
            return Err(file.fault(value.span(), "a value with a NUL character", "no variable can have one"));
        }
        Ok((name(key)?, value.get_ref().clone()))
    });
    Ok(Environment {
        pass: file.list("environment.pass", &raw.pass, name)?,
        set: set.collect::<Result<_, _>>()?,
        deny: file.list("environment.deny", &raw.deny, |name| file.variable(name, true))?,
    })
}

fn files(file: &File<'_>, raw: &RawFiles) -> Result<Files, Error> {
    let checked = |what: &'static str, is_sound: fn(&str) -> bool| {
        move |entry: &Spanned<String>| match is_sound(entry.get_ref()) && !entry.get_ref().contains('\0') {
            true => Ok(entry.get_ref().clone()),
            false => Err(file.fault(
                entry.span(),
                format!("{:?} does not say which file goes where", entry.get_ref()),
                format!("it must be of the form {what}"),
            )),
        }
    };
    Ok(Files {
        input: file.list(
            "files.input",
            &raw.input,
            checked("HOSTFILE:/GUEST/PATH", |entry| {
                entry
                    .rfind(":/")
                    .is_some_and(|at| at > 0 && is_guest_path(entry.get(at + 1..).unwrap_or_default()))
            }),
        )?,
        output: file.list(
            "files.output",
            &raw.output,
            checked("/GUEST/PATH:HOSTFILE", |entry| {
                entry.split_once(':').is_some_and(|(guest, host)| is_guest_path(guest) && !host.is_empty())
            }),
        )?,
    })
}

fn is_guest_path(path: &str) -> bool {
    path.len() > 1 && path.starts_with('/') && !path.ends_with('/')
}

fn system_calls(file: &File<'_>, raw: &RawSystemCalls) -> Result<SystemCalls, Error> {
    let mode = file.choice(
        "system_calls.mode",
        &raw.mode,
        [("all", FilterMode::All), ("allow", FilterMode::Allow), ("deny", FilterMode::Deny)],
    )?;
    let action = file.choice(
        "system_calls.action",
        &raw.action,
        [("errno", FilterAction::Errno), ("kill", FilterAction::Kill)],
    )?;
    let mut numbers = file.list("system_calls.names", &raw.names, |name| {
        number(name.get_ref()).ok_or_else(|| {
            let message = format!("there is no system call {:?}", name.get_ref());
            file.fault(name.span(), message, "names are those of Linux on x86-64")
        })
    })?;
    numbers.sort_unstable();
    numbers.dedup();
    match (&raw.mode, mode, numbers.is_empty()) {
        (Some(written), FilterMode::Allow | FilterMode::Deny, true) => {
            Err(file.fault(written.span(), "a filter that names no system call", "add `names = [...]`"))
        }
        (_, FilterMode::All, false) => {
            let span = raw.names.iter().flatten().next().map_or(0..0, Spanned::span);
            let help = "add `mode = \"allow\"` or `mode = \"deny\"`";
            Err(file.fault(span, "`system_calls.names` without a mode", help))
        }
        _ => Ok(SystemCalls { mode, numbers, action }),
    }
}

/// The file that is being resolved.
struct File<'a> {
    text: &'a str,
}

impl File<'_> {
    fn fault(&self, span: Range<usize>, message: impl Into<String>, help: impl Into<String>) -> Error {
        Fault::at(self.text, span, message, help).into()
    }

    fn value<'v, T>(&self, value: &'v Value<T>) -> Option<&'v T> {
        value.as_ref().map(Spanned::get_ref)
    }

    /// A number of the file, or of the default.
    fn within(
        &self,
        field: &'static str,
        value: &Value<u64>,
        default: &Value<u64>,
        range: RangeInclusive<u64>,
    ) -> Result<u64, Error> {
        let written = value.as_ref().or(default.as_ref()).ok_or(Error::Missing { field })?;
        match range.contains(written.get_ref()) {
            true => Ok(*written.get_ref()),
            false => Err(self.fault(
                written.span(),
                format!("`{field}` is {}", written.get_ref()),
                format!("it must be between {} and {}", range.start(), range.end()),
            )),
        }
    }

    /// The same, where 0 is no limit.
    fn within_or_zero(
        &self,
        field: &'static str,
        value: &Value<u64>,
        default: &Value<u64>,
        range: RangeInclusive<u64>,
    ) -> Result<Option<u64>, Error> {
        let written = value.as_ref().or(default.as_ref()).ok_or(Error::Missing { field })?;
        match *written.get_ref() {
            0 => Ok(None),
            number if range.contains(&number) => Ok(Some(number)),
            number => Err(self.fault(
                written.span(),
                format!("`{field}` is {number}"),
                format!("it must be 0 (no limit), or between {} and {}", range.start(), range.end()),
            )),
        }
    }

    fn cpus(&self, value: &Value<f64>, default: &Value<f64>) -> Result<Option<u32>, Error> {
        const FIELD: &str = "limits.cpus";
        let written = value.as_ref().or(default.as_ref()).ok_or(Error::Missing { field: FIELD })?;
        ranges::cpu_milli(*written.get_ref()).map_err(|help| {
            self.fault(
                written.span(),
                format!("`{FIELD}` is {}", written.get_ref()),
                format!("it must be {help}"),
            )
        })
    }

    fn choice<T: Copy + Default, const N: usize>(
        &self,
        field: &'static str,
        value: &Value<String>,
        choices: [(&str, T); N],
    ) -> Result<T, Error> {
        let Some(written) = value else { return Ok(T::default()) };
        let chosen = choices.iter().find(|(name, _)| name == written.get_ref());
        chosen.map(|(_, choice)| *choice).ok_or_else(|| {
            let names = choices.map(|(name, _)| format!("{name:?}"));
            self.fault(
                written.span(),
                format!("`{field}` is {:?}", written.get_ref()),
                format!("it must be one of {}", names.join(", ")),
            )
        })
    }

    fn list<T>(
        &self,
        field: &'static str,
        entries: &Option<Vec<Spanned<String>>>,
        check: impl Fn(&Spanned<String>) -> Result<T, Error>,
    ) -> Result<Vec<T>, Error> {
        let entries = entries.as_deref().unwrap_or_default();
        if let Some(surplus) = entries.get(MAX_ENTRIES) {
            let message = format!("`{field}` has {} entries", entries.len());
            return Err(self.fault(surplus.span(), message, format!("{MAX_ENTRIES} are the most")));
        }
        entries.iter().map(check).collect()
    }

    /// The name of a variable, or of several: then it ends with a star.
    fn variable(&self, name: &Spanned<String>, may_have_star: bool) -> Result<String, Error> {
        let text = name.get_ref();
        let plain = if may_have_star { text.strip_suffix('*').unwrap_or(text) } else { text };
        let is_name = !text.is_empty() && !plain.contains(['=', '\0', '*']);
        match is_name {
            true => Ok(text.clone()),
            false => {
                let star = if may_have_star { ", with a * at its end at most" } else { "" };
                let message = format!("{text:?} is no name of a variable");
                Err(self.fault(name.span(), message, format!("a name has no `=` and is not empty{star}")))
            }
        }
    }

    fn user(&self, user: &Spanned<String>) -> Result<String, Error> {
        let text = user.get_ref();
        let is_principal = |part: &str| {
            let is_plain = part.bytes().all(|b| b.is_ascii_alphanumeric() || b"_.-$".contains(&b));
            let is_number = part.bytes().all(|b| b.is_ascii_digit());
            (1..=32).contains(&part.len())
                && is_plain
                && (!is_number || part.parse().is_ok_and(|id: u32| id < u32::MAX))
        };
        let (user_part, group) =
            text.split_once(':').map_or((text.as_str(), None), |(user, group)| (user, Some(group)));
        match is_principal(user_part) && group.is_none_or(is_principal) {
            true => Ok(text.clone()),
            false => {
                let help = "it must be USER or USER:GROUP, each a name or a number";
                Err(self.fault(user.span(), format!("`job.user` is {text:?}"), help))
            }
        }
    }
}
