//! What connects the file systems with the rest: FIFOs, terminals and the console behind device numbers, path names of
//! sockets, signals behind `signalfd`.

use crate::signal::{self, SI_TIMER, SignalInfo};
use crate::syscall::handle;
use crate::task::{current, sched};
use alloc::boxed::Box;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{
    Errno, Events, File, FileType, OpenFile, Result, Sink, Source, Stat, UserMemory, WaitQueue,
};
use ampoule_kfs::dev::{self, pts_number, split_device_number};
use ampoule_kfs::special::SpecialFile;
use ampoule_kfs::vfs::{Access, Credentials, Follow};
use ampoule_kfs::{Slot, SpecialFiles};
use ampoule_kio::console::Console;
use ampoule_kio::event::{self, Signals};
use ampoule_kio::pipe::{Fifo, Opening, PipeEnd};
use ampoule_kio::tty;
use ampoule_kio::unix::{self, Binding, Names};
use core::any::Any;
use linux_raw_sys::ioctl::TIOCGPTN;

struct Kernel;

/// Makes it all known. Called once, before the first program runs.
pub fn install() {
    ampoule_kfs::install(&Kernel);
    unix::install_names(&Kernel);
    event::install_signals(&Kernel);
}

fn opened(opening: Opening) -> SpecialFile {
    let file = opening.file();
    if opening.is_complete() {
        return file.into();
    }
    SpecialFile { file, complete: Some(Box::new(move || opening.is_complete())) }
}

impl SpecialFiles for Kernel {
    fn open_fifo(&self, slot: &Slot, flags: u32, _place: &Arc<dyn File>) -> Result<SpecialFile> {
        let fifo = slot.get_or_make(Fifo::new).ok_or(Errno::ENXIO)?;
        Ok(opened(fifo.open(flags)?))
    }

    fn open_char_device(&self, device: u64, flags: u32, _place: &Arc<dyn File>) -> Result<SpecialFile> {
        let file = match split_device_number(device) {
            (5, 0) => tty::open_controlling(flags)?,
            (5, 1) => Console::new(),
            (5, 2) => Master::open(flags)?,
            _ => tty::open_slave(pts_number(device)?, flags)?,
        };
        Ok(file.into())
    }

    fn reopen(&self, open: &Arc<OpenFile>, flags: u32) -> Result<SpecialFile> {
        match PipeEnd::of(&*open.file) {
            Some(end) => Ok(opened(end.reopen(flags)?)),
            None => Err(Errno::ENXIO),
        }
    }
}

/// The master of a pseudo-terminal: while it is open, the slave is in `/dev/pts`.
struct Master {
    file: Arc<dyn File>,
    number: u32,
}

impl Master {
    fn open(flags: u32) -> Result<Arc<dyn File>> {
        let file = tty::open_master(flags)?;
        let number = handle::ask(&*file, TIOCGPTN)?;
        let slave = tty::slave_stat(number)?;
        dev::add_pts(number, slave.uid, slave.gid, slave.mode & 0o777)?;
        Ok(Arc::new(Self { file, number }))
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        dev::remove_pts(self.number);
    }
}

impl File for Master {
    fn read(&self, offset: u64, sink: &mut dyn Sink) -> Result<usize> {
        self.file.read(offset, sink)
    }

    fn write(&self, offset: u64, source: &mut dyn Source) -> Result<usize> {
        self.file.write(offset, source)
    }

    fn poll(&self) -> Events {
        self.file.poll()
    }

    fn wait_queue(&self) -> Option<&WaitQueue> {
        self.file.wait_queue()
    }

    fn ioctl(&self, command: u32, argument: u64, memory: &dyn UserMemory) -> Result<u64> {
        self.file.ioctl(command, argument, memory)
    }

    fn stat(&self) -> Result<Stat> {
        self.file.stat()
    }

    fn set_status_flags(&self, flags: u32) {
        self.file.set_status_flags(flags);
    }

    fn proc_name(&self) -> Vec<u8> {
        self.file.proc_name()
    }

    /// What it stands for, so that its slave can be opened by it.
    fn as_any(&self) -> &dyn Any {
        self.file.as_any()
    }
}

impl Names for Kernel {
    fn bind(&self, path: &[u8], binding: Arc<Binding>) -> Result<()> {
        let context = handle::context();
        let mode = FileType::Socket as u32 | 0o777;
        let place = context.mknod(&context.cwd, path, mode, 0).map_err(|error| match error {
            Errno::EEXIST => Errno::EADDRINUSE,
            error => error,
        })?;
        place.inode().slot().ok_or(Errno::EPERM)?.set(binding);
        Ok(())
    }

    fn find(&self, path: &[u8]) -> Result<Arc<Binding>> {
        let context = handle::context();
        let place = context.resolve(&context.cwd, path, Follow::Last)?;
        Credentials::current().check(&place.attributes(), Access::WRITE)?;
        let attached = place.inode().slot().and_then(Slot::get).ok_or(Errno::ECONNREFUSED)?;
        attached.downcast().map_err(|_| Errno::ECONNREFUSED)
    }
}

impl Signals for Kernel {
    fn pending(&self, mask: u64) -> bool {
        sched::try_current().is_some_and(|this| {
            let own = this.signals.lock().pending.set();
            (own | this.process.pending.lock().set()) & mask != 0
        })
    }

    fn dequeue(&self, mask: u64) -> Option<event::SignalInfo> {
        let this = current();
        let own = this.signals.lock().pending.take(mask);
        let info = signal::take_shared(this, own, mask)?;
        Some(signalfd_record(&info))
    }
}

/// `struct signalfd_siginfo`.
fn signalfd_record(info: &SignalInfo) -> event::SignalInfo {
    let [first, second, third, _] = info.fields;
    let mut record = [0; 128];
    let mut put = |at: usize, bytes: &[u8]| record[at..at + bytes.len()].copy_from_slice(bytes);
    put(0, &info.signo.to_ne_bytes());
    put(4, &info.errno.to_ne_bytes());
    put(8, &info.code.to_ne_bytes());
    match info.code {
        SI_TIMER => {
            put(24, &(first as u32).to_ne_bytes());
            put(32, &((first >> 32) as u32).to_ne_bytes());
            put(44, &(second as u32).to_ne_bytes());
            put(48, &second.to_ne_bytes());
        }
        _ => {
            put(12, &(first as u32).to_ne_bytes());
            put(16, &((first >> 32) as u32).to_ne_bytes());
            // A child's status, or the value of `sigqueue`.
            if info.signo == linux_raw_sys::general::SIGCHLD && info.code > 0 {
                put(40, &(second as u32).to_ne_bytes());
                put(56, &third.to_ne_bytes());
            } else {
                put(44, &(second as u32).to_ne_bytes());
                put(48, &second.to_ne_bytes());
            }
        }
    }
    record
}
