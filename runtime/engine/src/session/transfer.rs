//! One file on its way in or out, as far as the protocol is concerned.

use super::violation::Violation;
use ampoule_protocol::{FileDone, FileId, ReceiveWindow, SendWindow, Stream};

/// A transfer between its request and its end.
#[derive(Debug)]
pub(super) enum Transfer {
    /// To the guest; the content is being sent.
    Sending {
        /// Credit.
        window: SendWindow,
        /// Bytes sent.
        sent: u64,
    },
    /// To the guest; the end of the content was sent.
    Sent {
        /// Bytes sent.
        sent: u64,
    },
    /// To the host.
    Receiving {
        /// Credit.
        window: ReceiveWindow,
        /// Bytes received.
        received: u64,
        /// The host gave up; what is under way is dropped.
        closed: bool,
    },
}

impl Transfer {
    /// The state after `PutFile` was sent.
    pub(super) fn put(file: FileId) -> Self {
        Self::Sending { window: SendWindow::new(Stream::File(file)), sent: 0 }
    }

    /// The state after `GetFile` was sent.
    pub(super) fn get(file: FileId) -> Self {
        Self::Receiving { window: ReceiveWindow::new(Stream::File(file)), received: 0, closed: false }
    }

    /// Whether the agent is to move next.
    pub(super) fn is_owed(&self) -> bool {
        match self {
            Self::Sending { window, .. } => window.available() == 0,
            Self::Sent { .. } | Self::Receiving { .. } => true,
        }
    }

    /// Data came. Says whether anybody wants it.
    pub(super) fn data(&mut self, file: FileId, len: usize) -> Result<bool, Violation> {
        match self {
            Self::Receiving { window, received, closed } => {
                window.receive(len)?;
                *received = received.saturating_add(u64::try_from(len).unwrap_or(u64::MAX));
                Ok(!*closed)
            }
            _ => Err(Violation::WrongState { what: "data", stream: Stream::File(file) }),
        }
    }

    /// Credit came. Says whether it is news: there was none before.
    pub(super) fn grant(&mut self, file: FileId, bytes: u32) -> Result<bool, Violation> {
        match self {
            Self::Sending { window, .. } => {
                let news = window.available() == 0 && bytes > 0;
                window.grant(bytes)?;
                Ok(news)
            }
            Self::Sent { .. } => Ok(false),
            Self::Receiving { .. } => {
                Err(Violation::WrongState { what: "credit", stream: Stream::File(file) })
            }
        }
    }

    /// `FileDone` came.
    pub(super) fn done(&self, done: &FileDone) -> Result<(), Violation> {
        let transferred = match *self {
            Self::Sent { sent } => sent,
            Self::Receiving { received, closed: false, .. } => received,
            // The guest may have been done before it saw that the host gave up.
            Self::Receiving { closed: true, .. } => return Ok(()),
            Self::Sending { .. } => {
                let stream = Stream::File(done.file);
                return Err(Violation::WrongState { what: "success", stream });
            }
        };
        match transferred == done.bytes {
            true => Ok(()),
            false => Err(Violation::WrongLength { file: done.file, reported: done.bytes, transferred }),
        }
    }
}
