//! Who is bound to which port.

use super::address::Address;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Mutex, Result, platform};
use core::net::IpAddr;

/// Ports for those who do not choose one (`/proc/sys/net/ipv4/ip_local_port_range`).
const AUTOMATIC: core::ops::Range<u16> = 32_768..61_000;
/// Ports below this one are root's (`/proc/sys/net/ipv4/ip_unprivileged_port_start`).
const UNPRIVILEGED: u16 = 1024;

/// What a socket claims, and is ready to share.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub struct Claim {
    /// The address; of all is the unspecified one.
    pub ip: IpAddr,
    /// `IPV6_V6ONLY`.
    pub v6_only: bool,
    /// `SO_REUSEADDR`.
    pub reuse_address: bool,
    /// `SO_REUSEPORT`.
    pub reuse_port: bool,
    /// Takes connections: nobody else comes there, except to share the port.
    pub listening: bool,
    /// Whose socket it is.
    pub uid: u32,
}

/// A socket that can be bound.
pub trait Bound {
    /// What it claims now. Locks its state.
    fn claim(&self) -> Claim;
}

/// The ports of a protocol.
pub struct Ports<T>(Mutex<BTreeMap<u16, Vec<Weak<T>>>>);

impl Claim {
    fn overlaps(&self, other: &Self) -> bool {
        let covers = |one: &Self, other: &Self| Address { ip: one.ip, port: 0 }.covers(other.ip, one.v6_only);
        covers(self, other) || covers(other, self)
    }

    /// Whether this may come to the port that `other` has.
    fn goes_with(&self, other: &Self) -> bool {
        let share_address = self.reuse_address && other.reuse_address && !other.listening;
        let share_port = self.reuse_port && other.reuse_port && self.uid == other.uid;
        share_address || share_port || !self.overlaps(other)
    }
}

impl<T: Bound> Ports<T> {
    /// Nobody has any.
    pub const fn new() -> Self {
        Self(Mutex::new(BTreeMap::new()))
    }

    /// Gives a socket the port that it wants, or with 0 one that is free. The caller's own state is not to be locked.
    pub fn take(&self, socket: &Arc<T>, claim: &Claim, port: u16) -> Result<u16> {
        if port == 0 {
            return self.take_any(socket, claim);
        }
        if port < UNPRIVILEGED && platform().caller().fsuid != 0 {
            return Err(Errno::EACCES);
        }
        if !self.may_have(socket, claim, port) {
            return Err(Errno::EADDRINUSE);
        }
        self.enter(socket, port);
        Ok(port)
    }

    fn take_any(&self, socket: &Arc<T>, claim: &Claim) -> Result<u16> {
        // A port that was chosen is not to be shared.
        let claim = Claim { reuse_address: false, reuse_port: false, ..*claim };
        let mut random = [0; 2];
        platform().random(&mut random);
        let first = u16::from_ne_bytes(random) % AUTOMATIC.len() as u16;
        let candidates =
            AUTOMATIC.map(|port| AUTOMATIC.start + (port - AUTOMATIC.start + first) % AUTOMATIC.len() as u16);
        for port in candidates {
            if self.may_have(socket, &claim, port) {
                self.enter(socket, port);
                return Ok(port);
            }
        }
        Err(Errno::EADDRINUSE)
    }

    /// Whether a socket may have a port, or go on having it, beside those who have it.
    pub fn may_have(&self, socket: &Arc<T>, claim: &Claim, port: u16) -> bool {
        self.at(port)
            .iter()
            .filter(|other| !Arc::ptr_eq(other, socket))
            .all(|other| claim.goes_with(&other.claim()))
    }

    fn enter(&self, socket: &Arc<T>, port: u16) {
        self.0.lock().entry(port).or_default().push(Arc::downgrade(socket));
    }

    /// A socket has no port any more.
    pub fn leave(&self, socket: &T, port: u16) {
        let mut ports = self.0.lock();
        if let Some(bound) = ports.get_mut(&port) {
            bound.retain(|other| other.strong_count() > 0 && !core::ptr::eq(other.as_ptr(), socket));
            if bound.is_empty() {
                ports.remove(&port);
            }
        }
    }

    /// Who has a port, the latest first.
    pub fn at(&self, port: u16) -> Vec<Arc<T>> {
        let ports = self.0.lock();
        ports.get(&port).into_iter().flatten().rev().filter_map(Weak::upgrade).collect()
    }
}

/// How well who is bound to `claim` is meant by `target`, more is better; none: not at all.
pub fn rank(claim: &Claim, target: IpAddr) -> Option<u32> {
    let address = Address { ip: claim.ip, port: 0 };
    let exact = claim.ip == target;
    let same_family = claim.ip.is_ipv4() == target.is_ipv4();
    address.covers(target, claim.v6_only).then(|| u32::from(exact) * 2 + u32::from(same_family))
}
