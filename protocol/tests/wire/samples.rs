//! One value of every message and every variant in them, with a name each.

use ampoule_protocol::*;

pub fn job(number: u32) -> JobId {
    JobId::new(number).unwrap()
}

pub fn file(number: u32) -> FileId {
    FileId::new(number).unwrap()
}

pub fn bytes(text: &str) -> CBytes {
    CBytes::new(text).unwrap()
}

fn strings<const MIN: usize, const MAX: usize>(texts: &[&str]) -> List<CBytes, MIN, MAX> {
    List::new(texts.iter().map(|text| bytes(text)).collect()).unwrap()
}

/// `getpid` gives `EPERM`, everything else is allowed.
fn filter() -> Filter {
    let instruction = |code, jt, jf, k| Instruction { code, jt, jf, k };
    List::new(vec![
        instruction(0x20, 0, 0, 0),
        instruction(0x15, 0, 1, 39),
        instruction(0x06, 0, 0, 0x0005_0001),
        instruction(0x06, 0, 0, 0x7fff_0000),
    ])
    .unwrap()
}

fn full_start() -> StartJob {
    StartJob {
        job: job(7),
        argv: strings(&["sh", "-c", "echo \u{e9}"]),
        env: List::new(vec![EnvVar::new(b"A", b"b=c").unwrap()]).unwrap(),
        cwd: Some(bytes("/work")),
        user: Some(User::parse("nobody:100").unwrap()),
        rlimits: List::new(vec![Rlimit { resource: Resource::Nofile, soft: 64, hard: u64::MAX }]).unwrap(),
        stdio: Stdio::Tty(TtySize { rows: 24, cols: 300 }),
        filter: Some(filter()),
    }
}

pub fn host() -> Vec<(&'static str, HostMessage)> {
    use HostMessage::*;
    let put = ampoule_protocol::PutFile { file: file(9), path: bytes("/tmp/in"), mode: 0o644 };
    vec![
        ("start-full", Start(full_start())),
        ("start-minimal", Start(StartJob::new(job(1), strings(&["/bin/true"])))),
        ("eof-stdin", Eof(Stream::Stdin(job(1)))),
        ("credit-stdout", Credit { stream: Stream::Stdout(job(1)), bytes: 131_072 }),
        ("close-stderr", Close(Stream::Stderr(job(300)))),
        ("signal-group", Signal { job: job(1), signo: 15, target: SignalTarget::Group }),
        ("signal-process", Signal { job: job(1), signo: 64, target: SignalTarget::Process }),
        ("resize", Resize { job: job(1), size: TtySize { rows: 1, cols: u16::MAX } }),
        ("put-file", PutFile(put)),
        (
            "get-file",
            GetFile(ampoule_protocol::GetFile {
                file: file(u32::MAX),
                path: bytes("/tmp/out"),
                limit: 1 << 32,
            }),
        ),
        ("set-time", SetTime { unix_ns: 1_700_000_000_000_000_000 }),
        ("add-entropy", AddEntropy(core::array::from_fn(|i| i as u8))),
        ("ping", Ping { token: 0 }),
        ("shutdown", Shutdown { grace_ms: 1000 }),
    ]
}

pub fn guest() -> Vec<(&'static str, GuestMessage)> {
    use GuestMessage::*;
    let boot = List::new(vec![BootPhase { name: Text::new("entry"), ns: 0 }]).unwrap();
    let hello = ampoule_protocol::Hello {
        agent: Text::new("0.1.0"),
        kernel: Text::new("Linux"),
        release: Text::new("6.1"),
        boot,
    };
    let usage = Usage { wall_us: 1, user_us: 2, max_rss_kib: 300, minor_faults: 4, ..Usage::default() };
    let exited =
        |status, oom_kills| Exited(ampoule_protocol::Exited { job: job(1), status, usage, oom_kills });
    let failed = FileFailed(ampoule_protocol::FileFailed {
        file: file(2),
        step: FileStep::Write,
        errno: 28,
        message: Text::default(),
    });
    let mut samples = vec![
        ("hello", Hello(hello)),
        ("started", Started { job: job(1), pid: 2 }),
        ("eof-stdout", Eof(Stream::Stdout(job(1)))),
        ("credit-stdin", Credit { stream: Stream::Stdin(job(1)), bytes: 1 }),
        ("close-stdin", Close(Stream::Stdin(job(1)))),
        ("exited-code", exited(Status::Code(255), 0)),
        ("exited-signal", exited(Status::Signal { signo: 11, core: true }, 0)),
        ("exited-oom", exited(Status::Signal { signo: 9, core: false }, 300)),
        ("file-done", FileDone(ampoule_protocol::FileDone { file: file(2), bytes: 1 << 40, mode: 0o755 })),
        ("file-failed", failed),
        ("pong", Pong { token: u32::MAX }),
        ("log", Log { level: LogLevel::Warning, text: Text::new("odd") }),
        ("bye", Bye(ByeReason::Shutdown)),
        ("bye-protocol", Bye(ByeReason::ProtocolError(Text::new("bad")))),
        ("bye-fatal", Bye(ByeReason::Fatal(Text::new("broken")))),
    ];
    for (name, step) in STEPS.into_iter().zip(StartStep::ALL) {
        let failed = ampoule_protocol::StartFailed { job: job(1), step, errno: 2, message: Text::new("x") };
        samples.push((name, StartFailed(failed)));
    }
    samples
}

const STEPS: [&str; 10] = [
    "failed-accept",
    "failed-user",
    "failed-stdio",
    "failed-spawn",
    "failed-session",
    "failed-rlimits",
    "failed-cwd",
    "failed-set-user",
    "failed-filter",
    "failed-exec",
];
