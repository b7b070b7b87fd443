//! The device: its queues, its connections, and its owner's view of both.

use super::connection::{Connection, Owed};
use super::hosts::Hosts;
use super::key::{Key, Token};
use super::rate::Bucket;
use super::socket::Socket;
use super::{MAX_CONNECTIONS, RX_QUEUE, TX_QUEUE};
use crate::interrupt::Interrupt;
use crate::mmio::Activation;
use crate::poller::{Event, Poller};
use crate::queue::{QueueError, Virtqueue};
use std::collections::{BTreeMap, VecDeque};
use std::num::NonZeroU64;
use std::os::fd::OwnedFd;
use std::sync::Arc;
use std::time::{Duration, Instant};
use vm_memory::GuestMemoryMmap;

/// Most packets of each direction handled before the owner may look at something else.
const BUDGET: usize = 128;

/// Most packets that can be on their way from the guest.
const MAX_QUEUE_SIZE: usize = 256;

/// What a device is made from.
#[derive(Debug)]
pub struct VsockArgs {
    /// Context identifier of the guest.
    pub guest_cid: u64,
    /// Host ports to which the guest may connect, each with its socket.
    pub ports: Vec<(u32, Socket)>,
    /// A listening, non-blocking Unix stream socket for who wants to reach the guest.
    pub listener: Option<OwnedFd>,
    /// Most bytes a second, both directions and headers together, on average.
    pub bytes_per_second: Option<NonZeroU64>,
}

/// The virtio socket device.
pub struct Vsock<I> {
    pub(super) guest_cid: u64,
    pub(super) poller: Arc<Poller>,
    interrupt: I,
    pub(super) running: Option<Running>,
    pub(super) hosts: Hosts,
    pub(super) connections: BTreeMap<Key, Connection>,
    /// Connections with something for the guest, each once.
    pub(super) ready: VecDeque<Key>,
    /// Resets for packets that belong to no connection.
    pub(super) resets: VecDeque<super::transmit::Stray>,
    pub(super) accepted: u64,
    pub(super) rate: Option<Bucket>,
}

/// The queues, while the driver runs.
pub(super) struct Running {
    pub(super) memory: GuestMemoryMmap,
    pub(super) rx: Virtqueue,
    pub(super) tx: Virtqueue,
}

/// Whether to call [`Vsock::process`] again soon.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Work {
    /// There is nothing to do until something happens.
    Done,
    /// There is more to do now.
    More,
    /// There is more to do after this time: as much travelled as may.
    Later(Duration),
}

impl<I: Interrupt> Vsock<I> {
    /// A device whose driver is not there yet.
    pub fn new(args: VsockArgs, poller: Arc<Poller>, interrupt: I) -> rustix::io::Result<Self> {
        let ports = args.ports.into_iter().map(|(port, socket)| (port, socket.into_fd())).collect();
        let hosts = Hosts::new(ports, args.listener);
        hosts.watch(&poller)?;
        Ok(Self {
            guest_cid: args.guest_cid,
            poller,
            interrupt,
            running: None,
            hosts,
            connections: BTreeMap::new(),
            ready: VecDeque::new(),
            resets: VecDeque::new(),
            accepted: 0,
            rate: args.bytes_per_second.map(|rate| Bucket::new(rate, Instant::now())),
        })
    }

    /// The driver is ready.
    pub fn activate(&mut self, activation: &Activation, memory: &GuestMemoryMmap) -> Result<(), QueueError> {
        let queue = |number: u16| {
            let layout = activation.queues.get(usize::from(number)).copied().flatten();
            Virtqueue::new(&layout.ok_or(QueueError::Layout)?, memory)
        };
        // The event queue is for migrations, of which there are none.
        let running = Running { memory: memory.clone(), rx: queue(RX_QUEUE)?, tx: queue(TX_QUEUE)? };
        self.running = Some(running);
        Ok(())
    }

    /// The driver starts anew: queues and connections are gone.
    pub fn reset(&mut self) {
        self.running = None;
        for connection in std::mem::take(&mut self.connections).into_values() {
            self.poller.remove(connection.socket());
        }
        self.ready.clear();
        self.resets.clear();
    }

    /// How many connections of the guest were accepted so far.
    pub fn accepted(&self) -> u64 {
        self.accepted
    }

    /// Something has happened to one of the host's sockets. [`Vsock::process`] has to follow.
    pub fn handle_event(&mut self, event: &Event) {
        match Token::from_number(event.token) {
            Token::Connection(key) => self.handle_socket(key, event),
            Token::Listener => self.hosts.set_callers(),
            Token::Client(number) => self.handle_client(number),
            Token::Foreign => {}
        }
    }

    fn handle_socket(&mut self, key: Key, event: &Event) {
        let Some(connection) = self.connections.get_mut(&key) else { return };
        if event.readable || event.hung_up {
            connection.set_readable(event.hung_up);
        }
        if event.writable {
            connection.set_writable();
        }
        if event.closed {
            connection.set_closed_by_host();
        }
        self.settle(key);
    }

    fn handle_client(&mut self, number: u32) {
        let Some((socket, guest_port)) = self.hosts.hear(number, &self.poller) else { return };
        // There are fewer connections than ports to choose from.
        let mut key = Key { host_port: self.hosts.next_port(), guest_port };
        while self.connections.contains_key(&key) {
            key.host_port = self.hosts.next_port();
        }
        self.insert(key, Connection::wanted(socket));
    }

    /// Adds a connection. There has to be room, and none like it.
    pub(super) fn insert(&mut self, key: Key, connection: Connection) {
        if self.poller.add_edges(connection.socket(), Token::Connection(key).to_number()).is_err() {
            return;
        }
        self.connections.insert(key, connection);
        self.settle(key);
    }

    /// To be called after any change of a connection: queues it if the guest is owed something, drops it if it is over.
    pub(super) fn settle(&mut self, key: Key) {
        let Some(connection) = self.connections.get_mut(&key) else { return };
        if connection.is_over() {
            self.poller.remove(connection.socket());
            if connection.queued {
                self.ready.retain(|other| *other != key);
            }
            self.connections.remove(&key);
        } else if !connection.queued && connection.owed().is_some() {
            connection.queued = true;
            self.ready.push_back(key);
        }
    }

    /// The next connection with something for the guest.
    pub(super) fn next_ready(&mut self) -> Option<(Key, Owed)> {
        while let Some(key) = self.ready.pop_front() {
            let Some(connection) = self.connections.get_mut(&key) else { continue };
            connection.queued = false;
            if let Some(owed) = connection.owed() {
                return Some((key, owed));
            }
        }
        None
    }

    /// Does what can be done: takes packets from the guest, gives it others, and interrupts it.
    pub fn process(&mut self) -> Result<Work, QueueError> {
        self.hosts.accept(MAX_CONNECTIONS.saturating_sub(self.connections.len()), &self.poller);
        let Some(mut running) = self.running.take() else { return Ok(Work::Done) };
        let result = self.process_queues(&mut running);
        // A driver that broke the rules has no device until it resets it.
        self.running = result.is_ok().then_some(running);
        result
    }

    fn process_queues(&mut self, running: &mut Running) -> Result<Work, QueueError> {
        let tx = self.process_tx(running, BUDGET)?;
        let was_blocked = self.resets.len() == super::transmit::MAX_RESETS;
        let rx = self.process_rx(running, BUDGET)?;
        let is_unblocked = was_blocked && self.resets.len() < super::transmit::MAX_RESETS;
        // Both are asked, since each keeps count.
        let announcements = [running.rx.take_announcement()?, running.tx.take_announcement()?];
        if announcements.contains(&true) {
            self.interrupt.used_buffers();
        }
        if let Some(wait) = self.over_rate() {
            return Ok(Work::Later(wait));
        }
        Ok(if tx == Work::More || rx == Work::More || is_unblocked { Work::More } else { Work::Done })
    }

    /// How long nothing may travel, if that is so.
    pub(super) fn over_rate(&mut self) -> Option<Duration> {
        self.rate.as_mut()?.wait(Instant::now())
    }

    /// Something has travelled.
    pub(super) fn charge(&mut self, bytes: usize) {
        if let Some(rate) = &mut self.rate {
            rate.charge(bytes);
        }
    }

    /// The guest runs no more: takes what it has sent, and lets go of its memory. What the host has not taken yet is
    /// delivered as the host reads; see [`Vsock::has_backlog`].
    pub fn finish(&mut self) {
        let Some(mut running) = self.running.take() else { return };
        // What is in the queue is no more than the queue holds.
        self.rate = None;
        // Nobody fills the queue up any more.
        for _ in 0..=MAX_QUEUE_SIZE / BUDGET.min(super::transmit::MAX_RESETS) {
            self.resets.clear();
            let work = self.process_tx(&mut running, BUDGET);
            if !matches!(work, Ok(Work::More)) && self.resets.is_empty() {
                return;
            }
        }
    }

    /// Whether there is something that the guest has sent and the host has not taken yet.
    pub fn has_backlog(&self) -> bool {
        self.connections.values().any(Connection::has_backlog)
    }

    #[cfg(test)]
    pub(super) fn check(&self) {
        assert!(self.connections.len() + self.hosts.clients() <= MAX_CONNECTIONS);
        assert!(self.resets.len() <= super::transmit::MAX_RESETS);
        for (key, connection) in &self.connections {
            connection.check();
            assert_eq!(connection.queued, self.ready.contains(key));
            assert!(connection.owed().is_none() || connection.queued, "{connection:?} is owed something");
        }
    }
}
