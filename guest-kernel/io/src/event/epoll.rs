//! `epoll(7)`.
//!
//! An instance has *items*, one for each pair of descriptor number and open file, and a *ready list* of those that may have
//! something to report. An [`Item`] puts itself on the list when its file's wait queue is woken; whether it really is ready is
//! asked of the file when events are handed out. Level-triggered items stay on the list until they turn out not to be ready.
//!
//! No lock is held while a file is asked, since that file may be another epoll instance. Such instances form no cycle and no
//! chain of more than [`MAX_NESTS`] links, so recursion is bounded.

use super::item::{EDGE, EXCLUSIVE, Item, Key, ONE_SHOT, WAKE_UP, key};
use crate::anon::{self, Device};
use alloc::collections::{BTreeMap, VecDeque};
use alloc::sync::{Arc, Weak};
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Events, File, Mutex, OpenFile, Result, Stat, WaitQueue};
use core::any::Any;

/// Links in a chain of instances that watch each other, as Linux has it.
const MAX_NESTS: usize = 4;
/// Items before it is worth looking for those whose file is closed.
const SWEEP_AT_FIRST: usize = 64;

/// `struct epoll_event`, unpacked.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct EpollEvent {
    /// `EPOLL*` bits.
    pub events: u32,
    /// The caller's own.
    pub data: u64,
}

#[derive(Default)]
pub(super) struct Interests {
    pub(super) items: BTreeMap<Key, Arc<Item>>,
    ready: VecDeque<Arc<Item>>,
    sweep_at: usize,
    /// Instances that watch this one.
    parents: Vec<Weak<Epoll>>,
}

/// An epoll instance.
pub struct Epoll {
    ino: u64,
    me: Weak<Self>,
    queue: WaitQueue,
    pub(super) state: Mutex<Interests>,
}

impl Epoll {
    /// One without interests.
    pub fn new() -> Arc<Self> {
        let state = Interests { sweep_at: SWEEP_AT_FIRST, ..Interests::default() };
        Arc::new_cyclic(|me| Self {
            ino: anon::next_ino(),
            me: me.clone(),
            queue: WaitQueue::new(),
            state: Mutex::new(state),
        })
    }

    /// The epoll instance behind a file, if it is one.
    pub fn of(file: &dyn File) -> Option<&Self> {
        file.as_any().downcast_ref()
    }

    /// `EPOLL_CTL_ADD`: `fd` is the number by which the caller knows `open`.
    pub fn add(&self, fd: i32, open: &Arc<OpenFile>, event: EpollEvent) -> Result<()> {
        if open.file.wait_queue().is_none() {
            return Err(Errno::EPERM);
        }
        let inner = Self::of(&*open.file);
        check_exclusive(event, inner.is_some())?;
        self.sweep();
        if self.state.lock().items.contains_key(&key(fd, open)) {
            return Err(Errno::EEXIST);
        }
        if let Some(inner) = inner {
            self.check_nesting(inner)?;
            inner.state.lock().parents.push(self.me.clone());
        }
        let item = Item::new(self.me.clone(), fd, open, event);
        self.state.lock().items.insert(key(fd, open), item.clone());
        item.watch();
        self.enqueue_if_ready(&item);
        Ok(())
    }

    /// `EPOLL_CTL_MOD`.
    pub fn modify(&self, fd: i32, open: &Arc<OpenFile>, event: EpollEvent) -> Result<()> {
        let item = self.state.lock().items.get(&key(fd, open)).cloned().ok_or(Errno::ENOENT)?;
        {
            let mut state = item.state.lock();
            if (event.events | state.event.events) & EXCLUSIVE != 0 {
                return Err(Errno::EINVAL);
            }
            (state.event, state.spent) = (event, false);
        }
        self.enqueue_if_ready(&item);
        Ok(())
    }

    /// `EPOLL_CTL_DEL`.
    pub fn remove(&self, fd: i32, open: &Arc<OpenFile>) -> Result<()> {
        let item = {
            let mut state = self.state.lock();
            let item = state.items.remove(&key(fd, open)).ok_or(Errno::ENOENT)?;
            state.ready.retain(|other| !Arc::ptr_eq(other, &item));
            item
        };
        item.unwatch();
        if let Some(inner) = Self::of(&*open.file) {
            inner.forget_parent(&self.me);
        }
        Ok(())
    }

    /// Hands out up to `limit` ready events, without waiting, and returns how many. An event that `each` fails on stays
    /// ready; the error is returned when it was the first.
    pub fn wait(&self, limit: usize, each: &mut dyn FnMut(EpollEvent) -> Result<()>) -> Result<usize> {
        let mut batch = core::mem::take(&mut self.state.lock().ready);
        let mut again = VecDeque::new();
        let mut count = 0;
        let mut failure = None;
        while count < limit
            && let Some(item) = batch.pop_front()
        {
            item.state.lock().queued = false;
            let Some(ready) = item.ready() else {
                self.drop_item(&item);
                continue;
            };
            if ready.is_empty() {
                continue;
            }
            let event = item.state.lock().event;
            if let Err(error) = each(EpollEvent { events: ready.bits(), ..event }) {
                item.state.lock().queued = true;
                batch.push_front(item);
                failure = Some(error);
                break;
            }
            count += 1;
            if after_report(&item) {
                again.push_back(item);
            }
        }
        self.put_back(batch, again);
        match failure {
            Some(error) if count == 0 => Err(error),
            _ => Ok(count),
        }
    }

    /// What was not looked at goes to the front of the ready list, behind it what became ready meanwhile, then what
    /// stays ready.
    fn put_back(&self, mut first: VecDeque<Arc<Item>>, mut last: VecDeque<Arc<Item>>) {
        let mut state = self.state.lock();
        first.append(&mut state.ready);
        first.append(&mut last);
        state.ready = first;
    }

    /// Puts an item that has marked itself as queued on the ready list.
    pub(super) fn enqueue(&self, item: Arc<Item>) {
        self.state.lock().ready.push_back(item);
        self.queue.wake(Events::IN | Events::RDNORM);
    }

    fn enqueue_if_ready(&self, item: &Arc<Item>) {
        if item.ready().is_none_or(|events| events.is_empty()) {
            return;
        }
        if core::mem::replace(&mut item.state.lock().queued, true) {
            return;
        }
        self.enqueue(item.clone());
    }

    /// Takes out an item whose file is closed.
    fn drop_item(&self, item: &Item) {
        self.state.lock().items.remove(&item.key);
        item.unwatch();
    }

    /// Takes out the items of closed files, when there may be many of them.
    fn sweep(&self) {
        let gone: Vec<_> = {
            let mut state = self.state.lock();
            if state.items.len() < state.sweep_at {
                return;
            }
            let closed = |item: &Arc<Item>| item.open.strong_count() == 0;
            state.ready.retain(|item| !closed(item));
            let gone = state.items.extract_if(.., |_, item| closed(item)).map(|(_, item)| item).collect();
            state.sweep_at = (2 * state.items.len()).max(SWEEP_AT_FIRST);
            gone
        };
        gone.iter().for_each(|item| item.unwatch());
    }

    /// `ELOOP` if watching `inner` would close a circle, or make too long a chain.
    fn check_nesting(&self, inner: &Self) -> Result<()> {
        if core::ptr::eq(self, inner) {
            return Err(Errno::EINVAL);
        }
        let below = inner.depth_below(self, MAX_NESTS)?;
        if below + 1 + self.depth_above(MAX_NESTS)? > MAX_NESTS { Err(Errno::ELOOP) } else { Ok(()) }
    }

    /// Links in the longest chain from this instance down; `ELOOP` if it leads to `origin` or is longer than `limit`.
    fn depth_below(&self, origin: &Self, limit: usize) -> Result<usize> {
        if core::ptr::eq(self, origin) {
            return Err(Errno::ELOOP);
        }
        let inner: Vec<_> = self.state.lock().items.values().filter_map(|item| item.inner_epoll()).collect();
        let mut depth = 0;
        for open in &inner {
            let epoll = Self::of(&*open.file).ok_or(Errno::EINVAL)?;
            let limit = limit.checked_sub(1).ok_or(Errno::ELOOP)?;
            depth = depth.max(1 + epoll.depth_below(origin, limit)?);
        }
        Ok(depth)
    }

    /// Links in the longest chain up from this instance.
    fn depth_above(&self, limit: usize) -> Result<usize> {
        let parents: Vec<_> = {
            let mut state = self.state.lock();
            state.parents.retain(|parent| parent.strong_count() > 0);
            state.parents.iter().filter_map(Weak::upgrade).collect()
        };
        let mut depth = 0;
        for parent in &parents {
            let limit = limit.checked_sub(1).ok_or(Errno::ELOOP)?;
            depth = depth.max(1 + parent.depth_above(limit)?);
        }
        Ok(depth)
    }

    fn forget_parent(&self, parent: &Weak<Self>) {
        let mut state = self.state.lock();
        if let Some(at) = state.parents.iter().position(|other| other.ptr_eq(parent)) {
            state.parents.swap_remove(at);
        }
    }
}

fn check_exclusive(event: EpollEvent, nested: bool) -> Result<()> {
    let with_it = (Events::IN | Events::OUT | Events::ERR | Events::HUP).bits() | EDGE | WAKE_UP | EXCLUSIVE;
    if event.events & EXCLUSIVE != 0 && (nested || event.events & !with_it != 0) {
        return Err(Errno::EINVAL);
    }
    Ok(())
}

/// Whether an item that was reported goes on being ready.
fn after_report(item: &Item) -> bool {
    let mut state = item.state.lock();
    if state.event.events & ONE_SHOT != 0 {
        state.spent = true;
        return false;
    }
    if state.event.events & EDGE != 0 || state.queued {
        return false;
    }
    state.queued = true;
    true
}

impl File for Epoll {
    fn poll(&self) -> Events {
        // Those that turn out not to be ready leave the list, as in `wait`.
        let mut batch = core::mem::take(&mut self.state.lock().ready);
        let mut ready = false;
        while !ready && let Some(item) = batch.pop_front() {
            item.state.lock().queued = false;
            ready = item.ready().is_some_and(|events| !events.is_empty());
            if ready && !core::mem::replace(&mut item.state.lock().queued, true) {
                batch.push_front(item);
            }
        }
        self.put_back(batch, VecDeque::new());
        if ready { Events::IN | Events::RDNORM } else { Events::empty() }
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        Some(&self.queue)
    }

    fn stat(&self) -> Result<Stat> {
        Ok(anon::stat(Device::Anonymous, self.ino, None, 0o600))
    }

    fn proc_name(&self) -> Vec<u8> {
        b"anon_inode:[eventpoll]".to_vec()
    }

    fn as_any(&self) -> &dyn Any {
        self
    }
}

impl Drop for Epoll {
    fn drop(&mut self) {
        let items = core::mem::take(&mut self.state.lock().items);
        items.into_values().for_each(|item| item.unwatch());
    }
}
