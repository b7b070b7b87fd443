//! The host's sockets that are not connected to the guest yet.

use super::handshake::{self, Greeting};
use super::key::{Token, is_usable};
use crate::poller::Poller;
use rustix::io::Errno;
use rustix::net::{SocketFlags, accept_with};
use std::collections::BTreeMap;
use std::os::fd::{AsFd, OwnedFd};

/// First of the host ports for connections that the host opens.
const FIRST_EPHEMERAL: u32 = 1 << 30;

/// Ports, a listening socket, and those who came to it.
#[derive(Debug)]
pub struct Hosts {
    ports: Vec<(u32, OwnedFd)>,
    listener: Option<OwnedFd>,
    /// There may be clients to accept.
    has_callers: bool,
    clients: BTreeMap<u32, OwnedFd>,
    next_client: u32,
    next_port: u32,
}

impl Hosts {
    /// Ports with their connected, non-blocking sockets, and a socket that listens.
    pub fn new(ports: Vec<(u32, OwnedFd)>, listener: Option<OwnedFd>) -> Self {
        let clients = BTreeMap::new();
        Self { ports, listener, has_callers: false, clients, next_client: 0, next_port: FIRST_EPHEMERAL }
    }

    /// Has the poller watch the listener.
    pub fn watch(&self, poller: &Poller) -> rustix::io::Result<()> {
        match &self.listener {
            Some(listener) => poller.add_edges(listener.as_fd(), Token::Listener.to_number()),
            None => Ok(()),
        }
    }

    /// Takes the socket of a host port. It is there once.
    pub fn take_port(&mut self, port: u32) -> Option<OwnedFd> {
        let index = self.ports.iter().position(|(number, _)| *number == port && is_usable(port))?;
        Some(self.ports.swap_remove(index).1)
    }

    /// A host port that no connection has had for long.
    pub fn next_port(&mut self) -> u32 {
        let port = self.next_port;
        self.next_port = if is_usable(port + 1) { port + 1 } else { FIRST_EPHEMERAL };
        port
    }

    /// How many clients there are.
    pub fn clients(&self) -> usize {
        self.clients.len()
    }

    /// Somebody called.
    pub fn set_callers(&mut self) {
        self.has_callers = true;
    }

    /// Accepts callers, at most this many clients in all.
    pub fn accept(&mut self, limit: usize, poller: &Poller) {
        let Some(listener) = self.listener.as_ref().filter(|_| self.has_callers) else { return };
        while self.clients.len() < limit {
            match accept_with(listener, SocketFlags::CLOEXEC | SocketFlags::NONBLOCK) {
                Ok(socket) => {
                    let number = self.next_client;
                    self.next_client = number.wrapping_add(1);
                    if poller.add_edges(socket.as_fd(), Token::Client(number).to_number()).is_ok() {
                        self.clients.insert(number, socket);
                    }
                }
                Err(Errno::INTR | Errno::CONNABORTED) => {}
                Err(_) => {
                    // None left; or no descriptors, in which case the next caller makes us try again.
                    self.has_callers = false;
                    return;
                }
            }
        }
    }

    /// A client has said something. Gives its socket and the port it wants, once it is known.
    pub fn hear(&mut self, number: u32, poller: &Poller) -> Option<(OwnedFd, u32)> {
        let greeting = handshake::read(self.clients.get(&number)?.as_fd());
        if greeting == Greeting::Incomplete {
            return None;
        }
        let socket = self.clients.remove(&number)?;
        poller.remove(socket.as_fd());
        match greeting {
            Greeting::Connect(port) => Some((socket, port)),
            Greeting::Incomplete | Greeting::Invalid => None,
        }
    }
}
