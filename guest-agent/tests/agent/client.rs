//! A small blocking host: starts an agent and speaks the protocol with it.

use ampoule_protocol::*;
use std::collections::VecDeque;
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio as Inherit};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// No step of any test takes this long on a working agent.
pub const PATIENCE: Duration = Duration::from_secs(20);

/// A shell's loop that outlasts every test, though not for long an agent that was killed.
pub const LINGER: &str = "for i in $(seq 2000); do sleep 0.01; done";

/// The agent's binary: what `AMPOULE_AGENT` names, or else built here.
pub fn agent_binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    BINARY.get_or_init(|| match std::env::var_os("AMPOULE_AGENT") {
        Some(path) => path.into(),
        None => build(),
    })
}

/// Builds it in a directory of its own: it cannot share features with the crates of the tests.
fn build() -> PathBuf {
    let directory = Path::new(env!("CARGO_TARGET_TMPDIR")).join("agent");
    let status = Command::new(env!("CARGO"))
        .args(["build", "--quiet", "--release", "-p", "ampoule-agent", "--features", "freestanding"])
        .arg("--manifest-path")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/Cargo.toml"))
        .arg("--target-dir")
        .arg(&directory)
        .status()
        .unwrap();
    assert!(status.success(), "the agent does not build");
    directory.join("release/ampoule-agent")
}

/// What the agent sent.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    Message(GuestMessage),
    Data(Stream, Vec<u8>),
    End,
}

/// What a job gave.
#[derive(Clone, Debug, Default)]
pub struct Output {
    pub stdout: Vec<u8>,
    pub stderr: Vec<u8>,
    pub exited: Option<Exited>,
    pub closed_stdin: bool,
}

impl Output {
    pub fn status(&self) -> Status {
        self.exited.unwrap().status
    }

    pub fn text(&self) -> &str {
        std::str::from_utf8(&self.stdout).unwrap()
    }
}

/// An agent, and the connection to it.
pub struct Guest {
    pub child: Child,
    pub stream: UnixStream,
    pub hello: Hello,
    decoder: Decoder<GuestMessage>,
    /// What came while a job started: others may have written something meanwhile.
    early: VecDeque<Event>,
}

impl Guest {
    pub fn start() -> Self {
        Self::start_with(Command::new(agent_binary()))
    }

    /// Starts a command that ends in the agent; its arguments are added.
    pub fn start_with(mut command: Command) -> Self {
        let (stream, theirs) = UnixStream::pair().unwrap();
        stream.set_read_timeout(Some(PATIENCE)).unwrap();
        stream.set_write_timeout(Some(PATIENCE)).unwrap();
        command.args(["--connect-fd", "0"]).stdin(Inherit::from(OwnedFd::from(theirs)));
        let child = command.spawn().unwrap();
        drop(command);
        let hello = Hello {
            agent: Text::default(),
            kernel: Text::default(),
            release: Text::default(),
            boot: List::default(),
        };
        let mut guest = Self { child, stream, hello, decoder: Decoder::new(), early: VecDeque::new() };
        match guest.next() {
            Event::Message(GuestMessage::Hello(hello)) => guest.hello = hello,
            other => panic!("not a hello: {other:?}"),
        }
        guest
    }

    pub fn send(&mut self, message: &HostMessage) {
        let mut encoder = Encoder::new();
        encoder.message(message).unwrap();
        self.send_bytes(encoder.pending());
    }

    pub fn send_data(&mut self, stream: Stream, bytes: &[u8]) {
        for piece in bytes.chunks(MAX_DATA) {
            self.send_bytes(&frame::data_header(stream, piece.len()).unwrap());
            self.send_bytes(piece);
        }
    }

    pub fn send_bytes(&mut self, bytes: &[u8]) {
        self.stream.write_all(bytes).unwrap();
    }

    /// The next thing that the agent sends.
    pub fn next(&mut self) -> Event {
        self.early.pop_front().unwrap_or_else(|| self.receive())
    }

    fn receive(&mut self) -> Event {
        loop {
            match self.decoder.next_frame().unwrap() {
                Some(Frame::Message(message)) => return Event::Message(message),
                Some(Frame::Data { stream, bytes }) => return Event::Data(stream, bytes.to_vec()),
                None => {}
            }
            match self.stream.read(self.decoder.spare()) {
                Ok(0) => return Event::End,
                Ok(len) => self.decoder.commit(len),
                Err(error) if error.kind() == std::io::ErrorKind::ConnectionReset => return Event::End,
                Err(error) => panic!("the agent says nothing: {error}"),
            }
        }
    }

    pub fn next_message(&mut self) -> GuestMessage {
        match self.next() {
            Event::Message(message) => message,
            other => panic!("not a message: {other:?}"),
        }
    }

    /// Skips data until a message comes for which `wanted` has an answer.
    pub fn until<T>(&mut self, wanted: impl Fn(&GuestMessage) -> Option<T>) -> T {
        loop {
            match self.next() {
                Event::Message(message) => {
                    if let Some(answer) = wanted(&message) {
                        return answer;
                    }
                }
                Event::Data(..) => {}
                Event::End => panic!("the connection ended"),
            }
        }
    }

    /// Starts a job that has to start; gives its process id.
    pub fn launch(&mut self, start: StartJob) -> u32 {
        let id = start.job;
        self.send(&HostMessage::Start(start));
        loop {
            match self.receive() {
                Event::Message(GuestMessage::Started { job, pid }) if job == id => return pid,
                Event::Message(GuestMessage::StartFailed(failed)) => panic!("{failed:?}"),
                Event::End => panic!("the connection ended"),
                other => self.early.push_back(other),
            }
        }
    }

    /// Starts a job that cannot start.
    pub fn refuse(&mut self, start: StartJob) -> StartFailed {
        self.send(&HostMessage::Start(start));
        match self.next_message() {
            GuestMessage::StartFailed(failed) => failed,
            other => panic!("it started: {other:?}"),
        }
    }

    /// Runs a job to its end with this input.
    pub fn run(&mut self, start: StartJob, input: &[u8]) -> Output {
        let job = start.job;
        let has_input = start.stdio != Stdio::Pipes { stdin: Input::Null };
        self.launch(start);
        self.finish(job, has_input.then_some(input))
    }

    /// Gives a running job the rest of its input (`None`: it has none), and takes all its output.
    pub fn finish(&mut self, job: JobId, input: Option<&[u8]>) -> Output {
        let mut input = input;
        let mut output = Output::default();
        let mut credit = SendWindow::new(Stream::Stdin(job));
        let mut windows = [Stream::Stdout(job), Stream::Stderr(job)].map(ReceiveWindow::new);
        loop {
            if let Some(rest) = input {
                let (now, later) = rest.split_at(rest.len().min(credit.available()));
                credit.spend(now.len()).unwrap();
                self.send_data(Stream::Stdin(job), now);
                input = (!later.is_empty()).then_some(later);
                if later.is_empty() {
                    self.send(&HostMessage::Eof(Stream::Stdin(job)));
                }
            }
            match self.next() {
                Event::Data(stream, bytes) => {
                    let (window, all) = match stream {
                        Stream::Stdout(from) if from == job => (&mut windows[0], &mut output.stdout),
                        Stream::Stderr(from) if from == job => (&mut windows[1], &mut output.stderr),
                        _ => continue,
                    };
                    window.receive(bytes.len()).unwrap();
                    all.extend_from_slice(&bytes);
                    if let Some(bytes) = window.consume(bytes.len()) {
                        self.send(&HostMessage::Credit { stream, bytes: bytes.get() });
                    }
                }
                Event::Message(GuestMessage::Credit { stream, bytes }) if stream == Stream::Stdin(job) => {
                    credit.grant(bytes).unwrap();
                }
                Event::Message(GuestMessage::Close(stream)) if stream == Stream::Stdin(job) => {
                    output.closed_stdin = true;
                    input = None;
                }
                Event::Message(GuestMessage::Exited(exited)) if exited.job == job => {
                    output.exited = Some(exited);
                    return output;
                }
                Event::Message(_) => {}
                Event::End => panic!("the connection ended"),
            }
        }
    }

    /// Runs a shell script without input.
    pub fn sh(&mut self, script: &str) -> Output {
        self.run(sh(1, script), b"")
    }

    /// Waits for the agent to end.
    pub fn exit(&mut self) -> ExitStatus {
        eventually(|| self.child.try_wait().unwrap())
    }

    /// Resident memory of the agent in KiB.
    pub fn rss_kib(&self) -> usize {
        let statm = std::fs::read_to_string(format!("/proc/{}/statm", self.child.id())).unwrap();
        statm.split(' ').nth(1).unwrap().parse::<usize>().unwrap() * 4
    }
}

impl Drop for Guest {
    fn drop(&mut self) {
        let _ended = self.child.kill();
        let _ended = self.child.wait();
    }
}

/// Asks until there is an answer.
pub fn eventually<T>(mut ask: impl FnMut() -> Option<T>) -> T {
    let start = Instant::now();
    loop {
        if let Some(answer) = ask() {
            return answer;
        }
        assert!(start.elapsed() < PATIENCE, "it does not happen");
        std::thread::sleep(Duration::from_millis(2));
    }
}

pub fn job(number: u32) -> JobId {
    JobId::new(number).unwrap()
}

pub fn file(number: u32) -> FileId {
    FileId::new(number).unwrap()
}

pub fn bytes(text: impl AsRef<std::ffi::OsStr>) -> CBytes {
    CBytes::new(text.as_ref().as_encoded_bytes()).unwrap()
}

pub fn command(number: u32, argv: &[&str]) -> StartJob {
    StartJob::new(job(number), List::new(argv.iter().map(bytes).collect()).unwrap())
}

pub fn sh(number: u32, script: &str) -> StartJob {
    command(number, &["/bin/sh", "-c", script])
}

pub fn env(pairs: &[(&str, &str)]) -> List<EnvVar, 0, 65536> {
    let vars = pairs.iter().map(|(name, value)| EnvVar::new(name.as_bytes(), value.as_bytes()).unwrap());
    List::new(vars.collect()).unwrap()
}

pub fn is_running(pid: u32) -> bool {
    match std::fs::read_to_string(format!("/proc/{pid}/stat")) {
        Ok(stat) => !stat.rsplit(')').next().unwrap().starts_with(" Z"),
        Err(_) => false,
    }
}
