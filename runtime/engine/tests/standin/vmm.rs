//! The stand-in: a VMM and an agent in one, in the way that the command line names.

use ampoule_protocol::{
    ByeReason, Decoder, Encoder, Exited, FileDone, Frame, GuestMessage, Hello, HostMessage, JobId, List,
    MAX_DATA, Status, Stream, Text, Usage, VERSION, frame,
};
use ampoule_vmm_api::{Reason, Timings, VmConfig, VmStatus};
use rustix::process::Signal;
use std::fs::File;
use std::io::{Read, Write};
use std::os::fd::{FromRawFd, RawFd};
use std::time::Duration;

/// Plays the part that `config` names.
pub fn main(config: &str) {
    let config = VmConfig::from_json(config).expect("the engine's configuration");
    let config = config.validate().expect("a valid configuration");
    let mut agent = Agent {
        control: open(config.vsock.ports[0].fd),
        out: Encoder::new(),
        decoder: Decoder::new(),
        job: JobId::new(1).expect("not zero"),
    };
    let part = config.cmdline.as_str();
    match part {
        "silent" => {}
        "garbage" => agent.raw(b"HTTP/1.1 200 OK\r\n"),
        "huge" => agent.raw(&[frame::MAGIC, VERSION, 0, 0, 0xff, 0xff, 0xff, 0xff, 0, 0, 0, 0]),
        "truncated" => {
            agent.raw(&[frame::MAGIC, VERSION, 0, 0, 9]);
            agent.hang_up();
        }
        "hang_up" => agent.hang_up(),
        "no_hello" => agent.say(&GuestMessage::Started { job: agent.job, pid: 2 }),
        "die" => kill_self(Signal::KILL),
        // As a system-call filter does it.
        "filtered" => kill_self(Signal::SYS),
        "fail" => {
            eprintln!("something \x1b[31mbroke");
            std::process::exit(3);
        }
        "panic" => report(config.status_fd, Reason::KernelPanic),
        "no_kernel" => report(config.status_fd, Reason::BadKernel),
        _ => {
            agent.hello();
            play(part, &mut agent, config.status_fd);
        }
    }
    std::thread::sleep(Duration::from_secs(60));
}

fn play(part: &str, agent: &mut Agent, status_fd: Option<RawFd>) {
    match part {
        "quiet" => {}
        "pong_only" => agent.serve(|_, _| {}),
        "liar" => agent.say(&GuestMessage::Started { job: JobId::new(99).expect("not zero"), pid: 2 }),
        "fatal" => agent.say(&GuestMessage::Bye(ByeReason::Fatal(Text::new("no \x07 memory")))),
        "echo" => agent.serve(echo),
        "overflow" => agent.serve_start(|agent| {
            for _ in 0..100 {
                agent.data(Stream::Stdout(agent.job), &[b'x'; MAX_DATA]);
            }
        }),
        "flood" => {
            let mut credit = ampoule_protocol::INITIAL_WINDOW as usize;
            agent.serve(move |agent, frame| {
                match frame {
                    HostFrame::Message(HostMessage::Start(start)) => {
                        agent.say(&GuestMessage::Started { job: start.job, pid: 2 });
                    }
                    HostFrame::Message(HostMessage::Credit { bytes, .. }) => credit += bytes as usize,
                    _ => return,
                }
                while credit > 0 {
                    let len = credit.min(MAX_DATA);
                    credit -= len;
                    agent.data(Stream::Stdout(agent.job), &[b'x'; MAX_DATA][..len]);
                }
            });
        }
        "undead" => agent.serve_start(|agent| {
            report_only(status_fd, Reason::PowerOff);
            agent.exited(agent.job, Status::Code(5));
        }),
        // Says something all the time, and gets nowhere.
        "never_starts" => agent.serve(|agent, frame| {
            let HostFrame::Message(HostMessage::Start(start)) = frame else { return };
            loop {
                agent.say(&GuestMessage::Credit { stream: Stream::Stdin(start.job), bytes: 1 });
                std::thread::sleep(Duration::from_millis(50));
            }
        }),
        "trickle" => agent.serve(|agent, frame| match frame {
            HostFrame::Message(HostMessage::GetFile(get)) => loop {
                agent.data(Stream::File(get.file), b"x");
                std::thread::sleep(Duration::from_millis(50));
            },
            other => files(agent, other, 0),
        }),
        "ignore_signals" => agent.serve_start(|_| {}),
        "obey_signals" => agent.serve(|agent, frame| match frame {
            HostFrame::Message(HostMessage::Start(start)) => {
                agent.say(&GuestMessage::Started { job: start.job, pid: 2 });
            }
            HostFrame::Message(HostMessage::Signal { job, signo, .. }) => {
                agent.exited(job, Status::Signal { signo, core: false });
            }
            _ => {}
        }),
        "last_words" => agent.serve_start(|agent| {
            agent.data(Stream::Stdout(agent.job), &[b'x'; 60_000]);
            agent.data(Stream::Stderr(agent.job), b"famous");
            kill_self(Signal::KILL);
        }),
        "false_length" => agent.serve(|agent, frame| files(agent, frame, 1)),
        "files" => agent.serve(|agent, frame| files(agent, frame, 0)),
        other => panic!("there is no part {other:?}"),
    }
}

enum HostFrame {
    Message(HostMessage),
    Data(Stream, Vec<u8>),
}

struct Agent {
    control: File,
    out: Encoder<GuestMessage>,
    decoder: Decoder<HostMessage>,
    job: JobId,
}

impl Agent {
    fn raw(&mut self, bytes: &[u8]) {
        self.control.write_all(bytes).expect("the engine listens");
    }

    fn say(&mut self, message: &GuestMessage) {
        self.out.message(message).expect("a message that fits");
        self.flush();
    }

    fn data(&mut self, stream: Stream, bytes: &[u8]) {
        self.out.data(stream, bytes).expect("data that fits");
        self.flush();
    }

    fn flush(&mut self) {
        // The engine may hang up at any time, as it does on those who misbehave.
        if self.control.write_all(self.out.pending()).is_err() {
            std::thread::sleep(Duration::from_secs(60));
        }
        let len = self.out.len();
        self.out.advance(len);
    }

    fn hello(&mut self) {
        let text = Text::new("standin");
        let hello = Hello { agent: text.clone(), kernel: text.clone(), release: text, boot: List::default() };
        self.say(&GuestMessage::Hello(hello));
    }

    fn exited(&mut self, job: JobId, status: Status) {
        self.say(&GuestMessage::Exited(Exited { job, status, usage: Usage::default(), oom_kills: 0 }));
    }

    fn hang_up(&mut self) {
        self.control = File::open("/dev/null").expect("a place for the connection");
    }

    /// Answers pings itself, and passes everything else on.
    fn serve(&mut self, mut answer: impl FnMut(&mut Self, HostFrame)) {
        let mut bytes = vec![0; 100_000];
        loop {
            let len = self.control.read(&mut bytes).unwrap_or(0);
            if len == 0 {
                return;
            }
            let mut rest = &bytes[..len];
            while !rest.is_empty() {
                rest = &rest[self.decoder.push(rest)..];
                while let Some(frame) = self.next() {
                    match frame {
                        HostFrame::Message(HostMessage::Ping { token }) => {
                            self.say(&GuestMessage::Pong { token })
                        }
                        other => answer(self, other),
                    }
                }
            }
        }
    }

    /// Starts the job, and does something then.
    fn serve_start(&mut self, then: impl Fn(&mut Self)) {
        self.serve(|agent, frame| {
            if let HostFrame::Message(HostMessage::Start(start)) = frame {
                agent.job = start.job;
                agent.say(&GuestMessage::Started { job: start.job, pid: 2 });
                then(agent);
            }
        });
    }

    fn next(&mut self) -> Option<HostFrame> {
        match self.decoder.next_frame().expect("the engine speaks well")? {
            Frame::Message(message) => Some(HostFrame::Message(message)),
            Frame::Data { stream, bytes } => Some(HostFrame::Data(stream, bytes.to_vec())),
        }
    }
}

/// A job that gives back what it is given, and ends with 7.
fn echo(agent: &mut Agent, frame: HostFrame) {
    match frame {
        HostFrame::Message(HostMessage::Start(start)) => {
            agent.job = start.job;
            agent.say(&GuestMessage::Started { job: start.job, pid: 2 });
        }
        HostFrame::Data(Stream::Stdin(job), bytes) => {
            agent.data(Stream::Stdout(job), &bytes);
            let bytes = u32::try_from(bytes.len()).expect("a frame's length");
            agent.say(&GuestMessage::Credit { stream: Stream::Stdin(job), bytes });
        }
        HostFrame::Message(HostMessage::Eof(Stream::Stdin(job))) => {
            agent.say(&GuestMessage::Eof(Stream::Stdout(job)));
            agent.exited(job, Status::Code(7));
        }
        _ => {}
    }
}

/// Takes files, gives `content` for each that is asked for, and says that they are `extra` bytes longer.
fn files(agent: &mut Agent, frame: HostFrame, extra: u64) {
    match frame {
        HostFrame::Data(Stream::File(_), bytes) => assert_eq!(bytes, b"put"),
        HostFrame::Message(HostMessage::Eof(Stream::File(file))) => {
            agent.say(&GuestMessage::FileDone(FileDone { file, bytes: 3, mode: 0o644 }));
        }
        HostFrame::Message(HostMessage::Start(start)) => {
            agent.say(&GuestMessage::Started { job: start.job, pid: 2 });
            agent.exited(start.job, Status::Code(0));
        }
        HostFrame::Message(HostMessage::GetFile(get)) => {
            agent.data(Stream::File(get.file), b"content");
            let done = FileDone { file: get.file, bytes: 7 + extra, mode: 0o755 };
            agent.say(&GuestMessage::FileDone(done));
        }
        _ => {}
    }
}

fn report(status_fd: Option<RawFd>, reason: Reason) {
    report_only(status_fd, reason);
    std::process::exit(reason.exit_code());
}

/// Says how it ended, and lives on.
fn report_only(status_fd: Option<RawFd>, reason: Reason) {
    let status = VmStatus {
        reason,
        message: "the \x1b[1mmessage".into(),
        console_tail: "first\n\x1b[2Jlast\n".into(),
        timings: Timings { process_start: Some(1), ..Timings::default() },
        peak_rss_kib: 42,
    };
    open(status_fd.expect("a place for the status")).write_all(&status.to_json()).expect("the engine reads");
    // The report ends where both its descriptors are closed.
    drop(open(2));
    // So that the engine has read it before it hears of anything else.
    std::thread::sleep(Duration::from_millis(200));
}

fn kill_self(signal: Signal) {
    let pid = rustix::process::getpid();
    rustix::process::kill_process(pid, signal).expect("one may always end oneself");
}

fn open(fd: RawFd) -> File {
    // SAFETY: the engine passed the descriptor to this process, and each is opened once.
    unsafe { File::from_raw_fd(fd) }
}
