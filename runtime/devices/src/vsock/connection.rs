//! One connection: its two directions, and what the guest is owed.

use super::backlog::Backlog;
use super::packet::{Header, Op, SHUTDOWN_RECEIVE, SHUTDOWN_SEND};
use rustix::io::Errno;
use rustix::net::{Shutdown, shutdown};
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};

/// Size of our receive buffer for the guest, in bytes: how much it may send before the host has read.
pub const BUFFER_SIZE: u32 = 256 * 1024;

/// A connection between a port of the guest and a socket of the host.
#[derive(Debug)]
pub struct Connection {
    socket: OwnedFd,
    phase: Phase,
    /// Whether it is in the queue of those that have something for the guest.
    pub queued: bool,
    to_guest: ToGuest,
    to_host: ToHost,
}

/// How far a connection is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Phase {
    /// The host wants it; the guest is to be asked.
    Wanted,
    /// The guest was asked, and has not answered yet.
    Requested,
    /// The guest wanted it, and is to be told that it is there.
    Accepted,
    /// Both know it.
    Open,
    /// It has to be reset.
    Broken,
    /// The guest has forgotten it. What it has sent still goes to the host.
    Forgotten,
}

/// The direction from host to guest. Nothing is buffered here.
#[derive(Debug)]
struct ToGuest {
    /// The socket may have something to read.
    readable: bool,
    /// The host will write no more; what it has written is still in the socket.
    hung_up: bool,
    /// All that the host has written was read.
    ended: bool,
    /// The guest wants no more.
    refused: bool,
    /// How many bytes the guest got.
    sent: u32,
    /// Size of the guest's buffer.
    peer_buf_alloc: u32,
    /// How many bytes have left the guest's buffer.
    peer_fwd_cnt: u32,
    /// The guest was asked for credit, and has given none since.
    asked: bool,
}

/// The direction from guest to host.
#[derive(Debug)]
struct ToHost {
    backlog: Backlog,
    /// The socket may have room.
    writable: bool,
    /// The guest sends no more.
    ended: bool,
    /// The host has been told so.
    end_passed_on: bool,
    /// Nobody reads any more.
    refused: bool,
    /// How many bytes came from the guest.
    received: u32,
    /// How many of them are no longer in our buffer.
    forwarded: u32,
    /// What the guest knows of `forwarded`.
    announced: u32,
    /// The guest wants to know how much room there is.
    asked: bool,
    /// What the guest knows about the directions that the host has closed.
    told: u32,
}

/// What the guest gets next.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Owed {
    /// A packet without payload, with these flags.
    Control(Op, u32),
    /// Data, at most this much.
    Data(u32),
}

impl Connection {
    /// The guest has asked for it.
    pub fn accepted(socket: OwnedFd, request: &Header) -> Self {
        let mut connection = Self::new(socket, Phase::Accepted);
        connection.take_credit(request);
        connection
    }

    /// The host has asked for it.
    pub fn wanted(socket: OwnedFd) -> Self {
        Self::new(socket, Phase::Wanted)
    }

    fn new(socket: OwnedFd, phase: Phase) -> Self {
        let to_guest = ToGuest {
            readable: false,
            hung_up: false,
            ended: false,
            refused: false,
            sent: 0,
            peer_buf_alloc: 0,
            peer_fwd_cnt: 0,
            asked: false,
        };
        let to_host = ToHost {
            backlog: Backlog::new(BUFFER_SIZE as usize),
            writable: true,
            ended: false,
            end_passed_on: false,
            refused: false,
            received: 0,
            forwarded: 0,
            announced: 0,
            asked: false,
            told: 0,
        };
        Self { socket, phase, queued: false, to_guest, to_host }
    }

    /// The host's side.
    pub fn socket(&self) -> BorrowedFd<'_> {
        self.socket.as_fd()
    }

    /// Whether the host still waits for the guest's answer.
    pub fn is_requested(&self) -> bool {
        self.phase == Phase::Requested
    }

    /// Whether data may come from the guest.
    pub fn takes_data(&self) -> bool {
        matches!(self.phase, Phase::Accepted | Phase::Open) && !self.to_host.ended
    }

    /// Whether the guest knows it, or will.
    pub fn is_known(&self) -> bool {
        self.phase != Phase::Forgotten
    }

    /// Whether nothing is left to be done.
    pub fn is_over(&self) -> bool {
        self.phase == Phase::Forgotten && self.to_host.backlog.is_empty()
    }

    /// Whether something waits that the host is to get.
    pub fn has_backlog(&self) -> bool {
        !self.to_host.backlog.is_empty()
    }

    /// How many bytes the guest may still send.
    pub fn room(&self) -> u32 {
        BUFFER_SIZE.saturating_sub(self.to_host.received.wrapping_sub(self.to_host.forwarded))
    }

    /// The guest has agreed.
    pub fn open(&mut self) {
        self.phase = Phase::Open;
    }

    /// The guest has broken a rule, or the host has gone before it was connected.
    pub fn break_off(&mut self) {
        if self.phase != Phase::Forgotten {
            self.phase = Phase::Broken;
        }
    }

    /// The guest does not know it any more.
    pub fn forget(&mut self) {
        self.phase = Phase::Forgotten;
        self.end_from_guest();
    }

    /// Learns from a packet how much room the guest has.
    pub fn take_credit(&mut self, header: &Header) {
        let to_guest = &mut self.to_guest;
        if (header.buf_alloc, header.fwd_cnt) != (to_guest.peer_buf_alloc, to_guest.peer_fwd_cnt) {
            (to_guest.peer_buf_alloc, to_guest.peer_fwd_cnt) = (header.buf_alloc, header.fwd_cnt);
            to_guest.asked = false;
        }
    }

    /// The guest asks how much room we have.
    pub fn ask_for_credit(&mut self) {
        self.to_host.asked = true;
    }

    /// The guest closes one or both directions.
    pub fn shut_down(&mut self, flags: u32) {
        if flags & SHUTDOWN_RECEIVE != 0 && !self.to_guest.refused {
            self.to_guest.refused = true;
            // It fails when the host has closed already.
            let _ = shutdown(&self.socket, Shutdown::Read);
        }
        if flags & SHUTDOWN_SEND != 0 {
            self.end_from_guest();
        }
    }

    fn end_from_guest(&mut self) {
        self.to_host.ended = true;
        self.pass_on_end();
    }

    /// Tells the host that nothing comes any more, once everything that came was passed on.
    fn pass_on_end(&mut self) {
        let to_host = &mut self.to_host;
        if to_host.ended && to_host.backlog.is_empty() && !to_host.end_passed_on {
            to_host.end_passed_on = true;
            let _ = shutdown(&self.socket, Shutdown::Write);
        }
    }

    /// The socket has become readable.
    pub fn set_readable(&mut self, hung_up: bool) {
        self.to_guest.readable = true;
        self.to_guest.hung_up |= hung_up;
    }

    /// The socket has become writable: passes on what waits.
    pub fn set_writable(&mut self) {
        self.to_host.writable = true;
        while self.to_host.writable && !self.to_host.backlog.is_empty() {
            let result = self.to_host.backlog.send(self.socket.as_fd());
            self.sent_to_host(result, None);
        }
        self.pass_on_end();
    }

    /// Whether data of the guest can go straight to the host.
    pub fn is_direct(&self) -> bool {
        self.to_host.writable && self.to_host.backlog.is_empty() && !self.to_host.refused
    }

    /// Whether data of the guest has nowhere to go.
    pub fn is_refused(&self) -> bool {
        self.to_host.refused
    }

    /// Data has come from the guest, for which there was room.
    pub fn received(&mut self, len: u32) {
        self.to_host.received = self.to_host.received.wrapping_add(len);
    }

    /// Where data waits that the host does not take.
    pub fn backlog(&mut self) -> &mut Backlog {
        &mut self.to_host.backlog
    }

    /// Data has left our buffer, or never was there.
    pub fn forwarded(&mut self, len: u32) {
        self.to_host.forwarded = self.to_host.forwarded.wrapping_add(len);
    }

    /// Notes the result of a send to the host, of `wanted` bytes if known. Says how many bytes are gone.
    pub fn sent_to_host(&mut self, result: Result<usize, Errno>, wanted: Option<usize>) -> usize {
        match result {
            Ok(sent) => {
                let complete = wanted.map_or(self.to_host.backlog.is_empty(), |wanted| sent == wanted);
                // The socket is full; it reports when it is not.
                self.to_host.writable &= complete;
                self.forwarded(u32::try_from(sent).unwrap_or(u32::MAX));
                sent
            }
            Err(Errno::INTR) => 0,
            Err(Errno::AGAIN) => {
                self.to_host.writable = false;
                0
            }
            Err(_) => {
                self.refuse_to_host();
                0
            }
        }
    }

    /// Nobody will read what the guest sends. It is thrown away, and the guest is told.
    fn refuse_to_host(&mut self) {
        self.to_host.refused = true;
        let dropped = u32::try_from(self.to_host.backlog.len()).unwrap_or(u32::MAX);
        self.to_host.backlog.clear();
        self.forwarded(dropped);
    }

    /// How many bytes the guest has room for.
    fn credit(&self) -> u32 {
        let in_flight = self.to_guest.sent.wrapping_sub(self.to_guest.peer_fwd_cnt);
        self.to_guest.peer_buf_alloc.saturating_sub(in_flight)
    }

    /// What the guest gets next, if anything.
    pub fn owed(&self) -> Option<Owed> {
        match self.phase {
            Phase::Wanted => Some(Owed::Control(Op::Request, 0)),
            Phase::Accepted => Some(Owed::Control(Op::Response, 0)),
            Phase::Broken => Some(Owed::Control(Op::Reset, 0)),
            Phase::Open => self.owed_while_open(),
            Phase::Requested | Phase::Forgotten => None,
        }
    }

    fn owed_while_open(&self) -> Option<Owed> {
        let (to_guest, to_host) = (&self.to_guest, &self.to_host);
        // The guest has closed both directions, and everything that it sent has arrived.
        if to_guest.refused && to_host.end_passed_on {
            return Some(Owed::Control(Op::Reset, 0));
        }
        if self.has_news_of_credit() {
            return Some(Owed::Control(Op::CreditUpdate, 0));
        }
        let closed = self.closed_by_host();
        if closed & !to_host.told != 0 {
            return Some(Owed::Control(Op::Shutdown, closed));
        }
        if to_guest.readable && !to_guest.ended && !to_guest.refused {
            match self.credit() {
                0 if to_guest.asked => {}
                0 => return Some(Owed::Control(Op::CreditRequest, 0)),
                credit => return Some(Owed::Data(credit)),
            }
        }
        None
    }

    /// The directions that the host has closed, as the flags of a `Shutdown`.
    fn closed_by_host(&self) -> u32 {
        let send = if self.to_guest.ended { SHUTDOWN_SEND } else { 0 };
        let receive = if self.to_host.refused { SHUTDOWN_RECEIVE } else { 0 };
        send | receive
    }

    /// Whether the guest should hear how much room we have: when it may think that more than half is taken, and that
    /// is much less by now. A guest that sends no more need not know.
    fn has_news_of_credit(&self) -> bool {
        let to_host = &self.to_host;
        let news = to_host.forwarded.wrapping_sub(to_host.announced);
        let believed = to_host.received.wrapping_sub(to_host.announced);
        let worth_telling = !to_host.ended && (news >= BUFFER_SIZE / 4 || to_host.backlog.is_empty());
        to_host.asked || (believed > BUFFER_SIZE / 2 && news > 0 && worth_telling)
    }

    /// Our side of the credit, for a header. To be called for a packet that the guest gets.
    pub fn announce(&mut self) -> (u32, u32) {
        self.to_host.announced = self.to_host.forwarded;
        self.to_host.asked = false;
        (BUFFER_SIZE, self.to_host.forwarded)
    }

    /// The guest got a packet without payload.
    pub fn gave(&mut self, op: Op, flags: u32) {
        match op {
            Op::Request => self.phase = Phase::Requested,
            Op::Response => self.phase = Phase::Open,
            Op::Reset => self.forget(),
            Op::Shutdown => self.to_host.told |= flags,
            Op::CreditRequest => self.to_guest.asked = true,
            Op::ReadWrite | Op::CreditUpdate => {}
        }
    }

    /// Notes the result of a read from the host for which there was room of `wanted` bytes. Says how many bytes the
    /// guest gets.
    pub fn read_from_host(&mut self, result: Result<usize, Errno>, wanted: usize) -> usize {
        let to_guest = &mut self.to_guest;
        match result {
            Ok(0) => {
                (to_guest.ended, to_guest.readable) = (true, false);
                0
            }
            Ok(len) => {
                // A stream that gave less has no more; it reports when it has again, but for its end.
                to_guest.readable = len == wanted || to_guest.hung_up;
                to_guest.sent = to_guest.sent.wrapping_add(u32::try_from(len).unwrap_or(u32::MAX));
                len
            }
            Err(Errno::INTR) => 0,
            Err(Errno::AGAIN) => {
                to_guest.readable = false;
                0
            }
            Err(_) => {
                (to_guest.ended, to_guest.readable) = (true, false);
                self.refuse_to_host();
                0
            }
        }
    }

    /// Both directions of the host's socket are closed. Whether it was the host who closed that to it is found out by
    /// writing, if there is something to write.
    pub fn set_closed_by_host(&mut self) {
        match self.phase {
            Phase::Wanted => self.phase = Phase::Forgotten,
            Phase::Requested => self.phase = Phase::Broken,
            _ if self.to_host.backlog.is_empty() => self.to_host.refused |= !self.to_host.end_passed_on,
            _ => {}
        }
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        let to_host = &self.to_host;
        let buffered = to_host.received.wrapping_sub(to_host.forwarded);
        assert_eq!(buffered as usize, to_host.backlog.len(), "{self:?}");
        assert!(buffered <= BUFFER_SIZE);
    }
}
