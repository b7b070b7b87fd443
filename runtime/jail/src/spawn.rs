//! Starting a process: the parent's side.

use crate::child::{IdentityCell, Left, Orders, Reply, Step, Unified};
use crate::clone::{BlockedSignals, child_pid, clone};
use crate::command::{Command, Isolation};
use crate::error::{Error, Missing};
use crate::identity;
use crate::layer::{Layer, Layers};
use crate::ruleset;
use crate::stack::Stack;
use rustix::io::{Errno, write};
use rustix::pipe::{PipeFlags, pipe_with};
use rustix::process::{
    DumpableBehavior, Pid, Signal, WaitId, WaitIdOptions, dumpable_behavior, getpid, pidfd_send_signal,
    set_dumpable_behavior, waitid,
};
use rustix::thread::{futex, gettid};
use std::ffi::{c_char, c_int, c_void};
use std::os::fd::{AsFd, AsRawFd, OwnedFd, RawFd};
use std::ptr::{null, null_mut};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};

/// A process that executes its program.
#[derive(Debug)]
pub struct Child {
    /// Its process id.
    pub pid: Pid,
    /// Refers to it even when it is gone.
    pub pidfd: OwnedFd,
    /// The layers that it is behind.
    pub layers: Layers,
    /// The layers that this host does not give.
    pub missing: Vec<Missing>,
}

/// What the caller does with a process before it executes its program, or meanwhile: it gets on with its layers.
pub type Caller<'a> = &'a mut dyn FnMut(Pid) -> Result<(), Box<dyn std::error::Error + Send + Sync>>;

/// Starts a process behind the layers that are asked for. See [`spawn_with`].
pub fn spawn(command: &Command<'_>, isolation: Isolation, caller: Caller<'_>) -> Result<Child, Error> {
    let layers = match isolation {
        Isolation::None => Layers::NONE,
        Isolation::BestEffort | Isolation::Strict => Layers::ALL,
    };
    spawn_with(command, layers, isolation == Isolation::Strict, caller)
}

/// Starts a process behind these layers, or, unless all are `required`, those of them that the host has.
///
/// `caller` gets the process's id before the process joins a control group namespace, changes its user or executes its
/// program. If a layer turns out to be missing, it all begins again with another process.
///
/// If the calling thread is the program's first, the process is killed when that thread ends.
pub fn spawn_with(
    command: &Command<'_>,
    layers: Layers,
    required: bool,
    caller: Caller<'_>,
) -> Result<Child, Error> {
    start_behind(command, Then::Execute, layers, required, caller)
}

/// What a process does behind its layers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Then {
    /// It executes its program.
    Execute,
    /// It ends with 0.
    End,
}

/// Starts a process behind these layers, or, unless all are `required`, those of them that the host has.
pub(crate) fn start_behind(
    command: &Command<'_>,
    then: Then,
    layers: Layers,
    required: bool,
    caller: Caller<'_>,
) -> Result<Child, Error> {
    let mut layers = layers;
    let mut missing = Vec::new();
    loop {
        match attempt(command, then, layers, caller) {
            Ok((pid, pidfd)) => return Ok(Child { pid, pidfd, layers, missing }),
            Err(Failure::Layer(missing)) if required => return Err(Error::Layer { missing }),
            Err(Failure::Layer(first)) => {
                for layer in with_dependents(first.layer) {
                    if layers.contains(layer) {
                        layers = layers.without(layer);
                        missing.push(Missing { layer, errno: first.errno });
                    }
                }
            }
            Err(Failure::Other(error)) => return Err(error),
        }
    }
}

/// A layer, and those that cannot be without it.
fn with_dependents(layer: Layer) -> impl Iterator<Item = Layer> {
    let root_can = identity::privileged();
    Layer::ALL.into_iter().filter(move |&other| {
        let needs = match (layer, other) {
            (Layer::Mount, Layer::Root) => true,
            (Layer::User, Layer::Pid | Layer::Mount | Layer::Net | Layer::Ipc | Layer::Uts) => !root_can,
            (Layer::User, Layer::Cgroup | Layer::Root | Layer::Capabilities) => !root_can,
            _ => false,
        };
        needs || layer == other
    })
}

enum Failure {
    Layer(Missing),
    Other(Error),
}

impl Failure {
    fn layer(layer: Layer, errno: Errno) -> Self {
        Self::Layer(Missing { layer, errno })
    }

    /// Whether the parent did not find the child, or its files in `/proc`, which are root's once it has exited.
    fn is_of_a_child_that_is_gone(&self) -> bool {
        matches!(self, Self::Layer(Missing { errno: Errno::SRCH | Errno::NOENT | Errno::ACCESS, .. }))
    }
}

impl From<Error> for Failure {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}

fn attempt(
    command: &Command<'_>,
    then: Then,
    layers: Layers,
    caller: Caller<'_>,
) -> Result<(Pid, OwnedFd), Failure> {
    let landlock = (layers.contains(Layer::Landlock))
        .then(|| ruleset::deny_everything(command.program))
        .transpose()
        .map_err(|errno| Failure::layer(Layer::Landlock, errno))?;
    let (go, go_writer) = pipe_with(PipeFlags::CLOEXEC).map_err(Error::prepare("create a pipe"))?;
    let arguments: Vec<*const c_char> =
        command.arguments.iter().map(|argument| argument.as_ptr()).chain([null()]).collect();
    let descriptors: Vec<RawFd> = command.descriptors.iter().map(AsRawFd::as_raw_fd).collect();
    let unified = command.groups.iter().find_map(|group| {
        let directory = group.directory?.as_raw_fd();
        Some(Unified { directory, join: group.join.as_raw_fd() })
    });
    let joins = command.groups.iter().map(|group| group.join.as_raw_fd());
    let groups: Vec<RawFd> =
        joins.filter(|&join| unified.is_none_or(|unified| join != unified.join)).collect();
    let on_their_way: Vec<AtomicI32> = (0..=descriptors.len()).map(|_| AtomicI32::new(-1)).collect();
    let orders = Orders {
        layers,
        program: (then == Then::Execute).then(|| command.program.file().as_raw_fd()),
        arguments: &arguments,
        stderr: command.stderr.as_raw_fd(),
        descriptors: &descriptors,
        on_their_way: &on_their_way,
        groups: &groups,
        unified,
        is_in_unified: AtomicBool::new(false),
        own_status: command.own_status,
        limits: command.limits,
        landlock: landlock.as_ref().map(AsRawFd::as_raw_fd),
        go: go.as_raw_fd(),
        go_writer: go_writer.as_raw_fd(),
        // A thread that only starts processes may end before they do.
        dies_with_parent: gettid() == getpid(),
        identity: IdentityCell::default(),
        reply: Reply::default(),
    };
    run(&orders, go_writer, caller)
}

/// Lets a child loose on the orders, does the parent's part, and waits until the child has left.
fn run(orders: &Orders<'_>, go: OwnedFd, caller: Caller<'_>) -> Result<(Pid, OwnedFd), Failure> {
    let stack = Stack::new()?;
    // A change of user in shared memory makes that memory one that is not dumped.
    let dumpable = dumpable_behavior();
    let (pid, pidfd) = start(orders, &stack)?;
    let prepared = prepare(orders, pid, caller);
    if prepared.is_ok() {
        // It fails only if the child is gone; its reply says why.
        let _ = write(&go, &[1]);
    }
    drop(go);
    wait_until_left(&orders.reply);
    if dumpable == Ok(DumpableBehavior::Dumpable) {
        // It was possible before.
        let _ = set_dumpable_behavior(DumpableBehavior::Dumpable);
    }
    let error = match (prepared, orders.reply.left()) {
        (Ok(()), Left::Done) => return Ok((pid, pidfd)),
        // Where both sides failed, the child's reason is the first, if that the child was gone is all the parent's.
        (Err(error), Left::Done | Left::Killed | Left::Failed(Step::Wait, _)) => error,
        (Err(error), _) if !error.is_of_a_child_that_is_gone() => error,
        (_, Left::Failed(Step::Layer(layer), errno)) => Failure::layer(layer, errno),
        (_, Left::Failed(step, errno)) => Failure::Other(failed(step, errno)),
        (Ok(()), Left::Killed) => Failure::Other(Error::Killed),
    };
    end(&pidfd);
    Err(error)
}

fn prepare(orders: &Orders<'_>, pid: Pid, caller: Caller<'_>) -> Result<(), Failure> {
    caller(pid).map_err(Error::Caller)?;
    let identity =
        identity::assign(pid, orders.layers).map_err(|(layer, errno)| Failure::layer(layer, errno))?;
    // SAFETY: the child waits for `go`.
    unsafe { orders.identity.set(identity) };
    Ok(())
}

fn failed(step: Step, errno: Errno) -> Error {
    match step {
        Step::Execute => Error::Execute(errno),
        Step::Descriptors => Error::Descriptors(errno),
        Step::Join => Error::Join(errno),
        Step::Session => Error::Prepare { what: "start a session", errno },
        // Layers are handled before, and the child is told to go on unless there was another error.
        Step::Wait | Step::Layer(_) => Error::Prepare { what: "start a process", errno },
    }
}

/// Starts the child.
fn start(orders: &Orders<'_>, stack: &Stack) -> Result<(Pid, OwnedFd), Failure> {
    let namespaces = [(Layer::User, libc::CLONE_NEWUSER), (Layer::Pid, libc::CLONE_NEWPID)];
    let flags = namespaces
        .iter()
        .filter(|(layer, _)| orders.layers.contains(*layer))
        .fold(0, |flags, (_, flag)| flags | flag);
    // SAFETY: `run` keeps both until `wait_until_left` has seen that the child has left this memory, in every case.
    let cloned = unsafe { clone(orders, stack, flags) };
    cloned.map_err(|errno| match flags {
        0 => Failure::Other(Error::Prepare { what: "start a process", errno }),
        libc::CLONE_NEWPID => Failure::layer(Layer::Pid, errno),
        libc::CLONE_NEWUSER => Failure::layer(Layer::User, errno),
        _ => match user_namespaces_work(stack) {
            true => Failure::layer(Layer::Pid, errno),
            false => Failure::layer(Layer::User, errno),
        },
    })
}

/// Whether a process can be started in a user namespace.
fn user_namespaces_work(stack: &Stack) -> bool {
    extern "C" fn nothing(_: *mut c_void) -> c_int {
        0
    }
    let flags = libc::CLONE_NEWUSER | libc::CLONE_VM | libc::CLONE_VFORK | libc::SIGCHLD;
    let _blocked = BlockedSignals::new();
    // SAFETY: the child returns at once, on a stack of its own, while this thread waits for it.
    let pid = unsafe { libc::clone(nothing, stack.top(), flags, null_mut()) };
    match child_pid(pid) {
        None => false,
        Some(pid) => {
            while matches!(waitid(WaitId::Pid(pid), WaitIdOptions::EXITED), Err(Errno::INTR)) {}
            true
        }
    }
}

/// Waits until the child does not use this memory any more: it executes its program, or is gone.
fn wait_until_left(reply: &Reply) {
    loop {
        match reply.tid.load(Ordering::Acquire) {
            0 => return,
            // It fails only because the value has changed, or with a signal.
            value => _ = futex::wait(&reply.tid, futex::Flags::empty(), value, None),
        }
    }
}

/// Kills and reaps a process that failed.
fn end(pidfd: &OwnedFd) {
    // It fails only for a process that is gone already.
    let _ = pidfd_send_signal(pidfd, Signal::KILL);
    reap(pidfd);
}

/// Waits for the end of a process.
pub(crate) fn reap(pidfd: &OwnedFd) {
    while matches!(waitid(WaitId::PidFd(pidfd.as_fd()), WaitIdOptions::EXITED), Err(Errno::INTR)) {}
}
