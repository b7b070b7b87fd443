//! Controlling terminals and job control (`credentials(7)`, "Process groups and sessions").
//!
//! Which terminal a session has is kept here by session number. A process has its session's terminal; that one process of
//! a session gives it up (`TIOCNOTTY` by somebody else than the leader) is not remembered.

use super::pair::Pair;
use alloc::collections::BTreeMap;
use alloc::sync::{Arc, Weak};
use ampoule_kbase::{Errno, Mutex, Result, platform};
use linux_raw_sys::general::{SIGCONT, SIGHUP, SIGTTIN};

#[derive(Default)]
struct Session {
    terminal: Weak<Pair>,
    /// The foreground group of a terminal that has hung up, for when the leader exits.
    lost_foreground: Option<u32>,
}

static SESSIONS: Mutex<BTreeMap<u32, Session>> = Mutex::new(BTreeMap::new());

/// The controlling terminal of a session.
pub fn terminal_of(sid: u32) -> Option<Arc<Pair>> {
    let pair = SESSIONS.lock().get(&sid)?.terminal.upgrade()?;
    let controls = pair.state.lock().session == Some(sid);
    controls.then_some(pair)
}

/// Whether `pair` is the caller's controlling terminal.
pub fn controls_caller(pair: &Arc<Pair>) -> bool {
    terminal_of(platform().caller().sid).is_some_and(|terminal| Arc::ptr_eq(&terminal, pair))
}

/// Makes `pair` the controlling terminal of the caller's session.
fn set_terminal(pair: &Arc<Pair>) {
    let caller = platform().caller();
    {
        let mut state = pair.state.lock();
        state.session = Some(caller.sid);
        state.foreground = Some(caller.pgid);
    }
    let session = Session { terminal: Arc::downgrade(pair), lost_foreground: None };
    SESSIONS.lock().insert(caller.sid, session);
}

/// A session leader without a terminal gets the one that it opens.
pub fn acquire_by_opening(pair: &Arc<Pair>) {
    let caller = platform().caller();
    let leads = caller.pid == caller.sid;
    let taken = pair.state.lock().session.is_some();
    if leads && !taken && terminal_of(caller.sid).is_none() {
        set_terminal(pair);
    }
}

/// `TIOCSCTTY`; `steal`: even if another session has it, for root.
pub fn acquire(pair: &Arc<Pair>, steal: bool) -> Result<()> {
    let caller = platform().caller();
    let session = pair.state.lock().session;
    let leads = caller.pid == caller.sid;
    if leads && session == Some(caller.sid) {
        return Ok(());
    }
    if !leads || terminal_of(caller.sid).is_some() {
        return Err(Errno::EPERM);
    }
    if let Some(other) = session {
        if !steal || caller.fsuid != 0 {
            return Err(Errno::EPERM);
        }
        SESSIONS.lock().remove(&other);
    }
    set_terminal(pair);
    Ok(())
}

/// `TIOCNOTTY`.
pub fn give_up(pair: &Arc<Pair>) -> Result<()> {
    if !controls_caller(pair) {
        return Err(Errno::ENOTTY);
    }
    let caller = platform().caller();
    if caller.pid != caller.sid {
        return Ok(());
    }
    let foreground = {
        let mut state = pair.state.lock();
        state.session = None;
        state.foreground.take()
    };
    SESSIONS.lock().remove(&caller.sid);
    hang_up_group(foreground);
    Ok(())
}

fn hang_up_group(group: Option<u32>) {
    if let Some(group) = group {
        platform().signal_group(group, SIGHUP);
        platform().signal_group(group, SIGCONT);
    }
}

/// The terminal of session `sid` goes away; its foreground group hears of it when the leader exits.
pub fn lost_terminal(sid: u32, pair: &Pair) {
    let foreground = pair.state.lock().foreground;
    if let Some(session) = SESSIONS.lock().get_mut(&sid) {
        *session = Session { terminal: Weak::new(), lost_foreground: foreground };
    }
}

/// The leader of session `sid` has exited.
pub fn ended(sid: u32) {
    let Some(session) = SESSIONS.lock().remove(&sid) else { return };
    let Some(pair) = session.terminal.upgrade() else {
        return hang_up_group(session.lost_foreground);
    };
    let foreground = {
        let state = pair.state.lock();
        if state.session != Some(sid) {
            return;
        }
        state.foreground
    };
    pair.hang_up();
    hang_up_group(foreground);
}

/// Whether the caller may do what only the foreground may: a background group is sent `signal` and the call is to be
/// restarted; `EIO` where stopping it would be for ever, or (for SIGTTIN) where it does not want to be stopped.
pub fn check_foreground(pair: &Arc<Pair>, signal: u32) -> Result<()> {
    if !controls_caller(pair) {
        return Ok(());
    }
    let caller = platform().caller();
    let foreground = pair.state.lock().foreground;
    if foreground.is_none_or(|group| group == caller.pgid) {
        return Ok(());
    }
    if platform().caller_ignores(signal) {
        return if signal == SIGTTIN { Err(Errno::EIO) } else { Ok(()) };
    }
    if platform().group_is_orphaned(caller.pgid) {
        return Err(Errno::EIO);
    }
    platform().signal_group(caller.pgid, signal);
    Err(Errno::ERESTARTSYS)
}

/// `TIOCSPGRP`, the caller being allowed to change the terminal.
pub fn set_foreground(pair: &Arc<Pair>, group: i32) -> Result<()> {
    if !controls_caller(pair) {
        return Err(Errno::ENOTTY);
    }
    let group = u32::try_from(group).map_err(|_| Errno::EINVAL)?;
    let session = platform().group_session(group).ok_or(Errno::ESRCH)?;
    if session != platform().caller().sid {
        return Err(Errno::EPERM);
    }
    pair.state.lock().foreground = Some(group);
    Ok(())
}
