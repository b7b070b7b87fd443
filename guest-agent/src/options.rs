//! The agent's command line, and the words of a stock kernel's that are meant for what comes before the agent.

use alloc::ffi::CString;
use alloc::format;
use ampoule_protocol::CONTROL_PORT;

/// Most bytes of a kernel's command line that are read.
pub const MAX_CMDLINE: usize = 16 * 1024;

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
                b"--port" => args.next().and_then(decimal).map(Host::Port),
                b"--connect-fd" => {
                    args.next().and_then(decimal).and_then(|fd| fd.try_into().ok()).map(Host::ConnectedFd)
                }
                _ => None,
            };
            options.host = host.unwrap_or(options.host);
        }
        options
    }
}

fn decimal(text: &[u8]) -> Option<u32> {
    core::str::from_utf8(text).ok()?.parse().ok()
}

/// The value of a word of a kernel command line that begins with `name`. Of several, the last counts.
pub fn word<'a>(cmdline: &'a [u8], name: &[u8]) -> Option<&'a [u8]> {
    cmdline.split(u8::is_ascii_whitespace).filter_map(|word| word.strip_prefix(name)).next_back()
}

/// Options of a file system in memory that is as large as the command line allows, with the words that our own kernel
/// takes for each of its volumes. If nothing is said, it is Linux's half of the memory. `own` files are not the job's.
pub fn memory_options(cmdline: &[u8], mode: &str, own: u64) -> CString {
    let files = number(cmdline, [b"ampoule.overlay_inodes=", b"ampoule.inodes="]);
    let files = files.map(|files| files.saturating_add(own));
    options(mode, &[(",size", size(cmdline)), (",nr_inodes", files)])
}

/// As [`memory_options`], for the devices: there are more of them than there may be files.
pub fn device_options(cmdline: &[u8]) -> CString {
    options("0755", &[(",size", size(cmdline))])
}

fn options(mode: &str, numbers: &[(&str, Option<u64>)]) -> CString {
    let mut options = format!("mode={mode}");
    for (name, number) in numbers {
        if let Some(number) = number {
            options += &format!("{name}={number}");
        }
    }
    CString::new(options).unwrap_or_default()
}

fn size(cmdline: &[u8]) -> Option<u64> {
    number(cmdline, [b"ampoule.overlay_bytes=", b"ampoule.disk="])
}

/// The number of the first of these words that is there.
fn number<const N: usize>(cmdline: &[u8], names: [&[u8]; N]) -> Option<u64> {
    let value = names.into_iter().find_map(|name| word(cmdline, name))?;
    core::str::from_utf8(value).ok()?.parse().ok()
}

/// How many processes and threads there may be beside the first, if the command line says it.
pub fn max_processes(cmdline: &[u8]) -> Option<u64> {
    number(cmdline, [b"ampoule.max_processes="])
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

    #[test]
    fn limits_become_options_of_a_tmpfs() {
        let options = |cmdline: &[u8]| memory_options(cmdline, "0755", 5).into_bytes();
        assert_eq!(options(b"quiet"), b"mode=0755");
        let both = b"ampoule.overlay_bytes=4096 x ampoule.overlay_inodes=7\n";
        assert_eq!(options(both), b"mode=0755,size=4096,nr_inodes=12");
        assert_eq!(device_options(both).into_bytes(), b"mode=0755,size=4096");
        assert_eq!(options(b"ampoule.disk=1,uid=3 xampoule.disk=9"), b"mode=0755");
    }

    #[test]
    fn the_number_of_processes_is_a_number() {
        assert_eq!(max_processes(b"a ampoule.max_processes=7\n"), Some(7));
        assert_eq!(max_processes(b"ampoule.max_processes=x"), None);
        assert_eq!(max_processes(b"ampoule.max_processes"), None);
    }
}
