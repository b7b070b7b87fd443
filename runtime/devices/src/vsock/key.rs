//! What a connection is known by.

/// The ports of a connection. The host has one context identifier, and the guest has one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Key {
    /// Port of the host.
    pub host_port: u32,
    /// Port of the guest.
    pub guest_port: u32,
}

/// Tokens of the poller whose upper half is at least this belong to no connection.
const FIRST_RESERVED: u32 = 0xffff_fffd;
/// Upper half of the listener's token.
const LISTENER: u32 = 0xffff_fffd;
/// Upper half of the tokens of clients that have not said to which port they want.
const CLIENT: u32 = 0xffff_fffe;

/// What a token of the poller stands for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Token {
    /// A connection.
    Connection(Key),
    /// The listening socket.
    Listener,
    /// A client of it.
    Client(u32),
    /// None of ours.
    Foreign,
}

impl Token {
    /// From a poller's token.
    pub fn from_number(number: u64) -> Self {
        let key = Key { host_port: (number >> 32) as u32, guest_port: (number & 0xffff_ffff) as u32 };
        match key.host_port {
            LISTENER => Self::Listener,
            CLIENT => Self::Client(key.guest_port),
            port if port >= FIRST_RESERVED => Self::Foreign,
            _ => Self::Connection(key),
        }
    }

    /// To a poller's token.
    pub fn to_number(self) -> u64 {
        let (upper, lower) = match self {
            Self::Connection(key) => (key.host_port, key.guest_port),
            Self::Listener => (LISTENER, 0),
            Self::Client(number) => (CLIENT, number),
            Self::Foreign => (u32::MAX, u32::MAX),
        };
        u64::from(upper) << 32 | u64::from(lower)
    }
}

/// Whether connections may have this host port.
pub fn is_usable(host_port: u32) -> bool {
    host_port < FIRST_RESERVED
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tokens_survive_the_way_through_numbers() {
        for token in [
            Token::Connection(Key { host_port: 1024, guest_port: u32::MAX }),
            Token::Connection(Key { host_port: FIRST_RESERVED - 1, guest_port: 0 }),
            Token::Listener,
            Token::Client(7),
            Token::Foreign,
        ] {
            assert_eq!(Token::from_number(token.to_number()), token);
        }
    }
}
