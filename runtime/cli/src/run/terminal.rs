//! The user's terminal while a guest's terminal drives it.

use rustix::termios::{OptionalActions, Termios, tcgetattr, tcsetattr};
use std::os::fd::OwnedFd;
use std::sync::Mutex;

/// How the terminal was, while it is raw.
static SAVED: Mutex<Option<(OwnedFd, Termios)>> = Mutex::new(None);

/// The terminal is raw as long as this lives, and is as it was afterwards, also after a panic.
pub struct RawMode(());

impl RawMode {
    /// Makes the terminal raw, if there is one: what is typed goes to the guest as it is, Ctrl-C included.
    pub fn enter(terminal: Option<&OwnedFd>) -> Option<Self> {
        let terminal = terminal?.try_clone().ok()?;
        let before = tcgetattr(&terminal).ok()?;
        let mut raw = before.clone();
        raw.make_raw();
        *SAVED.lock().ok()? = Some((terminal, before));
        let hook = std::panic::take_hook();
        std::panic::set_hook(Box::new(move |info| {
            restore();
            hook(info);
        }));
        let guard = Self(());
        if let Ok(saved) = SAVED.lock()
            && let Some((terminal, _)) = saved.as_ref()
        {
            tcsetattr(terminal, OptionalActions::Drain, &raw).ok()?;
        }
        Some(guard)
    }
}

impl Drop for RawMode {
    fn drop(&mut self) {
        restore();
    }
}

fn restore() {
    // A panic within `enter` holds the lock; the terminal was not changed yet then.
    if let Ok(mut saved) = SAVED.try_lock()
        && let Some((terminal, before)) = saved.take()
    {
        // There is nobody to tell if it fails.
        let _ = tcsetattr(&terminal, OptionalActions::Drain, &before);
    }
}
