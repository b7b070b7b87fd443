//! Boots a kernel by hand:
//!
//! ```text
//! cargo run --example boot -- [--control] [--memory MIB] KERNEL.elf [ROOT.erofs [AGENT.erofs]] [-- WORDS...]
//! ```
//!
//! The kernel log goes to stderr, and so does the VM's status when it ends; the exit status is that of the VMM.
//! With `--control`, standard input and output are bridged to the guest's connection to host port 1024. Otherwise that
//! connection is accepted, and what the guest sends there is thrown away.

use ampoule_vmm_api::{CONTROL_PORT, FileSlice, VmConfig, VmStatus, VsockPort};
use std::fs::File;
use std::io::{Read, Write, pipe};
use std::net::Shutdown;
use std::os::fd::{AsRawFd, RawFd};
use std::os::unix::net::UnixStream;
use std::process::{Command, exit};
use std::thread;

fn main() {
    let options = Options::parse().unwrap_or_else(|error| {
        eprintln!("boot: {error}");
        exit(2);
    });
    exit(boot(options).unwrap_or_else(|error| {
        eprintln!("boot: {error}");
        1
    }));
}

struct Options {
    control: bool,
    memory_mib: u32,
    files: Vec<String>,
    words: Vec<String>,
}

impl Options {
    fn parse() -> Result<Self, String> {
        let mut options = Self { control: false, memory_mib: 256, files: Vec::new(), words: Vec::new() };
        let mut arguments = std::env::args().skip(1);
        while let Some(argument) = arguments.next() {
            match argument.as_str() {
                "--control" => options.control = true,
                "--memory" => {
                    let value = arguments.next().and_then(|value| value.parse().ok());
                    options.memory_mib = value.ok_or("--memory needs a number of MiB")?;
                }
                "--" => options.words.extend(arguments.by_ref()),
                _ => options.files.push(argument),
            }
        }
        match options.files.is_empty() {
            true => Err("usage: boot [--control] [--memory MIB] KERNEL [ROOT [AGENT]] [-- WORDS...]".into()),
            false => Ok(options),
        }
    }
}

fn boot(options: Options) -> std::io::Result<i32> {
    let files = options.files.iter().map(File::open).collect::<Result<Vec<_>, _>>()?;
    let mut slices = files.iter().map(slice).collect::<Result<Vec<_>, _>>()?;
    let (mut host, guest) = UnixStream::pair()?;
    let (mut status, status_writer) = pipe()?;
    // When this process is gone, so is the VM.
    let (lifeline, _held) = pipe()?;
    let mut config = VmConfig::new(options.memory_mib, slices.remove(0));
    config.images = slices;
    config.cmdline = options.words.join(" ");
    config.console_fd = Some(2);
    config.status_fd = Some(status_writer.as_raw_fd());
    config.vsock.ports.push(VsockPort { port: CONTROL_PORT, fd: guest.as_raw_fd() });
    config.lifeline_fd = Some(lifeline.as_raw_fd());
    for fd in files.iter().map(AsRawFd::as_raw_fd).chain([
        status_writer.as_raw_fd(),
        guest.as_raw_fd(),
        lifeline.as_raw_fd(),
    ]) {
        let_inherit(fd)?;
    }
    let mut vmm = Command::new(find_vmm()?).arg(config.to_json()).spawn()?;
    drop((status_writer, guest));
    let mut input = host.try_clone()?;
    if options.control {
        thread::spawn(move || {
            std::io::copy(&mut std::io::stdin(), &mut input)?;
            input.shutdown(Shutdown::Write)
        });
    }
    let output = thread::spawn(move || match options.control {
        true => std::io::copy(&mut host, &mut std::io::stdout()),
        false => std::io::copy(&mut host, &mut std::io::sink()),
    });
    let mut line = Vec::new();
    status.read_to_end(&mut line)?;
    report(&line)?;
    output.join().map_err(|_| std::io::Error::other("the output thread panicked"))??;
    Ok(vmm.wait()?.code().unwrap_or(128))
}

fn slice(file: &File) -> std::io::Result<FileSlice> {
    Ok(FileSlice { fd: file.as_raw_fd(), offset: 0, len: file.metadata()?.len() })
}

/// The VMM's binary, beside the directory of this one.
fn find_vmm() -> std::io::Result<std::path::PathBuf> {
    let here = std::env::current_exe()?;
    let vmm = here.ancestors().nth(2).map(|directory| directory.join("ampoule-vmm"));
    vmm.filter(|path| path.exists()).ok_or_else(|| std::io::Error::other("build ampoule-vmm first"))
}

fn let_inherit(fd: RawFd) -> std::io::Result<()> {
    // SAFETY: the caller's files are open.
    let fd = unsafe { std::os::fd::BorrowedFd::borrow_raw(fd) };
    Ok(rustix::io::fcntl_setfd(fd, rustix::io::FdFlags::empty())?)
}

fn report(line: &[u8]) -> std::io::Result<()> {
    let mut stderr = std::io::stderr();
    let Ok(status) = VmStatus::from_json(line) else {
        return writeln!(stderr, "boot: the VMM ended without a status");
    };
    writeln!(stderr, "\nboot: {:?}: {}", status.reason, status.message)?;
    let times = status.timings;
    let start = times.process_start.unwrap_or(0);
    for (what, time) in [
        ("kvm opened", times.kvm_opened),
        ("vm created", times.vm_created),
        ("memory mapped", times.memory_mapped),
        ("kernel loaded", times.kernel_loaded),
        ("vcpu ready", times.vcpu_ready),
        ("control connected", times.control_connected),
        ("end", times.end),
    ] {
        if let Some(time) = time {
            writeln!(stderr, "boot: {what:>18} {:>8} us", (time - start) / 1000)?;
        }
    }
    writeln!(stderr, "boot: {:>18} {:>8} KiB", "peak RSS", status.peak_rss_kib)
}
