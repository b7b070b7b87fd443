//! The command line resolved: defaults from the policy, files opened, everything checked that can be.

use super::Kind;
use super::{filter, images};
use crate::args::{EnvArg, InputArg, IsolationLevel, OutputArg, RunArgs, parse_env_file};
use crate::kernel::choice::{Kernel, boot_time};
use crate::policy as policies;
use ampoule_engine::attach::{InputFile, JobSpec, OutputFile, Streams, terminal_size};
use ampoule_engine::stdio::{Log, Sink, Source};
use ampoule_engine::{Artifact, Console, Guest, HostFile, Isolation, Manner, SandboxConfig, VmmProgram};
use ampoule_policies::{Deadlines, Environment, Files, Limits, Mib, Overrides};
use ampoule_protocol::{CBytes, EnvVar, Input, Principal, Stdio, TtySize, User};
use anyhow::{Context, Result, anyhow, bail};
use rustix::fs::{MemfdFlags, memfd_create};
use rustix::stdio::{stderr, stdin, stdout};
use rustix::termios::isatty;
use std::fs::File;
use std::io::{Read, Seek};
use std::os::fd::{BorrowedFd, OwnedFd};
use std::os::unix::ffi::OsStringExt;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

/// What `ampoule shell` runs.
const SHELL: &str = "/bin/sh";
/// Size of a terminal that does not know its own.
const DEFAULT_SIZE: TtySize = TtySize { rows: 24, cols: 80 };
/// Largest input that is not a regular file, in bytes.
const MAX_STREAMED_INPUT: u64 = 1 << 30;
/// Longest file of `--env-file`, in bytes. The protocol takes less than that in variables.
const MAX_ENV_FILE: u64 = 4 << 20;

/// Everything that is needed to run a command.
pub struct Request {
    kernel: Kernel,
    root: Artifact,
    memory: Mib,
    cmdline: String,
    console: Console,
    deadlines: Deadlines,
    isolation: Isolation,
    limits: Limits,
    /// The job.
    pub job: JobSpec,
    /// Its streams.
    pub streams: Streams,
    /// The terminal that is to be raw meanwhile.
    pub terminal: Option<OwnedFd>,
}

impl Request {
    /// Resolves the command line.
    pub fn new(args: RunArgs, kind: Kind) -> Result<Self> {
        let variables = variables(&args)?;
        let policy = policies::load(args.policy.as_deref())?.with(&overrides(&args, &variables))?;
        let tty = args.tty || (kind == Kind::Shell && !args.json);
        let env = environment(variables, tty, &policy.environment)?;
        let terminal = if tty { terminal()? } else { None };
        let (stdio, source) = stdin_and_stdio(tty, terminal.as_ref())?;
        let guest_log = args.console || args.trace;
        let job = JobSpec {
            argv: command(args.command, kind)?,
            env,
            cwd: args.workdir,
            user: match (args.user, &policy.user) {
                (Some(user), _) => Some(user),
                (None, Some(user)) => Some(User::parse(user).context("the policy's user")?),
                (None, None) => None,
            },
            stdio,
            inputs: inputs(&policy.files, args.input)?,
            outputs: outputs(&policy.files, args.output)?,
            timeout: policy.deadlines.job,
            output_total: policy.limits.output,
            open_files: policy.limits.open_files,
            filter: filter::compile(&policy.system_calls)?,
            kill_grace: policy.deadlines.kill_grace,
            output_limit: policy.limits.output_file,
            // A killed VMM says no more: neither its timings nor the end of the guest's log.
            manner: match args.json || args.timings || guest_log {
                true => Manner::Terminate,
                false => Manner::Kill,
            },
        };
        let (out, err) = match args.json {
            true => (Sink::memory(policy.limits.capture), Sink::memory(policy.limits.capture)),
            false => (sink(stdout())?, sink(stderr())?),
        };
        let log = if guest_log { Some(log()?.limited(policy.limits.output)) } else { None };
        let (root, asked_for) = images::root(args.image.as_deref())?;
        let kernel = Kernel::choose(&args.kernel, asked_for)?;
        let mut deadlines = policy.deadlines;
        let mut cmdline = kernel.words(guest_log);
        deadlines.boot = boot_time(kernel.guest, deadlines.boot, policy.locked);
        if args.trace {
            if kernel.guest == Guest::Linux {
                bail!("--trace is of ampoule's own kernel; a Linux guest has none");
            }
            cmdline.push_str("ampoule.trace");
        }
        Ok(Self {
            root,
            memory: policy.machine.memory,
            cmdline,
            console: if guest_log { Console::Stream } else { Console::Off },
            isolation: isolation(args.strict, args.isolation, policy.locked)?,
            deadlines,
            kernel,
            limits: policy.limits,
            job,
            streams: Streams {
                stdin: source,
                stdout: out,
                stderr: err,
                log,
                terminal: duplicate_all(terminal.as_ref())?,
            },
            terminal: terminal.filter(|_| isatty(stdin())),
        })
    }

    /// Whether nothing but KVM is to hold the guest.
    pub fn is_unjailed(&self) -> bool {
        self.isolation == Isolation::None
    }

    /// The sandbox to run it in.
    pub fn config<'a>(&self, vmm: &'a VmmProgram) -> Result<SandboxConfig<'a>> {
        Ok(SandboxConfig {
            vmm,
            kernel: self.kernel.artifact.clone(),
            guest: self.kernel.guest,
            initrd: self.kernel.initrd.clone(),
            root: self.root.clone(),
            agent: images::agent()?,
            memory: self.memory,
            cmdline: self.cmdline.clone(),
            console: self.console,
            deadlines: self.deadlines,
            isolation: self.isolation,
            limits: self.limits,
        })
    }
}

/// How much of the jail there has to be: all of it, where a policy may only be tightened.
fn isolation(strict: bool, level: IsolationLevel, locked: bool) -> Result<Isolation> {
    match level {
        IsolationLevel::None if locked => {
            bail!(
                "--isolation none is looser than the policy allows: the policy is locked, which takes the whole jail"
            )
        }
        _ if strict || locked => Ok(Isolation::Strict),
        level => Ok(level.into()),
    }
}

/// What the command line says that a policy may say, too.
fn overrides(args: &RunArgs, variables: &[EnvArg]) -> Overrides {
    let pass = variables.iter().filter_map(|arg| match arg {
        EnvArg::Inherit(name) => Some(name.to_string_lossy().into_owned()),
        EnvArg::Set(_) => None,
    });
    Overrides {
        memory: args.memory,
        job: args.timeout,
        user: args.user.as_ref().map(show_user),
        pass: pass.collect(),
        ..args.quotas.overrides()
    }
}

/// As it was typed.
fn show_user(user: &User) -> String {
    let show = |principal: &Principal| match principal {
        Principal::Id(id) => id.to_string(),
        Principal::Name(name) => name.to_string(),
    };
    match &user.group {
        Some(group) => format!("{}:{}", show(&user.user), show(group)),
        None => show(&user.user),
    }
}

fn command(words: Vec<std::ffi::OsString>, kind: Kind) -> Result<Vec<CBytes>> {
    let words: Vec<CBytes> = words
        .into_iter()
        .map(|word| CBytes::new(word.into_vec()).context("the command"))
        .collect::<Result<_>>()?;
    match (words.is_empty(), kind) {
        (false, _) => Ok(words),
        (true, Kind::Shell) => Ok(vec![CBytes::new(SHELL)?]),
        (true, Kind::Command) => bail!("no command was given, as in `ampoule run -- echo hello`"),
    }
}

/// The variables of the command line: those of files, and then single ones.
fn variables(args: &RunArgs) -> Result<Vec<EnvArg>> {
    let mut variables = Vec::new();
    for file in &args.env_file {
        let content = read_env_file(file).with_context(|| format!("cannot read {}", file.display()))?;
        variables.extend(parse_env_file(&content).map_err(|why| anyhow!("{}: {why}", file.display()))?);
    }
    variables.extend(args.env.iter().cloned());
    Ok(variables)
}

/// A file of variables, which may be one that never ends.
fn read_env_file(file: &Path) -> Result<Vec<u8>> {
    let mut content = Vec::new();
    File::open(file)?.take(MAX_ENV_FILE.saturating_add(1)).read_to_end(&mut content)?;
    match content.len() as u64 > MAX_ENV_FILE {
        true => bail!("it has more than {} MiB", MAX_ENV_FILE >> 20),
        false => Ok(content),
    }
}

/// Later ones go before earlier ones: the policy's first, then those of the command line.
fn environment(variables: Vec<EnvArg>, tty: bool, policy: &Environment) -> Result<Vec<EnvVar>> {
    let mut args = Vec::new();
    if tty && policy.denies(b"TERM").is_none() {
        args.push(EnvArg::Inherit("TERM".into()));
    }
    args.extend(policy.pass.iter().map(|name| EnvArg::Inherit(name.into())));
    for (name, value) in &policy.set {
        let var = EnvArg::parse(format!("{name}={value}").as_ref());
        args.push(var.map_err(|why| anyhow!("the policy's {name}: {why}"))?);
    }
    args.extend(variables);
    let resolve =
        |arg: EnvArg| arg.resolve(|name| std::env::var_os(name)).map_err(|why| anyhow!("--env: {why}"));
    let vars: Vec<EnvVar> =
        args.into_iter().filter_map(|arg| resolve(arg).transpose()).collect::<Result<_>>()?;
    for var in &vars {
        let name = var.name();
        if let Some(pattern) = policy.denies(name) {
            let name = String::from_utf8_lossy(name);
            bail!("the policy denies the variable {name} (`environment.deny` has {pattern:?})");
        }
    }
    Ok(vars)
}

/// The policy's, and then those of the command line.
fn inputs(policy: &Files, args: Vec<InputArg>) -> Result<Vec<InputFile>> {
    let parse =
        |text: &String| InputArg::parse(text.as_ref()).map_err(|why| anyhow!("files.input {text}: {why}"));
    let policys = policy.input.iter().map(parse);
    policys.chain(args.into_iter().map(Ok)).map(|arg| input(arg?)).collect()
}

fn outputs(policy: &Files, args: Vec<OutputArg>) -> Result<Vec<OutputFile>> {
    let parse =
        |text: &String| OutputArg::parse(text.as_ref()).map_err(|why| anyhow!("files.output {text}: {why}"));
    let policys = policy.output.iter().map(parse);
    policys.chain(args.into_iter().map(Ok)).map(|arg| output(arg?)).collect()
}

fn input(arg: InputArg) -> Result<InputFile> {
    let name = arg.host.display();
    let file = File::open(&arg.host).with_context(|| format!("cannot open {name}"))?;
    let metadata = file.metadata().with_context(|| format!("cannot look at {name}"))?;
    if metadata.is_dir() {
        bail!("{name} is a directory; --input copies files");
    }
    let mode = u16::try_from(metadata.permissions().mode() & 0o777).unwrap_or(0o644);
    let file = match metadata.is_file() {
        true => file,
        // A pipe may keep us waiting: that is for now, while Ctrl-C still ends this process.
        false => slurp(file).with_context(|| format!("cannot read {name}"))?,
    };
    Ok(InputFile { file, host: arg.host, guest: arg.guest, mode })
}

/// The content of something that is not a regular file, as a file in memory.
fn slurp(file: File) -> Result<File> {
    let mut memory: File = memfd_create("ampoule-input", MemfdFlags::CLOEXEC)?.into();
    let len = std::io::copy(&mut file.take(MAX_STREAMED_INPUT + 1), &mut memory)?;
    if len > MAX_STREAMED_INPUT {
        bail!("it has more than {} MiB", MAX_STREAMED_INPUT >> 20);
    }
    memory.rewind()?;
    Ok(memory)
}

fn output(arg: OutputArg) -> Result<OutputFile> {
    Ok(OutputFile { guest: arg.guest, host: HostFile::new(&arg.host)? })
}

/// The user's terminal, if there is one among the standard streams.
fn terminal() -> Result<Option<OwnedFd>> {
    let fd = [stdin(), stdout(), stderr()].into_iter().find(|fd| isatty(fd));
    fd.map(duplicate).transpose()
}

fn stdin_and_stdio(tty: bool, terminal: Option<&OwnedFd>) -> Result<(Stdio, Option<Source>)> {
    if !tty && is_dev_null(stdin()) {
        return Ok((Stdio::Pipes { stdin: Input::Null }, None));
    }
    let stdio = match tty {
        true => Stdio::Tty(terminal.and_then(terminal_size).unwrap_or(DEFAULT_SIZE)),
        false => Stdio::Pipes { stdin: Input::Stream },
    };
    let source = Source::new(duplicate(stdin())?).context("cannot use standard input")?;
    Ok((stdio, Some(source)))
}

fn is_dev_null(fd: BorrowedFd<'_>) -> bool {
    let null = rustix::fs::makedev(1, 3);
    rustix::fs::fstat(fd).is_ok_and(|stat| {
        rustix::fs::FileType::from_raw_mode(stat.st_mode).is_char_device() && stat.st_rdev == null
    })
}

fn sink(fd: BorrowedFd<'_>) -> Result<Sink> {
    Sink::file(duplicate(fd)?).context("cannot use a standard stream")
}

/// The guest's log goes to standard error. On a terminal, the guest is not to control that.
fn log() -> Result<Log> {
    let sink = sink(stderr())?;
    Ok(if isatty(stderr()) { Log::terminal(sink) } else { Log::raw(sink) })
}

fn duplicate(fd: BorrowedFd<'_>) -> Result<OwnedFd> {
    rustix::io::fcntl_dupfd_cloexec(fd, 3).context("cannot duplicate a standard stream")
}

fn duplicate_all(fd: Option<&OwnedFd>) -> Result<Option<OwnedFd>> {
    fd.map(|fd| fd.try_clone().context("cannot duplicate the terminal")).transpose()
}
