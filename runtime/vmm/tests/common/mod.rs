//! Runs the real VMM with the test guest, which is built with the system's C compiler.
#![allow(dead_code, reason = "each test program uses a part of this")]

use ampoule_vmm_api::{FileSlice, Reason, VmConfig, VmStatus, VsockPort};
use rustix::io::{FdFlags, fcntl_setfd};
use std::ffi::OsString;
use std::fs::File;
use std::io::{PipeReader, PipeWriter, Read, Write, pipe};
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};
use std::os::unix::net::{UnixListener, UnixStream};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// No VM here takes longer than this.
pub const TIMEOUT: Duration = Duration::from_secs(20);

/// The test guest, built once a test program.
pub fn guest_kernel() -> &'static Path {
    static KERNEL: OnceLock<PathBuf> = OnceLock::new();
    KERNEL.get_or_init(|| {
        let sources = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/guest");
        let directory = Path::new(env!("CARGO_TARGET_TMPDIR"));
        let kernel = directory.join(format!("guest-{}.elf", std::process::id()));
        let status = Command::new("cc")
            .args("-Os -ffreestanding -fno-pic -no-pie -nostdlib -static".split(' '))
            .args("-mno-red-zone -mgeneral-regs-only -fno-stack-protector -fcf-protection=none".split(' '))
            .args("-Wl,--build-id=none -Wl,-z,noexecstack -Wl,--no-warn-rwx-segments -Wl,-T".split(' '))
            .args([sources.join("guest.ld"), "-o".into(), kernel.clone()])
            .args(["start.S", "guest.c", "vsock.c"].map(|name| sources.join(name)))
            .status()
            .expect("a C compiler");
        assert!(status.success(), "the test guest does not compile");
        kernel
    })
}

/// A VM to be.
pub struct Vm {
    /// What the VMM is told. Descriptors are added by the methods.
    pub config: VmConfig,
    /// What is executed, and its first arguments: the VMM, or something that executes it.
    pub command: Vec<OsString>,
    files: Vec<OwnedFd>,
}

/// A VM that runs.
pub struct Running {
    /// The VMM.
    pub process: Child,
    status: PipeReader,
    console: Option<PipeReader>,
}

/// What is left of a VM.
#[derive(Debug)]
pub struct Outcome {
    /// The VMM's last words.
    pub status: VmStatus,
    /// The VMM's exit code.
    pub code: Option<i32>,
    /// The streamed kernel log, if there was a console.
    pub console: String,
}

impl Vm {
    /// A VM that runs a part of the test guest: `test=` and this word.
    pub fn new(test: &str) -> Self {
        let kernel = File::open(guest_kernel()).unwrap();
        let mut vm = Self::with_kernel(kernel);
        vm.config.cmdline = format!("test={test}");
        vm
    }

    /// A VM with this kernel.
    pub fn with_kernel(kernel: File) -> Self {
        let len = kernel.metadata().unwrap().len();
        let config = VmConfig::new(16, FileSlice { fd: kernel.as_raw_fd(), offset: 0, len });
        Self { config, command: vec![env!("CARGO_BIN_EXE_ampoule-vmm").into()], files: vec![kernel.into()] }
    }

    /// Gives the VMM a descriptor.
    pub fn pass(&mut self, fd: impl Into<OwnedFd>) -> RawFd {
        let fd = fd.into();
        let number = fd.as_raw_fd();
        self.files.push(fd);
        number
    }

    /// Adds an image with this content.
    pub fn image(&mut self, content: &[u8]) -> FileSlice {
        let mut file = tempfile::tempfile().unwrap();
        file.write_all(content).unwrap();
        let image = FileSlice { fd: self.pass(file), offset: 0, len: content.len() as u64 };
        self.config.images.push(image);
        image
    }

    /// Lets the guest connect to a port. Gives the host's end.
    pub fn port(&mut self, port: u32) -> UnixStream {
        let (host, guest) = UnixStream::pair().unwrap();
        host.set_read_timeout(Some(TIMEOUT)).unwrap();
        host.set_write_timeout(Some(TIMEOUT)).unwrap();
        let fd = self.pass(guest);
        self.config.vsock.ports.push(VsockPort { port, fd });
        host
    }

    /// Lets clients connect to the guest, at this path.
    pub fn listen(&mut self, path: &Path) {
        let listener = UnixListener::bind(path).unwrap();
        listener.set_nonblocking(true).unwrap();
        self.config.vsock.listen_fd = Some(self.pass(listener));
    }

    /// Ends the VM when the writer is dropped.
    pub fn lifeline(&mut self) -> PipeWriter {
        let (reader, writer) = pipe().unwrap();
        self.config.lifeline_fd = Some(self.pass(reader));
        writer
    }

    /// Starts the VMM, with the kernel log streamed.
    pub fn start(mut self) -> Running {
        let (console, console_writer) = pipe().unwrap();
        self.config.console_fd = Some(self.pass(console_writer));
        let mut running = self.start_without_console();
        running.console = Some(console);
        running
    }

    /// Starts the VMM.
    pub fn start_without_console(mut self) -> Running {
        let (status, status_writer) = pipe().unwrap();
        self.config.status_fd = Some(self.pass(status_writer));
        Running { process: self.spawn(&mut |command| command), status, console: None }
    }

    /// Starts the VMM with the status going where the configuration says, and standard error nowhere.
    pub fn start_silently(self) -> Child {
        self.spawn(&mut |command| command.stderr(Stdio::null()))
    }

    fn spawn(self, adjust: &mut dyn FnMut(&mut Command) -> &mut Command) -> Child {
        let numbers: Vec<RawFd> = self.files.iter().map(AsRawFd::as_raw_fd).collect();
        let mut command = Command::new(&self.command[0]);
        // As the engine starts it.
        command.env_clear();
        command.args(&self.command[1..]).arg(self.config.to_json()).stdin(Stdio::null());
        let inherit = move || {
            for &fd in &numbers {
                // SAFETY: `self.files` keeps them open until the child has started.
                fcntl_setfd(unsafe { BorrowedFd::borrow_raw(fd) }, FdFlags::empty())?;
            }
            Ok(())
        };
        // SAFETY: the closure only makes system calls.
        adjust(unsafe { command.pre_exec(inherit) }).spawn().unwrap()
    }

    /// Starts the VMM and waits for its end.
    pub fn run(self) -> Outcome {
        self.start().wait()
    }
}

impl Running {
    /// Waits for the VM's end. Fails, and kills the VMM, if that takes too long.
    pub fn wait(mut self) -> Outcome {
        let console = self.console.take().map(|mut console| {
            std::thread::spawn(move || {
                let mut text = Vec::new();
                console.read_to_end(&mut text).unwrap();
                String::from_utf8(text).unwrap()
            })
        });
        let code = self.wait_for_exit();
        let mut line = Vec::new();
        self.status.read_to_end(&mut line).unwrap();
        let status =
            VmStatus::from_json(&line).unwrap_or_else(|error| panic!("{error} (exit code {code:?})"));
        assert_eq!(code, Some(status.reason.exit_code()), "{status:?}");
        let console = console.map(|console| console.join().unwrap()).unwrap_or_default();
        Outcome { status, code, console }
    }

    /// Waits for the process's end alone.
    pub fn wait_for_exit(&mut self) -> Option<i32> {
        let deadline = Instant::now() + TIMEOUT;
        while Instant::now() < deadline {
            if let Some(status) = self.process.try_wait().unwrap() {
                return status.code();
            }
            std::thread::sleep(Duration::from_millis(2));
        }
        self.process.kill().unwrap();
        self.process.wait().unwrap();
        panic!("the VM did not end");
    }

    /// Waits until the kernel log has this line.
    pub fn wait_for_line(&mut self, line: &str) {
        let console = self.console.as_mut().expect("a console");
        let mut text = Vec::new();
        while !text.ends_with(format!("{line}\n").as_bytes()) {
            let mut byte = [0];
            console.read_exact(&mut byte).unwrap_or_else(|error| panic!("{error} after {text:?}"));
            text.push(byte[0]);
        }
    }
}

impl Outcome {
    /// Checks why the VM ended.
    pub fn expect(&self, reason: Reason) -> &Self {
        assert_eq!(self.status.reason, reason, "{self:?}");
        self
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
