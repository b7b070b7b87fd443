//! What the file systems ask of the rest of the kernel: FIFOs, device drivers, memory with images in it.

use crate::erofs::Image;
use alloc::boxed::Box;
use alloc::sync::Arc;
use ampoule_kbase::{Errno, File, Mutex, Once, OpenFile, Result};
use core::any::Any;

/// What is kept in a slot.
pub type Attachment = Arc<dyn Any + Send + Sync>;

/// The place in an inode where a FIFO's pipe, or the socket that is bound to a name, is attached.
#[derive(Default)]
pub struct Slot(Mutex<Option<Attachment>>);

impl Slot {
    /// An empty slot.
    pub const fn new() -> Self {
        Self(Mutex::new(None))
    }

    /// What is attached.
    pub fn get(&self) -> Option<Attachment> {
        self.0.lock().clone()
    }

    /// Attaches something, in place of what was there.
    pub fn set(&self, attachment: Attachment) {
        let old = self.0.lock().replace(attachment);
        drop(old);
    }

    /// Takes out what is attached.
    pub fn take(&self) -> Option<Attachment> {
        self.0.lock().take()
    }

    /// What is attached, or else what `make` makes; none if it is of another type.
    pub fn get_or_make<T: Any + Send + Sync>(&self, make: impl FnOnce() -> Arc<T>) -> Option<Arc<T>> {
        let attached = self.get();
        match attached {
            Some(attached) => attached.downcast().ok(),
            None => {
                let made = make();
                self.set(made.clone());
                Some(made)
            }
        }
    }
}

/// A special file that was opened.
pub struct SpecialFile {
    /// The file.
    pub file: Arc<dyn File>,
    /// Where the opening has to wait for another side (FIFOs): whether it is there now.
    pub complete: Option<Box<dyn Fn() -> bool + Send>>,
}

impl From<Arc<dyn File>> for SpecialFile {
    fn from(file: Arc<dyn File>) -> Self {
        Self { file, complete: None }
    }
}

/// The kernel's part of special files. In all of them `place` is the inode as a file: it answers for status and name.
#[expect(unused_variables, reason = "default methods")]
pub trait SpecialFiles: Sync {
    /// Opens a FIFO whose pipe is, or is to be put, in `slot`. `flags` are `O_*`.
    fn open_fifo(&self, slot: &Slot, flags: u32, place: &Arc<dyn File>) -> Result<SpecialFile>;
    /// Opens a character device that is not one of the memory devices; `ENXIO` if there is no driver.
    fn open_char_device(&self, device: u64, flags: u32, place: &Arc<dyn File>) -> Result<SpecialFile>;
    /// Opens a block device.
    fn open_block_device(&self, device: u64, flags: u32, place: &Arc<dyn File>) -> Result<SpecialFile> {
        Err(Errno::ENXIO)
    }
    /// Opens `/proc/PID/fd/N` where that is no file of a file system: a pipe can be opened again, a socket cannot.
    fn reopen(&self, open: &Arc<OpenFile>, flags: u32) -> Result<SpecialFile> {
        Err(Errno::ENXIO)
    }
    /// The image behind a block device, for `mount(2)` with type `erofs`.
    fn image(&self, device: u64) -> Result<Image> {
        Err(Errno::ENOTBLK)
    }
}

static SPECIAL: Once<&'static dyn SpecialFiles> = Once::new();

/// Installs the kernel's part; the first call wins.
pub fn install(special: &'static dyn SpecialFiles) -> bool {
    SPECIAL.set(special)
}

/// The kernel's part; `ENXIO` before it is installed.
pub(crate) fn special() -> Result<&'static dyn SpecialFiles> {
    SPECIAL.get().copied().ok_or(Errno::ENXIO)
}
