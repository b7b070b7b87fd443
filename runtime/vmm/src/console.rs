//! Streams the kernel log to whoever wants it, as it comes.

use crate::output::{CHUNK, is_ready, write_until};
use crate::shared::Shared;
use ampoule_vmm_api::CONSOLE_TAIL_LEN;
use std::os::fd::BorrowedFd;
use std::time::{Duration, Instant};

/// Most pieces that are written in one turn of the device thread: as much as there can be. A guest that writes as fast as its
/// reader takes it is not to keep the thread from its devices, nor from the end.
const PIECES: usize = CONSOLE_TAIL_LEN.div_ceil(CHUNK);

/// How often the log is looked at: KVM may hold back some stores.
const INTERVAL: Duration = Duration::from_millis(50);

/// The other end of the kernel log, if there is one.
pub struct Console {
    fd: Option<BorrowedFd<'static>>,
}

impl Console {
    /// A console on this descriptor.
    pub fn new(fd: Option<BorrowedFd<'static>>, shared: &Shared) -> Self {
        if fd.is_some() {
            shared.bus().log().watch();
        }
        Self { fd }
    }

    /// How often to call [`Console::stream`], besides whenever something happens.
    pub fn interval(&self) -> Option<Duration> {
        self.fd.map(|_| INTERVAL)
    }

    /// Writes what there is, as far as it is taken at once. A reader that is too slow misses some. True if it is to be called
    /// again soon: it has stopped so that others have their turn.
    pub fn stream(&mut self, shared: &Shared) -> bool {
        self.fd.is_some_and(|fd| {
            turn(fd, |buffer| {
                let mut bus = shared.bus();
                bus.log().has_unsent().then(|| bus.log().copy_unsent(buffer))
            })
        })
    }

    /// Writes the rest, as far as it is taken until the deadline.
    pub fn finish(&mut self, shared: &Shared, deadline: Instant) {
        let Some(fd) = self.fd else { return };
        let mut buffer = [0; CHUNK];
        while shared.bus().log().has_unsent() && Instant::now() < deadline {
            let len = shared.bus().log().copy_unsent(&mut buffer);
            write_until(fd, buffer.get(..len).unwrap_or_default(), deadline);
        }
    }
}

/// Writes what `next` puts into its buffer, until it has no more, the reader takes no more, or it is enough for one turn: then
/// it is true.
fn turn(fd: BorrowedFd<'_>, mut next: impl FnMut(&mut [u8]) -> Option<usize>) -> bool {
    let mut buffer = [0; CHUNK];
    for _ in 0..PIECES {
        if !is_ready(fd, Duration::ZERO) {
            return false;
        }
        let Some(len) = next(&mut buffer) else { return false };
        write_until(fd, buffer.get(..len).unwrap_or_default(), Instant::now());
    }
    true
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::fs::File;
    use std::io::Read;
    use std::os::fd::AsFd;

    #[test]
    fn a_turn_ends_though_guest_and_reader_go_on() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let reading = std::thread::spawn(move || std::io::copy(&mut reader, &mut std::io::sink()).unwrap());
        let mut written = 0;
        // Whoever reads takes all at once, and there is always more.
        while written < 10 * PIECES {
            let before = written;
            let goes_on = turn(writer.as_fd(), |buffer| {
                buffer.fill(b'x');
                written += 1;
                Some(buffer.len())
            });
            assert!(written - before <= PIECES && (goes_on == (written - before == PIECES)));
        }
        drop(writer);
        assert_eq!(reading.join().unwrap(), (written * CHUNK) as u64);
    }

    #[test]
    fn a_turn_ends_with_what_there_is_and_with_a_reader_that_stops() {
        let (mut reader, writer) = std::io::pipe().unwrap();
        let mut pieces = [3, 2].into_iter();
        assert!(!turn(writer.as_fd(), |_| pieces.next()));
        let mut read = [0; 8];
        assert_eq!(reader.read(&mut read).unwrap(), 5);
        while turn(writer.as_fd(), |buffer| Some(buffer.len())) {}
        let full = File::from(std::os::fd::OwnedFd::from(writer));
        assert!(!turn(full.as_fd(), |_| panic!("nobody takes it")));
    }
}
