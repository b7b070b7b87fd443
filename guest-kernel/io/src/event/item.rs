//! One interest of an epoll instance: it sits in the wait queue of what it watches.

use super::epoll::{Epoll, EpollEvent};
use alloc::sync::{Arc, Weak};
use ampoule_kbase::{Events, File, Mutex, OpenFile, WaitId, Waiter};

/// `EPOLLET`.
pub const EDGE: u32 = 1 << 31;
/// `EPOLLONESHOT`.
pub const ONE_SHOT: u32 = 1 << 30;
/// `EPOLLWAKEUP`: without meaning on a machine that never sleeps.
pub const WAKE_UP: u32 = 1 << 29;
/// `EPOLLEXCLUSIVE`: only a hint, since waking more than one is allowed.
pub const EXCLUSIVE: u32 = 1 << 28;
/// Bits that say how to report, not what.
const HOW: u32 = EDGE | ONE_SHOT | WAKE_UP | EXCLUSIVE;

/// A descriptor number and the identity of its open file. An address is not used again while an item has a weak
/// reference to it.
pub type Key = (i32, usize);

/// The key of an interest.
pub fn key(fd: i32, open: &Arc<OpenFile>) -> Key {
    (fd, Arc::as_ptr(open).addr())
}

/// An interest.
pub struct Item {
    me: Weak<Self>,
    epoll: Weak<Epoll>,
    /// Its name in the epoll instance.
    pub key: Key,
    /// The open file; gone when its last descriptor is closed.
    pub open: Weak<OpenFile>,
    /// What is behind it, in whose queue this item is; may live longer.
    target: Weak<dyn File>,
    /// What is wanted, and how far it is.
    pub state: Mutex<ItemState>,
}

/// The changeable part.
pub struct ItemState {
    /// What the caller wants, and what it gets back.
    pub event: EpollEvent,
    /// It is in the ready list.
    pub queued: bool,
    /// A reported one-shot: silent until it is modified.
    pub spent: bool,
    wait: Option<WaitId>,
}

impl ItemState {
    /// The events that are reported.
    pub fn wanted(&self) -> Events {
        if self.spent {
            return Events::empty();
        }
        Events::from_bits_retain(self.event.events & !HOW) | Events::ERR | Events::HUP
    }
}

impl Item {
    /// An interest that does not watch yet.
    pub fn new(epoll: Weak<Epoll>, fd: i32, open: &Arc<OpenFile>, event: EpollEvent) -> Arc<Self> {
        let state = ItemState { event, queued: false, spent: false, wait: None };
        Arc::new_cyclic(|me| Self {
            me: me.clone(),
            epoll,
            key: key(fd, open),
            open: Arc::downgrade(open),
            target: Arc::downgrade(&open.file),
            state: Mutex::new(state),
        })
    }

    /// Enters the target's queue.
    pub fn watch(self: &Arc<Self>) {
        if let Some(file) = self.target.upgrade()
            && let Some(queue) = file.wait_queue()
        {
            let id = queue.add(self.clone());
            self.state.lock().wait = Some(id);
        }
    }

    /// Leaves the target's queue.
    pub fn unwatch(&self) {
        let Some(id) = self.state.lock().wait.take() else { return };
        if let Some(file) = self.target.upgrade()
            && let Some(queue) = file.wait_queue()
        {
            queue.remove(id);
        }
    }

    /// What is ready of what is wanted; none when the file is closed. No lock may be held: it asks the file.
    pub fn ready(&self) -> Option<Events> {
        let open = self.open.upgrade()?;
        let wanted = self.state.lock().wanted();
        Some(if wanted.is_empty() { wanted } else { open.file.poll() & wanted })
    }

    /// Whether the file is another epoll instance.
    pub fn inner_epoll(&self) -> Option<Arc<OpenFile>> {
        self.open.upgrade().filter(|open| Epoll::of(&*open.file).is_some())
    }
}

impl Waiter for Item {
    fn wake(&self, events: Events) {
        {
            let mut state = self.state.lock();
            if state.queued || (events & state.wanted()).is_empty() {
                return;
            }
            state.queued = true;
        }
        if let (Some(epoll), Some(item)) = (self.epoll.upgrade(), self.me.upgrade()) {
            epoll.enqueue(item);
        }
    }
}
