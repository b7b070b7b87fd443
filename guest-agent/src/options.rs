//! The agent's command line.

use ampoule_protocol::CONTROL_PORT;

/// What the command line says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Options {
    /// How to reach the host.
    pub host: Host,
}

/// How to reach the host.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Host {
    /// Connect to this vsock port of it.
    Port(u32),
    /// Use this file descriptor, a connected stream socket.
    ConnectedFd(i32),
}

impl Options {
    /// Reads `[--port N | --connect-fd N]`. Words of a kernel command line that are none of these are passed to an
    /// init program as arguments too, so they are not an error.
    pub fn parse<'a>(mut args: impl Iterator<Item = &'a [u8]>) -> Self {
        let mut options = Self { host: Host::Port(CONTROL_PORT) };
        while let Some(arg) = args.next() {
            let host = match arg {
                b"--port" => args.next().and_then(number).map(Host::Port),
                b"--connect-fd" => {
                    args.next().and_then(number).and_then(|fd| fd.try_into().ok()).map(Host::ConnectedFd)
                }
                _ => None,
            };
            options.host = host.unwrap_or(options.host);
        }
        options
    }
}

fn number(text: &[u8]) -> Option<u32> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// The value of a word of a kernel command line that begins with `name`. Of several, the last counts.
pub fn word<'a>(cmdline: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    cmdline.split(u8::is_ascii_whitespace).filter_map(|word| word.strip_prefix(name)).next_back()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Host {
        Options::parse(line.split_whitespace().map(str::as_bytes)).host
    }

    #[test]
    fn the_last_word_counts_and_others_are_ignored() {
        assert_eq!(parse(""), Host::Port(1024));
        assert_eq!(parse("quiet --port 7"), Host::Port(7));
        assert_eq!(parse("--port 7 --connect-fd 3 ro"), Host::ConnectedFd(3));
        assert_eq!(parse("--port x"), Host::Port(1024));
        assert_eq!(parse("--connect-fd -1"), Host::Port(1024));
        assert_eq!(parse("--port"), Host::Port(1024));
    }
}
