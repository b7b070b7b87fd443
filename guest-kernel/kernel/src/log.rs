//! The kernel log: lines that the VMM collects, by stores to registers of its paravirtual page.

use crate::mm::{DIRECT_MAP, KERNEL_BASE};
use core::fmt::{self, Write};
use core::sync::atomic::{AtomicU64, Ordering};

/// Where the paravirtual page is mapped; 0 before start-up has found it.
static PAGE: AtomicU64 = AtomicU64::new(0);
const LOG: u64 = 0;
const EXIT: u64 = 0x800;
const LOG_TEXT: u64 = 0x818;
/// Most bytes of one store to [`LOG_TEXT`].
const MAX_TEXT: usize = 0xffff;

/// Why the VM ends, as the VMM is told.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
#[repr(u32)]
pub enum Exit {
    /// `reboot(2)` with power-off or halt, or the end of the first process.
    PowerOff = 0,
    /// `reboot(2)`.
    Reset = 1,
    /// The kernel found itself in error.
    Panic = 2,
    /// No memory is left for the kernel or the first process.
    OutOfMemory = 3,
}

/// Tells where the paravirtual page is.
pub fn start(page: u64) {
    PAGE.store(page, Ordering::Relaxed);
}

/// Ends the VM.
pub fn exit(reason: Exit) -> ! {
    let page = PAGE.load(Ordering::Relaxed);
    loop {
        if page != 0 {
            // SAFETY: the page was mapped at start-up as device registers.
            unsafe { ((page + EXIT) as *mut u32).write_volatile(reason as u32) };
        } else {
            crate::arch::cpu::halt();
        }
    }
}

/// Appends bytes.
pub fn write_bytes(bytes: &[u8]) {
    let page = PAGE.load(Ordering::Relaxed);
    if page == 0 {
        return;
    }
    for chunk in bytes.chunks(MAX_TEXT) {
        match physical(chunk.as_ptr() as u64) {
            // SAFETY: as in `exit`; the VMM reads the chunk before the store is over.
            Some(at) => unsafe {
                ((page + LOG_TEXT) as *mut u64).write_volatile(at | (chunk.len() as u64) << 48);
            },
            None => write_words(page, chunk),
        }
    }
}

/// Where memory lies that the kernel's image or the direct map holds, in which both are one piece.
fn physical(address: u64) -> Option<u64> {
    match address {
        KERNEL_BASE.. => Some(address - KERNEL_BASE),
        DIRECT_MAP.. => Some(address - DIRECT_MAP),
        _ => None,
    }
}

/// Appends bytes that lie anywhere, eight a store.
fn write_words(page: u64, bytes: &[u8]) {
    for chunk in bytes.chunks(8) {
        let mut word = [0; 8];
        word[..chunk.len()].copy_from_slice(chunk);
        // SAFETY: as in `exit`.
        unsafe { ((page + LOG) as *mut u64).write_volatile(u64::from_le_bytes(word)) };
    }
}

/// Gathers formatted text into full stores.
struct Line {
    buffer: [u8; 256],
    length: usize,
}

impl Line {
    fn flush(&mut self) {
        write_bytes(&self.buffer[..self.length]);
        self.length = 0;
    }
}

impl Write for Line {
    fn write_str(&mut self, text: &str) -> fmt::Result {
        for byte in text.bytes() {
            if self.length == self.buffer.len() {
                self.flush();
            }
            self.buffer[self.length] = byte;
            self.length += 1;
        }
        Ok(())
    }
}

/// Appends one line.
pub fn line(text: fmt::Arguments<'_>) {
    let mut line = Line { buffer: [0; 256], length: 0 };
    // Writing to a `Line` cannot fail.
    let _ = line.write_fmt(text);
    let _ = line.write_str("\n");
    line.flush();
}

/// Appends one line to the kernel log.
#[macro_export]
macro_rules! log {
    ($($arguments:tt)*) => { $crate::log::line(format_args!($($arguments)*)) };
}
