//! What the new process does before it is another program.
//!
//! It runs on a stack of its own in its parent's memory, beside its parent. So it allocates nothing, takes no lock, calls
//! nothing that could panic, and makes system calls through `rustix`, which keeps no state, or through the few
//! functions of the C library that signal handlers may call. What it has to say it leaves in [`Reply`].

use crate::command::{FIRST_DESCRIPTOR, Limits};
use crate::confine;
use crate::identity::Identity;
use crate::layer::{Layer, Layers};
use rustix::fs::{Mode, OFlags, open};
use rustix::io::{Errno, fcntl_dupfd_cloexec, read, write};
use rustix::process::{Signal, set_parent_process_death_signal, setsid};
use rustix::thread::set_no_new_privs;
use std::cell::UnsafeCell;
use std::ffi::{c_char, c_int, c_void};
use std::os::fd::{BorrowedFd, IntoRawFd, RawFd};
use std::sync::atomic::{AtomicBool, AtomicI32, AtomicU32, Ordering};

/// More than Linux has signals.
const SIGNALS: c_int = 64;

/// What the child is to do. All of it is prepared by the parent, which keeps it until the child has left its memory.
pub(crate) struct Orders<'a> {
    pub(crate) layers: Layers,
    /// What to execute; `None` ends the process with 0 instead.
    pub(crate) program: Option<RawFd>,
    /// The program's arguments, with a null pointer at the end.
    pub(crate) arguments: &'a [*const c_char],
    pub(crate) stderr: RawFd,
    pub(crate) descriptors: &'a [RawFd],
    /// Room for as many descriptors on their way, and one more.
    pub(crate) on_their_way: &'a [AtomicI32],
    /// Where the child writes `0` to join a control group.
    pub(crate) groups: &'a [RawFd],
    /// The control group of version 2.
    pub(crate) unified: Option<Unified>,
    /// Whether the child is in that one from the beginning. Written before there is a child.
    pub(crate) is_in_unified: AtomicBool,
    pub(crate) own_status: bool,
    pub(crate) limits: Limits,
    pub(crate) landlock: Option<RawFd>,
    /// The parent writes one byte here when it has done its part; the child ends if the parent does.
    pub(crate) go: RawFd,
    /// The other end of `go`, which the child must not keep.
    pub(crate) go_writer: RawFd,
    /// Whether the process ends when the thread that started it does.
    pub(crate) dies_with_parent: bool,
    /// Who the child becomes.
    pub(crate) identity: IdentityCell,
    pub(crate) reply: Reply,
}

/// A control group of version 2.
#[derive(Clone, Copy)]
pub(crate) struct Unified {
    pub(crate) directory: RawFd,
    /// Where to write `0`.
    pub(crate) join: RawFd,
}

/// Written by the parent before the byte on `go`, read by the child after it.
#[derive(Default)]
pub(crate) struct IdentityCell(UnsafeCell<Option<Identity>>);

impl IdentityCell {
    /// Sets it.
    ///
    /// # Safety
    /// The child must not have been told yet that it may read it.
    pub(crate) unsafe fn set(&self, identity: Option<Identity>) {
        // SAFETY: nobody reads it yet, says the caller.
        unsafe { *self.0.get() = identity };
    }

    fn get(&self) -> Option<Identity> {
        // SAFETY: called by the child alone, after the byte on `go`: the parent writes no more, and what it wrote is
        // seen, since system calls on a pipe are in order.
        unsafe { *self.0.get() }
    }
}

/// What the child leaves for its parent.
#[derive(Default)]
pub(crate) struct Reply {
    /// Set to zero by the kernel when the child leaves the parent's memory: it is another program now, or gone.
    pub(crate) tid: AtomicU32,
    step: AtomicU32,
    errno: AtomicI32,
}

/// Where the child failed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Step {
    Layer(Layer),
    /// The parent did not say go.
    Wait,
    /// A control group cannot be joined.
    Join,
    Session,
    Descriptors,
    Execute,
}

/// What came of the child when it left the parent's memory.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Left {
    /// It got to its end without a failure.
    Done,
    /// It was killed on the way.
    Killed,
    Failed(Step, Errno),
}

const UNDER_WAY: u32 = 0;
const DONE: u32 = 1;
const WAIT: u32 = 2;
const SESSION: u32 = 3;
const DESCRIPTORS: u32 = 4;
const EXECUTE: u32 = 5;
const JOIN: u32 = 6;
const FIRST_LAYER: u32 = 16;

impl Reply {
    fn say_done(&self) {
        self.step.store(DONE, Ordering::Release);
    }

    fn say_failed(&self, step: Step, errno: Errno) {
        self.errno.store(errno.raw_os_error(), Ordering::Relaxed);
        let step = match step {
            Step::Layer(layer) => FIRST_LAYER + layer as u32,
            Step::Wait => WAIT,
            Step::Join => JOIN,
            Step::Session => SESSION,
            Step::Descriptors => DESCRIPTORS,
            Step::Execute => EXECUTE,
        };
        self.step.store(step, Ordering::Release);
    }

    /// What the child said. To be asked when it has left.
    pub(crate) fn left(&self) -> Left {
        let step = match self.step.load(Ordering::Acquire) {
            UNDER_WAY => return Left::Killed,
            DONE => return Left::Done,
            WAIT => Step::Wait,
            JOIN => Step::Join,
            SESSION => Step::Session,
            DESCRIPTORS => Step::Descriptors,
            EXECUTE => Step::Execute,
            layer => {
                let index = layer.saturating_sub(FIRST_LAYER) as usize;
                Layer::ALL.get(index).map_or(Step::Execute, |&layer| Step::Layer(layer))
            }
        };
        Left::Failed(step, Errno::from_raw_os_error(self.errno.load(Ordering::Relaxed)))
    }
}

/// The child's first and only function.
pub(crate) extern "C" fn main(orders: *mut c_void) -> c_int {
    const FAILED: c_int = 127;
    // SAFETY: the parent passes its orders, and keeps them until this process has left its memory.
    let orders = unsafe { &*orders.cast::<Orders<'_>>() };
    match run(orders) {
        Ok(()) => 0,
        Err((step, errno)) => {
            orders.reply.say_failed(step, errno);
            FAILED
        }
    }
}

fn run(orders: &Orders<'_>) -> Result<(), (Step, Errno)> {
    let Orders { layers, reply, .. } = orders;
    let layer = |layer| move |errno| (Step::Layer(layer), errno);
    let in_layer = |(layer, errno)| (Step::Layer(layer), errno);
    close(orders.go_writer);
    join(orders).map_err(|errno| (Step::Join, errno))?;
    setsid().map_err(|errno| (Step::Session, errno))?;
    if layers.contains(Layer::Keyring) {
        confine::own_keyring().map_err(layer(Layer::Keyring))?;
    }
    confine::namespaces(*layers).map_err(in_layer)?;
    let status = open_status(orders).map_err(|errno| (Step::Descriptors, errno))?;
    if layers.contains(Layer::Root) {
        confine::empty_root().map_err(layer(Layer::Root))?;
    }
    wait_for_parent(orders).map_err(|errno| (Step::Wait, errno))?;
    confine::cgroup_namespace(*layers).map_err(in_layer)?;
    if layers.contains(Layer::Capabilities) {
        confine::no_capabilities_ever().map_err(layer(Layer::Capabilities))?;
    }
    let identity = orders.identity.get();
    if let Some(identity) = identity {
        confine::become_user(identity).map_err(layer(Layer::Identity))?;
    }
    let kept = hand_over(orders, status).map_err(|errno| (Step::Descriptors, errno))?;
    if layers.contains(Layer::Limits) {
        let used = FIRST_DESCRIPTOR.unsigned_abs().saturating_add(orders.given());
        let own = layers.contains(Layer::User) || identity.is_some_and(|identity| identity.own);
        confine::limits(&orders.limits, used.into(), own).map_err(layer(Layer::Limits))?;
    }
    if layers.contains(Layer::Capabilities) {
        confine::no_capabilities().map_err(layer(Layer::Capabilities))?;
    }
    if *layers != Layers::NONE {
        // What little can be done where the layer is missing.
        let _ = confine::no_capabilities();
    }
    if layers.contains(Layer::NoNewPrivileges) {
        set_no_new_privs(true).map_err(layer(Layer::NoNewPrivileges))?;
    }
    if let Some(landlock) = kept.landlock {
        // SAFETY: the number of a descriptor that `hand_over` made, and that is closed when the program is executed.
        let ruleset = unsafe { BorrowedFd::borrow_raw(landlock) };
        confine::landlock(ruleset).map_err(layer(Layer::Landlock))?;
    }
    default_signals();
    if orders.dies_with_parent {
        // After the change of user, which would take it back. It is a second net: who needs it has a lifeline.
        let _ = set_parent_process_death_signal(Some(Signal::KILL));
    }
    reply.say_done();
    match kept.program {
        Some(program) => Err((Step::Execute, execute(program, orders.arguments))),
        None => Ok(()),
    }
}

/// Joins control groups. In version 1, a process that moves itself, alone, does so without waiting for all processors.
fn join(orders: &Orders<'_>) -> Result<(), Errno> {
    let unified = orders.unified.filter(|_| !orders.is_in_unified.load(Ordering::Relaxed));
    for group in orders.groups.iter().copied().chain(unified.map(|unified| unified.join)) {
        // SAFETY: the caller of `spawn` lends it while this goes on.
        let group = unsafe { BorrowedFd::borrow_raw(group) };
        write(group, b"0")?;
    }
    Ok(())
}

fn open_status(orders: &Orders<'_>) -> Result<Option<RawFd>, Errno> {
    if !orders.own_status {
        return Ok(None);
    }
    let status = open("/proc/self/status", OFlags::RDONLY | OFlags::CLOEXEC, Mode::empty())?;
    Ok(Some(status.into_raw_fd()))
}

fn wait_for_parent(orders: &Orders<'_>) -> Result<(), Errno> {
    // SAFETY: the parent keeps it open until this process has left its memory, and this process has its own copy.
    let go = unsafe { BorrowedFd::borrow_raw(orders.go) };
    loop {
        match read(go, &mut [0; 1]) {
            Ok(1) => return Ok(()),
            // The parent is gone, or gave up.
            Ok(_) => return Err(Errno::PIPE),
            Err(Errno::INTR) => {}
            Err(errno) => return Err(errno),
        }
    }
}

impl Orders<'_> {
    /// How many descriptors the program gets beyond the standard ones.
    fn given(&self) -> u32 {
        u32::try_from(self.descriptors.len()).unwrap_or(u32::MAX).saturating_add(self.own_status.into())
    }
}

/// Descriptors that only the child itself still needs, by their new numbers.
struct Kept {
    program: Option<RawFd>,
    landlock: Option<RawFd>,
}

/// Puts the descriptors to their numbers. All others are closed now, or when the program is executed.
fn hand_over(orders: &Orders<'_>, status: Option<RawFd>) -> Result<Kept, Errno> {
    let end = FIRST_DESCRIPTOR.saturating_add(orders.given().cast_signed());
    let given = orders.descriptors.iter().copied().chain(status);
    // First out of the way of each other.
    let away = |fd: RawFd| {
        // SAFETY: the caller of `spawn` lends it while this goes on, or it is this process's own.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        fcntl_dupfd_cloexec(fd, end).map(IntoRawFd::into_raw_fd)
    };
    let stderr = away(orders.stderr)?;
    let program = orders.program.map(away).transpose()?;
    let landlock = orders.landlock.map(away).transpose()?;
    for (fd, place) in given.zip(orders.on_their_way) {
        place.store(away(fd)?, Ordering::Relaxed);
    }
    put(stderr, 2)?;
    for (number, place) in (FIRST_DESCRIPTOR..end).zip(orders.on_their_way) {
        put(place.load(Ordering::Relaxed), number)?;
    }
    close(0);
    close(1);
    close_on_exec_from(end)?;
    Ok(Kept { program, landlock })
}

fn put(fd: RawFd, number: RawFd) -> Result<(), Errno> {
    // SAFETY: takes numbers; what had the second one is this process's copy, which nobody uses any more.
    match unsafe { libc::dup2(fd, number) } {
        -1 => Err(last_error()),
        _ => Ok(()),
    }
}

fn close(fd: RawFd) {
    // SAFETY: this process's copy, which nobody uses any more. It fails only if it was not open.
    let _ = unsafe { libc::close(fd) };
}

fn close_on_exec_from(first: RawFd) -> Result<(), Errno> {
    let flags = libc::CLOSE_RANGE_CLOEXEC.cast_signed();
    // SAFETY: the call takes no pointers, closes nothing, and only sets a flag of descriptors.
    match unsafe { libc::close_range(first.cast_unsigned(), libc::c_uint::MAX, flags) } {
        0 => Ok(()),
        _ => Err(last_error()),
    }
}

/// Default actions for all signals, none of which is blocked then: the parent's handlers are not for this process.
fn default_signals() {
    for signal in 1..=SIGNALS {
        let default = [0_u64; 4];
        let none = std::ptr::null_mut::<c_void>();
        // SAFETY: the structure is as large as the kernel's, and the default action needs no handler. The table of
        // actions is this process's own copy. The C library would refuse the signals that it uses itself.
        unsafe { libc::syscall(libc::SYS_rt_sigaction, signal, default.as_ptr(), none, size_of::<u64>()) };
    }
    // SAFETY: a set is plain bits, and the calls get valid pointers to one.
    unsafe {
        let mut none: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut none);
        libc::sigprocmask(libc::SIG_SETMASK, &raw const none, std::ptr::null_mut());
    }
}

/// Executes the program. Gives the reason if that fails.
fn execute(program: RawFd, arguments: &[*const c_char]) -> Errno {
    let no_environment = [std::ptr::null::<c_char>()];
    // SAFETY: both arrays end with a null pointer, and the arguments are strings that the parent keeps.
    unsafe {
        libc::execveat(
            program,
            c"".as_ptr(),
            arguments.as_ptr().cast(),
            no_environment.as_ptr().cast(),
            libc::AT_EMPTY_PATH,
        )
    };
    last_error()
}

/// What the C library's last call said.
pub(crate) fn last_error() -> Errno {
    // SAFETY: always a valid pointer. The parent's thread, whose variable it is as well, is in `spawn`, where it makes
    // no call that uses it.
    Errno::from_raw_os_error(unsafe { *libc::__errno_location() })
}
