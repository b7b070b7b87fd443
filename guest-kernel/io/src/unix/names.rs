//! Where a name leads: paths through the kernel's file systems, abstract names through a table here.

use super::address::Address;
use super::endpoint::Endpoint;
use crate::socket::Kind;
use alloc::collections::BTreeMap;
use alloc::format;
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Mutex, Once, Result};
use core::sync::atomic::{AtomicU32, Ordering};

/// What a socket inode holds: the way to the socket that is bound to it. It outlives the socket.
pub struct Binding {
    endpoint: Weak<Endpoint>,
}

/// Path names of sockets, which the kernel looks up and makes in its file systems, for the calling process.
pub trait Names: Sync {
    /// Makes a socket inode at `path` that holds `binding`; `EADDRINUSE` where something exists.
    fn bind(&self, path: &[u8], binding: Arc<Binding>) -> Result<()>;
    /// What the inode at `path` holds: `ECONNREFUSED` if it is no socket, `EACCES` if the caller may not write to it.
    fn find(&self, path: &[u8]) -> Result<Arc<Binding>>;
}

static NAMES: Once<&'static dyn Names> = Once::new();

/// Gives sockets their path names, once, at start-up; the first call wins.
pub fn install_names(names: &'static dyn Names) -> bool {
    NAMES.set(names)
}

/// Sockets of different kinds may have the same abstract name.
type AbstractNames = BTreeMap<(u32, Vec<u8>), Weak<Endpoint>>;

static ABSTRACT: Mutex<AbstractNames> = Mutex::new(BTreeMap::new());

/// Names that [`bind_automatically`] can find: five hexadecimal digits.
const AUTOMATIC: u32 = 1 << 20;

fn paths() -> Result<&'static dyn Names> {
    NAMES.get().copied().ok_or(Errno::ENOENT)
}

/// Makes `address` lead to `socket`; `EADDRINUSE` if it leads elsewhere.
pub fn bind(address: &Address, socket: &Arc<Endpoint>) -> Result<()> {
    match address {
        Address::Path(path) => paths()?.bind(path, Arc::new(Binding { endpoint: Arc::downgrade(socket) })),
        Address::Abstract(name) => bind_abstract(name, socket),
    }
}

fn bind_abstract(name: &[u8], socket: &Arc<Endpoint>) -> Result<()> {
    let mut table = ABSTRACT.lock();
    let key = (socket.kind as u32, name.to_vec());
    if table.get(&key).is_some_and(|other| other.strong_count() > 0) {
        return Err(Errno::EADDRINUSE);
    }
    table.insert(key, Arc::downgrade(socket));
    Ok(())
}

/// Finds an abstract name that is free, and makes it lead to `socket`.
pub fn bind_automatically(socket: &Arc<Endpoint>) -> Result<Address> {
    static NEXT: AtomicU32 = AtomicU32::new(1);
    for _ in 0..AUTOMATIC {
        let number = NEXT.fetch_add(1, Ordering::Relaxed) % AUTOMATIC;
        let name = format!("{number:05x}").into_bytes();
        match bind_abstract(&name, socket) {
            Ok(()) => return Ok(Address::Abstract(name)),
            Err(Errno::EADDRINUSE) => {}
            Err(error) => return Err(error),
        }
    }
    Err(Errno::ENOSPC)
}

/// The socket of `kind` that `address` leads to: `ECONNREFUSED` if there is none any more, `EPROTOTYPE` if it is of
/// another kind.
pub fn find(address: &Address, kind: Kind) -> Result<Arc<Endpoint>> {
    let found = match address {
        Address::Path(path) => paths()?.find(path)?.endpoint.upgrade(),
        Address::Abstract(name) => ABSTRACT.lock().get(&(kind as u32, name.clone())).and_then(Weak::upgrade),
    };
    let socket = found.filter(|socket| !socket.state.lock().dead).ok_or(Errno::ECONNREFUSED)?;
    if socket.kind != kind { Err(Errno::EPROTOTYPE) } else { Ok(socket) }
}

/// A socket that had `address` is gone. Paths stay: their inodes are the file system's. So does a name that leads to another
/// socket: accepted connections have their listener's.
pub fn forget(address: &Address, socket: &Arc<Endpoint>) {
    if let Address::Abstract(name) = address {
        let mut table = ABSTRACT.lock();
        let key = (socket.kind as u32, name.clone());
        if table.get(&key).is_some_and(|bound| bound.as_ptr() == Arc::as_ptr(socket)) {
            table.remove(&key);
        }
    }
}
