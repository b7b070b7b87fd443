//! The first line of a client of the listening socket: `CONNECT <port>\n`, as Firecracker has it.

use rustix::io::Errno;
use rustix::net::{RecvFlags, recv};
use std::os::fd::BorrowedFd;

/// `CONNECT 4294967295\n`.
const MAX_LINE: usize = 19;

/// What a client has said.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Greeting {
    /// It wants this port of the guest.
    Connect(u32),
    /// Not all yet.
    Incomplete,
    /// Nonsense, or it has gone.
    Invalid,
}

/// Reads the line, and nothing behind it.
pub fn read(socket: BorrowedFd<'_>) -> Greeting {
    let mut line = [0; MAX_LINE];
    let len = match recv(socket, &mut line, RecvFlags::PEEK | RecvFlags::DONTWAIT) {
        Ok((len, _)) => len,
        Err(Errno::AGAIN | Errno::INTR) => return Greeting::Incomplete,
        Err(_) => return Greeting::Invalid,
    };
    let line = line.get(..len).unwrap_or_default();
    let Some(end) = line.iter().position(|&byte| byte == b'\n') else {
        return if len == 0 || len == MAX_LINE { Greeting::Invalid } else { Greeting::Incomplete };
    };
    let Some(port) = parse(line.get(..end).unwrap_or_default()) else { return Greeting::Invalid };
    match recv(socket, &mut [0; MAX_LINE][..=end], RecvFlags::DONTWAIT) {
        Ok((len, _)) if len == end + 1 => Greeting::Connect(port),
        _ => Greeting::Invalid,
    }
}

fn parse(line: &[u8]) -> Option<u32> {
    let port = std::str::from_utf8(line).ok()?.strip_prefix("CONNECT ")?;
    // `parse` would take a sign, too.
    port.bytes().all(|byte| byte.is_ascii_digit()).then(|| port.parse().ok())?
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::{Read, Write};
    use std::os::fd::AsFd;
    use std::os::unix::net::UnixStream;

    fn greeting(said: &[u8]) -> (Greeting, UnixStream) {
        let (mut client, socket) = UnixStream::pair().unwrap();
        client.write_all(said).unwrap();
        (read(socket.as_fd()), socket)
    }

    #[test]
    fn a_port_is_read_and_what_follows_stays() {
        let (greeting, mut socket) = greeting(b"CONNECT 1234\nhello");
        assert_eq!(greeting, Greeting::Connect(1234));
        let mut rest = [0; 5];
        socket.read_exact(&mut rest).unwrap();
        assert_eq!(rest, *b"hello");
        assert_eq!(self::greeting(b"CONNECT 4294967295\n").0, Greeting::Connect(u32::MAX));
    }

    #[test]
    fn half_a_line_is_waited_for() {
        for len in 0..13 {
            assert_eq!(greeting(&b"CONNECT 1234\n"[..len]).0, Greeting::Incomplete, "{len}");
        }
    }

    #[test]
    fn nonsense_is_refused() {
        for said in
            ["\n", "CONNECT \n", "CONNECT +1\n", "CONNECT 4294967296\n", "connect 1\n", "CONNECT 1 \n"]
        {
            assert_eq!(greeting(said.as_bytes()).0, Greeting::Invalid, "{said:?}");
        }
        assert_eq!(greeting(&[b'x'; 100]).0, Greeting::Invalid);
        assert_eq!(greeting(b"CONNECT \xff\n").0, Greeting::Invalid);
        let (client, socket) = UnixStream::pair().unwrap();
        drop(client);
        assert_eq!(read(socket.as_fd()), Greeting::Invalid);
    }
}
