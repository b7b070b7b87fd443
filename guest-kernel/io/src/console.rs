//! `/dev/console`: what is written goes to the kernel log, line by line; there is nothing to read.

use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{File, FileType, Result, Sink, Source, Stat, platform};
use core::any::Any;

/// `makedev(5, 1)`.
const RDEV: u64 = 5 << 8 | 1;

/// The console.
pub struct Console {
    _private: (),
}

impl Console {
    /// The console; all of them are the same.
    pub fn new() -> Arc<Self> {
        Arc::new(Self { _private: () })
    }
}

impl File for Console {
    fn read(&self, _offset: u64, _sink: &mut dyn Sink) -> Result<usize> {
        Ok(0)
    }

    fn write(&self, _offset: u64, source: &mut dyn Source) -> Result<usize> {
        let mut written = 0;
        let mut piece = [0; 256];
        while source.remaining() > 0 {
            let count = source.remaining().min(piece.len());
            let Some(buffer) = piece.get_mut(..count) else { break };
            match source.take(buffer) {
                Ok(()) => platform().log_bytes(buffer),
                Err(error) if written == 0 => return Err(error),
                Err(_) => break,
            }
            written += count;
        }
        Ok(written)
    }

    fn stat(&self) -> Result<Stat> {
        Ok(Stat {
            dev: 5,
            ino: 11,
            mode: FileType::CharDevice as u32 | 0o600,
            nlink: 1,
            rdev: RDEV,
            blksize: 4096,
            ..Stat::default()
        })
    }

    fn proc_name(&self) -> Vec<u8> {
        b"/dev/console".to_vec()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{local, read, setup, write};

    #[test]
    fn what_is_written_is_logged() {
        setup();
        let console = Console::new();
        let text = [b'x'; 1000];
        assert_eq!(write(&*console, &text), Ok(1000));
        assert_eq!(local(|l| core::mem::take(&mut l.logged)), text);
        assert_eq!(read(&*console, 10).unwrap(), b"");
    }
}
