//! The memory functions that compiled code calls by name. `REP MOVSB` and `REP STOSB` are as fast as anything on
//! processors with ERMS; short moves, where starting them costs more than moving, are done by words.

use core::arch::asm;

/// Below this many bytes words are moved one by one.
const SHORT: usize = 64;

/// # Safety
/// As `memcpy(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcpy(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller's promise: both ranges are valid and do not overlap.
    unsafe {
        let mut at = 0;
        if count >= SHORT {
            asm!("rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") count => _, options(nostack));
            return to;
        }
        while at + 8 <= count {
            to.add(at).cast::<u64>().write_unaligned(from.add(at).cast::<u64>().read_unaligned());
            at += 8;
        }
        while at < count {
            // Volatile, so that the loop is not turned into a call of this very function.
            to.add(at).write_volatile(from.add(at).read());
            at += 1;
        }
        to
    }
}

/// # Safety
/// As `memmove(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memmove(to: *mut u8, from: *const u8, count: usize) -> *mut u8 {
    // SAFETY: the caller's promise: both ranges are valid. Copying backwards keeps overlapping bytes intact.
    unsafe {
        if (to as usize).wrapping_sub(from as usize) >= count {
            if count >= SHORT {
                asm!("rep movsb", inout("rdi") to => _, inout("rsi") from => _, inout("rcx") count => _, options(nostack));
                return to;
            }
            let mut at = 0;
            while at < count {
                to.add(at).write_volatile(from.add(at).read());
                at += 1;
            }
            return to;
        }
        let mut left = count;
        while left >= 8 {
            left -= 8;
            to.add(left).cast::<u64>().write_unaligned(from.add(left).cast::<u64>().read_unaligned());
        }
        while left > 0 {
            left -= 1;
            to.add(left).write_volatile(from.add(left).read());
        }
        to
    }
}

/// # Safety
/// As `memset(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memset(to: *mut u8, value: i32, count: usize) -> *mut u8 {
    // SAFETY: the caller's promise: the range is valid.
    unsafe {
        if count >= SHORT {
            asm!("rep stosb", inout("rdi") to => _, in("al") value as u8, inout("rcx") count => _, options(nostack));
            return to;
        }
        let mut at = 0;
        while at < count {
            to.add(at).write_volatile(value as u8);
            at += 1;
        }
        to
    }
}

/// # Safety
/// As `memcmp(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn memcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    // SAFETY: the caller's promise: both ranges are valid.
    unsafe {
        let mut at = 0;
        while at + 8 <= count
            && a.add(at).cast::<u64>().read_unaligned() == b.add(at).cast::<u64>().read_unaligned()
        {
            at += 8;
        }
        while at < count {
            let (x, y) = (a.add(at).read(), b.add(at).read());
            if x != y {
                return i32::from(x) - i32::from(y);
            }
            at += 1;
        }
        0
    }
}

/// # Safety
/// As `bcmp(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn bcmp(a: *const u8, b: *const u8, count: usize) -> i32 {
    // SAFETY: the caller's promise.
    unsafe { memcmp(a, b, count) }
}

/// # Safety
/// As `strlen(3)`.
#[unsafe(no_mangle)]
unsafe extern "C" fn strlen(text: *const u8) -> usize {
    let mut length = 0;
    // SAFETY: the caller's promise: the text ends with a zero byte.
    while unsafe { text.add(length).read_volatile() } != 0 {
        length += 1;
    }
    length
}
