//! A line for each system call in the kernel log, in the manner of strace(1): `ampoule.trace` on the command line.

use super::{Call, Handler};
use crate::arch::trap::TrapFrame;
use crate::mm::user;
use crate::task::current;
use alloc::string::String;
use ampoule_kbase::{Errno, Result};
use core::fmt::Write;
use core::sync::atomic::{AtomicBool, Ordering};

/// This family has no calls of its own.
pub const CALLS: &[Call] = &[];

static ON: AtomicBool = AtomicBool::new(false);
/// Bytes of a string argument that are shown.
const STRING_SHOWN: usize = 64;

/// Turns traces on.
pub fn start() {
    ON.store(true, Ordering::Relaxed);
}

/// What is known of a call before it is made.
pub struct Begun(String);

/// Notes the call, if traces are on. Calls that may not return are written at once.
#[inline]
pub fn begin(call: Option<&Call>, frame: &TrapFrame) -> Option<Begun> {
    if !ON.load(Ordering::Relaxed) {
        return None;
    }
    Some(begin_slow(call, frame))
}

fn begin_slow(call: Option<&Call>, frame: &TrapFrame) -> Begun {
    let mut line = String::new();
    // Writing to a `String` cannot fail.
    let _ = write!(line, "[{}] ", current().tid());
    let arguments = frame.arguments();
    match call {
        Some(call) => {
            let _ = write!(line, "{}(", call.name);
            for (i, (letter, value)) in call.arguments.chars().zip(arguments).enumerate() {
                if i > 0 {
                    line.push_str(", ");
                }
                describe(&mut line, letter, value);
            }
            line.push(')');
        }
        None => {
            let [a, b, c, ..] = arguments;
            let _ = write!(line, "syscall_{}({a:#x}, {b:#x}, {c:#x}, ...)", frame.rax);
        }
    }
    if matches!(call, Some(Call { handler: Handler::Frame(_), .. }))
        || call.is_some_and(|c| c.name.starts_with("exit"))
    {
        crate::log!("{line} ...");
    }
    Begun(line)
}

fn describe(line: &mut String, letter: char, value: u64) {
    let _ = match letter {
        'd' | 'i' => write!(line, "{}", value as i32),
        'u' => write!(line, "{value}"),
        'o' => write!(line, "{value:#o}"),
        's' => match user::read_string(value, 4096) {
            Ok(text) => {
                let shown = String::from_utf8_lossy(&text[..text.len().min(STRING_SHOWN)]);
                let more = if text.len() > STRING_SHOWN { "..." } else { "" };
                write!(line, "{shown:?}{more}")
            }
            Err(_) => write!(line, "{value:#x}"),
        },
        _ if value == 0 => write!(line, "0"),
        _ => write!(line, "{value:#x}"),
    };
}

/// Writes the line, with the result.
pub fn end(begun: Begun, call: Option<&Call>, result: Result<u64>) {
    let Begun(line) = begun;
    match result {
        Ok(value) if call.is_some_and(|call| call.name == "brk" || call.name.starts_with("mmap")) => {
            crate::log!("{line} = {value:#x}");
        }
        Ok(value) => crate::log!("{line} = {}", value as i64),
        Err(errno) if errno.0 >= Errno::ERESTARTSYS.0 => crate::log!("{line} = ? (interrupted)"),
        Err(errno) => crate::log!("{line} = -1 {errno:?}"),
    }
}
