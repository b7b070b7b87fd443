//! How a sandbox comes to be: what connects it to us, and its process.

use super::{Sandbox, Watched};
use crate::config::{Console, SandboxConfig, VmmEnds};
use crate::control::Control;
use crate::error::Error;
use crate::kvm;
use crate::layer;
use crate::life::State;
use crate::process::Process;
use crate::quota::{self, Quota};
use crate::report::Report;
use crate::session::Session;
use crate::timeline::{Nanos, Timeline};
use ampoule_cgroup::Cgroup;
use rustix::event::epoll;
use rustix::net::{AddressFamily, SocketFlags, SocketType, socketpair};
use rustix::pipe::{PipeFlags, pipe_with};
use std::os::fd::{AsFd, OwnedFd};
use std::time::Instant;

/// What connects us to a VMM; one kind of ends is ours, the other the VMM's.
struct Ends {
    control: OwnedFd,
    report: OwnedFd,
    lifeline: OwnedFd,
    console: Option<OwnedFd>,
}

impl Sandbox {
    /// Starts a VMM. The agent need not be up to be spoken to: use [`Sandbox::session_mut`] at once.
    pub fn launch(config: &SandboxConfig<'_>) -> Result<Self, Error> {
        let mut timeline = Timeline { launch: Some(Nanos::now()), ..Timeline::default() };
        let kvm = kvm::open_device()?;
        let (ours, vmms) = connect(config.console)?;
        let cgroup = quota::cgroup(&config.limits, config.memory)?;
        layer::demand(config.isolation, &cgroup)?;
        let process = start(config, &vmms, &kvm, &cgroup)?;
        timeline.vmm_spawned = Some(Nanos::now());
        quota::limit_process(&process, &config.limits)?;
        // While the VMM starts.
        cgroup.sweep();
        let epoll = watch_all(&ours, &process)?;
        Ok(Self {
            process,
            control: Control::new(ours.control),
            session: Session::new(),
            report: Report::new(ours.report),
            console: ours.console,
            _lifeline: ours.lifeline,
            state: Some(State::new(Instant::now(), config.deadlines.boot)),
            liveness: None,
            deadlines: config.deadlines,
            memory: config.memory,
            kernel: config.kernel.name().to_owned(),
            quota: Quota::new(&config.limits, Instant::now()),
            cgroup: Some(cgroup),
            timeline,
            epoll,
            wants_room: false,
            deaf: false,
            peak_rss_kib: None,
        })
    }
}

/// Creates the connections: our ends, and the VMM's.
fn connect(console: Console) -> Result<(Ends, Ends), Error> {
    let flags = SocketFlags::CLOEXEC;
    let (control, vmm_control) = socketpair(AddressFamily::UNIX, SocketType::STREAM, flags, None)
        .map_err(Error::system("create a socket pair"))?;
    let (report, vmm_report) = pipe()?;
    let (vmm_lifeline, lifeline) = pipe()?;
    let (console, vmm_console) = match console {
        Console::Stream => pipe().map(|(ours, vmms)| (Some(ours), Some(vmms)))?,
        Console::Off => (None, None),
    };
    let ours = Ends { control, report, lifeline, console };
    let vmms =
        Ends { control: vmm_control, report: vmm_report, lifeline: vmm_lifeline, console: vmm_console };
    Ok((ours, vmms))
}

fn start(config: &SandboxConfig<'_>, ends: &Ends, kvm: &OwnedFd, cgroup: &Cgroup) -> Result<Process, Error> {
    let spec = config.vmm_spec(&VmmEnds {
        control: ends.control.as_fd(),
        status: ends.report.as_fd(),
        lifeline: ends.lifeline.as_fd(),
        console: ends.console.as_ref().map(AsFd::as_fd),
        kvm: kvm.as_fd(),
    });
    Process::start(config.vmm, &spec, ends.report.as_fd(), cgroup, config.isolation)
}

fn watch_all(ends: &Ends, process: &Process) -> Result<OwnedFd, Error> {
    let epoll = epoll::create(epoll::CreateFlags::CLOEXEC).map_err(Error::system("create an epoll"))?;
    let watch = |fd: &dyn AsFd, watched: Watched| {
        epoll::add(&epoll, fd, epoll::EventData::new_u64(watched as u64), epoll::EventFlags::IN)
            .map_err(Error::system("watch a descriptor"))
    };
    watch(&ends.control, Watched::Control)?;
    watch(&ends.report, Watched::Report)?;
    watch(process, Watched::Process)?;
    if let Some(console) = &ends.console {
        watch(console, Watched::Console)?;
    }
    Ok(epoll)
}

fn pipe() -> Result<(OwnedFd, OwnedFd), Error> {
    pipe_with(PipeFlags::CLOEXEC | PipeFlags::NONBLOCK).map_err(Error::system("create a pipe"))
}
