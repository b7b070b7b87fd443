//! The kernel log: its last 16 KiB are kept, and streamed to whoever wants it.

use ampoule_vmm_api::CONSOLE_TAIL_LEN;
use std::collections::VecDeque;

/// The end of the kernel log. Never more than [`CONSOLE_TAIL_LEN`] bytes.
#[derive(Debug, Default)]
pub struct Log {
    tail: VecDeque<u8>,
    /// How many bytes at the end of `tail` have not been streamed.
    unsent: usize,
    /// How many bytes were overwritten before they were streamed.
    lost: u64,
    /// Whether somebody streams it.
    watched: bool,
}

impl Log {
    /// Appends what the guest wrote, zeroes excepted: they fill up stores.
    pub fn append(&mut self, bytes: &[u8]) {
        for &byte in bytes.iter().filter(|&&byte| byte != 0) {
            if self.tail.len() == CONSOLE_TAIL_LEN {
                self.tail.pop_front();
                if self.unsent == CONSOLE_TAIL_LEN {
                    self.unsent -= 1;
                    self.lost += 1;
                }
            }
            self.tail.push_back(byte);
            self.unsent += 1;
        }
    }

    /// Somebody streams it from now on.
    pub fn watch(&mut self) {
        self.watched = true;
    }

    /// Whether somebody waits for what there is.
    pub fn has_unsent(&self) -> bool {
        self.watched && self.unsent > 0
    }

    /// Copies what is to be streamed next, and says how many bytes that is. A loss is told first.
    pub fn copy_unsent(&mut self, buffer: &mut [u8]) -> usize {
        if self.lost > 0 {
            let notice = format!("\n[{} bytes of the log are lost]\n", self.lost);
            if let Some(start) = buffer.get_mut(..notice.len()) {
                start.copy_from_slice(notice.as_bytes());
                self.lost = 0;
                return notice.len();
            }
        }
        let from = self.tail.len() - self.unsent;
        let mut len = 0;
        for (to, byte) in buffer.iter_mut().zip(self.tail.range(from..)) {
            *to = *byte;
            len += 1;
        }
        self.unsent -= len;
        len
    }

    /// The end of the log as text.
    pub fn tail(&self) -> String {
        let (first, second) = self.tail.as_slices();
        String::from_utf8_lossy(&[first, second].concat()).into_owned()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn stream(log: &mut Log) -> String {
        let (mut all, mut buffer) = (Vec::new(), [0; 100]);
        while log.has_unsent() {
            let len = log.copy_unsent(&mut buffer);
            all.extend_from_slice(&buffer[..len]);
        }
        String::from_utf8(all).unwrap()
    }

    #[test]
    fn what_is_written_is_streamed_once_and_kept() {
        let mut log = Log::default();
        log.watch();
        log.append(b"hello\0\0\0");
        assert_eq!(stream(&mut log), "hello");
        log.append(b" world");
        assert_eq!(stream(&mut log), " world");
        assert_eq!(log.tail(), "hello world");
    }

    #[test]
    fn a_long_log_keeps_its_end_and_tells_the_loss() {
        let mut log = Log::default();
        log.watch();
        for _ in 0..CONSOLE_TAIL_LEN {
            log.append(b"a");
        }
        log.append(b"the end");
        assert_eq!(log.tail().len(), CONSOLE_TAIL_LEN);
        assert!(log.tail().ends_with("aathe end"));
        let streamed = stream(&mut log);
        assert!(
            streamed.starts_with("\n[7 bytes of the log are lost]\naaa") && streamed.ends_with("athe end")
        );
    }
}
