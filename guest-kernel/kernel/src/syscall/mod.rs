//! System calls. Each family lists its calls in its own `CALLS`: number, name, arguments (for traces), handler. From
//! these lists come dispatch, tracing and `ENOSYS`.
//!
//! A handler parses its flags first (unknown ones: `EINVAL`), touches the program's memory only through `mm::user`, and
//! returns a `Result`. No handler ends a thread: whatever is on its stack is dropped, and the end comes on the way back.

mod ancillary;
mod attributes;
mod copy;
mod directory;
mod epoll;
mod events;
mod fcntl;
mod fdops;
pub mod handle;
mod io;
pub mod locks;
mod memory;
mod message;
mod misc;
mod mount;
mod names;
mod nice;
pub mod path;
mod poll;
mod process;
mod scheduling;
pub mod seccomp;
mod select;
mod signals;
mod socket;
mod socket_transfer;
mod sockopt;
mod splice;
mod status;
mod sync;
mod time;
mod timeouts;
mod trace;
mod transfer;
mod users;
mod waiting;

use crate::arch::trap::TrapFrame;
use crate::task::current;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, OpenFile, Result};
use core::sync::atomic::{AtomicU64, Ordering};

pub use misc::{RELEASE, VERSION, hostname, set_hostname};
pub use trace::start as start_trace;

/// The arguments of a call, as they are in the registers.
pub type Args = [u64; 6];

/// What carries a call out.
#[derive(Clone, Copy)]
pub enum Handler {
    /// Needs only its arguments.
    Plain(fn(&Args) -> Result<u64>),
    /// Needs, or changes, the program's registers.
    Frame(fn(&mut TrapFrame) -> Result<u64>),
}

/// A call that this kernel knows.
#[derive(Clone, Copy)]
pub struct Call {
    number: usize,
    /// Its name in Linux.
    pub name: &'static str,
    /// A letter for each argument: d(escriptor), i(nteger), u(nsigned), x (hexadecimal), o(ctal), s(tring).
    pub arguments: &'static str,
    handler: Handler,
}

/// A call that needs only its arguments.
pub const fn call(
    number: u32,
    name: &'static str,
    arguments: &'static str,
    handler: fn(&Args) -> Result<u64>,
) -> Call {
    Call { number: number as usize, name, arguments, handler: Handler::Plain(handler) }
}

/// A call that works on the program's registers.
pub const fn frame_call(
    number: u32,
    name: &'static str,
    arguments: &'static str,
    handler: fn(&mut TrapFrame) -> Result<u64>,
) -> Call {
    Call { number: number as usize, name, arguments, handler: Handler::Frame(handler) }
}

const MAX_CALLS: usize = 512;
const FAMILIES: &[&[Call]] = &[
    io::CALLS,
    copy::CALLS,
    splice::CALLS,
    fdops::CALLS,
    fcntl::CALLS,
    locks::CALLS,
    sync::CALLS,
    path::CALLS,
    names::CALLS,
    directory::CALLS,
    status::CALLS,
    attributes::CALLS,
    mount::CALLS,
    poll::CALLS,
    select::CALLS,
    epoll::CALLS,
    events::CALLS,
    socket::CALLS,
    sockopt::CALLS,
    message::CALLS,
    memory::CALLS,
    process::CALLS,
    scheduling::CALLS,
    nice::CALLS,
    seccomp::CALLS,
    signals::CALLS,
    time::CALLS,
    users::CALLS,
    misc::CALLS,
    trace::CALLS,
];

static TABLE: [Option<Call>; MAX_CALLS] = build_table();

const fn build_table() -> [Option<Call>; MAX_CALLS] {
    let mut table = [None; MAX_CALLS];
    let mut family = 0;
    while family < FAMILIES.len() {
        let mut i = 0;
        while i < FAMILIES[family].len() {
            let call = FAMILIES[family][i];
            assert!(table[call.number].is_none(), "a system call is listed twice");
            table[call.number] = Some(call);
            i += 1;
        }
        family += 1;
    }
    table
}

/// Calls of unknown numbers so far.
static UNKNOWN: AtomicU64 = AtomicU64::new(0);

/// How often a program made a call that this kernel does not know.
pub fn unknown_calls() -> u64 {
    UNKNOWN.load(Ordering::Relaxed)
}

/// Carries out the call that the registers ask for.
pub fn dispatch(frame: &mut TrapFrame) {
    if crate::oom::gate().is_break() {
        return;
    }
    if !seccomp::admits(frame) {
        return;
    }
    let number = frame.rax;
    let call = usize::try_from(number).ok().and_then(|number| TABLE.get(number)).and_then(Option::as_ref);
    let traced = trace::begin(call, frame);
    let result = match call {
        Some(Call { handler: Handler::Plain(handler), .. }) => handler(&frame.arguments()),
        Some(Call { handler: Handler::Frame(handler), .. }) => handler(frame),
        None => {
            UNKNOWN.fetch_add(1, Ordering::Relaxed);
            Err(Errno::ENOSYS)
        }
    };
    if let Some(traced) = traced {
        trace::end(traced, call, result);
    }
    match result {
        Ok(value) => frame.rax = value,
        Err(errno) => {
            frame.rax = (-i64::from(errno.0)) as u64;
            if errno == Errno::ENOMEM {
                crate::oom::call_failed();
            }
            if errno.0 >= Errno::ERESTARTSYS.0 {
                // Whatever interrupted it decides how it goes on.
                current().attention.store(true, Ordering::Relaxed);
            }
        }
    }
}

/// What a descriptor of the current process names.
pub fn file(fd: u64) -> Result<Arc<OpenFile>> {
    let open = current().process.files.lock().lock().get(fd as i32)?.open.clone();
    Ok(open)
}

/// Enters a description into the current process's table, at the lowest free number.
pub fn add_file(open: Arc<OpenFile>, close_on_exec: bool) -> Result<u64> {
    let process = &current().process;
    let limit = process.limits.lock().soft(crate::task::limits::resource::NOFILE);
    let fd = process.files().lock().add(open, close_on_exec, 0, limit)?;
    Ok(fd as u64)
}
