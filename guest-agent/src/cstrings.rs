//! Strings in the form that `execve` and `chdir` want, made before a process starts.

use alloc::vec::Vec;
use core::ptr;

/// Strings, each with a NUL at its end, and an array of pointers to them with a null at its end.
#[derive(Debug)]
pub struct CStrings {
    pointers: Vec<*const u8>,
    /// What the pointers point into; never changed.
    _bytes: Vec<u8>,
}

impl CStrings {
    /// Copies the strings, each given in one or more parts. They have no NUL in them.
    pub fn new<'s, P: AsRef<[&'s [u8]]>>(strings: impl Iterator<Item = P> + Clone) -> Self {
        let len =
            strings.clone().map(|parts| parts.as_ref().iter().map(|part| part.len()).sum::<usize>() + 1);
        let mut bytes = Vec::with_capacity(len.sum());
        let mut starts = Vec::new();
        for parts in strings {
            starts.push(bytes.len());
            parts.as_ref().iter().for_each(|part| bytes.extend_from_slice(part));
            bytes.push(0);
        }
        // Only now, when `bytes` moves no more.
        let mut pointers: Vec<*const u8> = Vec::with_capacity(starts.len() + 1);
        pointers.extend(starts.iter().filter_map(|&start| bytes.get(start..).map(<[u8]>::as_ptr)));
        pointers.push(ptr::null());
        Self { pointers, _bytes: bytes }
    }

    /// The array with a null at its end.
    pub fn as_ptr(&self) -> *const *const u8 {
        self.pointers.as_ptr()
    }

    /// The strings.
    pub fn pointers(&self) -> impl Iterator<Item = *const u8> {
        self.pointers.iter().copied().filter(|pointer| !pointer.is_null())
    }
}

/// A path with a NUL at its end.
#[derive(Debug)]
pub struct CPath(Vec<u8>);

impl CPath {
    /// Copies the path, which has no NUL in it.
    pub fn new(path: &[u8]) -> Self {
        let mut bytes = Vec::with_capacity(path.len() + 1);
        bytes.extend_from_slice(path);
        bytes.push(0);
        Self(bytes)
    }

    /// The path.
    pub fn as_ptr(&self) -> *const u8 {
        self.0.as_ptr()
    }

    /// Calls `visit` with the path of each parent directory, the outermost first, and at last with the path itself.
    /// Neither allocates nor panics.
    pub fn for_each_parent_and_self(&mut self, visit: impl Fn(*const u8)) {
        // The first byte is the root's slash.
        for at in 1..self.0.len() {
            match self.0.get(at) {
                Some(b'/') => {
                    self.put(at, 0);
                    visit(self.0.as_mut_ptr());
                    self.put(at, b'/');
                }
                Some(0) => visit(self.0.as_mut_ptr()),
                _ => {}
            }
        }
    }

    fn put(&mut self, at: usize, value: u8) {
        if let Some(byte) = self.0.get_mut(at) {
            *byte = value;
        }
    }
}

#[cfg(test)]
#[expect(unsafe_code, reason = "reads the pointers back as the kernel would")]
mod tests {
    use super::*;
    use core::cell::RefCell;
    use core::ffi::CStr;
    use std::string::String;

    fn text(pointer: *const u8) -> String {
        // SAFETY: the tests pass pointers to strings of the types above, which end with a NUL.
        unsafe { CStr::from_ptr(pointer.cast()) }.to_str().unwrap().into()
    }

    #[test]
    fn strings_end_with_nul_and_the_array_with_null() {
        let strings = CStrings::new([[&b"a"[..], b"=1"], [&b""[..], b""]].into_iter());
        assert_eq!(strings.pointers().map(text).collect::<Vec<_>>(), ["a=1", ""]);
        // SAFETY: an array of three pointers.
        assert!(unsafe { *strings.as_ptr().add(2) }.is_null());
    }

    #[test]
    fn parents_come_outermost_first() {
        let mut path = CPath::new(b"/a//b/c");
        let seen = RefCell::new(Vec::new());
        path.for_each_parent_and_self(|parent| seen.borrow_mut().push(text(parent)));
        assert_eq!(seen.into_inner(), ["/a", "/a/", "/a//b", "/a//b/c"]);
        assert_eq!(text(path.as_ptr()), "/a//b/c");
    }
}
