//! Files on their way in or out.

use crate::connection::Connection;
use crate::fs::make_parents;
use crate::{Fatal, errno_number};
use alloc::format;
use alloc::string::String;
use alloc::vec::Vec;
use ampoule_protocol::{
    FileDone, FileFailed, FileId, FileStep, GetFile, GuestMessage, MAX_DATA, PutFile, ReceiveWindow,
    SendWindow, Stream, Text,
};
use rustix::fd::OwnedFd;
use rustix::fs::{AtFlags, CWD, FileType, Mode, OFlags, fchmod, fstat, openat, renameat, unlinkat};
use rustix::io::{Errno, read, write};

/// Attempts at a temporary name that nobody has.
const ATTEMPTS: u32 = 16;

/// A failed transfer: the step, the errno, a clause for people.
pub struct Failure(FileStep, Errno, &'static str);

impl Failure {
    fn at(step: FileStep) -> impl FnOnce(Errno) -> Self {
        move |errno| Self(step, errno, "")
    }

    /// The report.
    pub fn report(&self, file: FileId) -> GuestMessage {
        let errno = if self.2.is_empty() { errno_number(self.1) } else { 0 };
        GuestMessage::FileFailed(FileFailed { file, step: self.0, errno, message: Text::new(self.2) })
    }

    /// A request that is not even tried.
    pub const fn refused(reason: &'static str) -> Self {
        Self(FileStep::Accept, Errno::INVAL, reason)
    }

    /// The host gave up.
    pub const fn closed() -> Self {
        Self(FileStep::Closed, Errno::CANCELED, "the host closed the stream")
    }
}

/// A transfer.
#[derive(Debug)]
pub enum Transfer {
    /// To the guest.
    Put(Put),
    /// To the host.
    Get(Get),
}

/// A file that is being written, under a temporary name until it is complete.
#[derive(Debug)]
pub struct Put {
    fd: OwnedFd,
    path: Vec<u8>,
    temporary: Vec<u8>,
    mode: u16,
    bytes: u64,
    window: ReceiveWindow,
    renamed: bool,
}

impl Put {
    /// Creates the temporary file beside the final one.
    pub fn begin(put: &PutFile) -> Result<Self, Failure> {
        let path = put.path.as_bytes();
        if !path.starts_with(b"/") || path.ends_with(b"/") {
            return Err(Failure::refused("the path is not that of a file from the root"));
        }
        make_parents(path).map_err(Failure::at(FileStep::Parents))?;
        let directory = path.iter().rposition(|&byte| byte == b'/').and_then(|at| path.get(..=at));
        let (fd, temporary) =
            create_temporary(directory.unwrap_or(b"/"), put.file).map_err(Failure::at(FileStep::Open))?;
        let window = ReceiveWindow::new(Stream::File(put.file));
        let mode = put.mode & 0o7777;
        Ok(Self { fd, path: path.into(), temporary, mode, bytes: 0, window, renamed: false })
    }

    /// Writes a piece. The outer error is the host's, the inner one the file's.
    pub fn data(
        &mut self,
        file: FileId,
        bytes: &[u8],
        host: &mut Connection,
    ) -> Result<Result<(), Failure>, Fatal> {
        self.window.receive(bytes.len())?;
        if let Err(errno) = write_all(&self.fd, bytes) {
            return Ok(Err(Failure(FileStep::Write, errno, "")));
        }
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or_default());
        if let Some(grant) = self.window.consume(bytes.len()) {
            host.say(&GuestMessage::Credit { stream: Stream::File(file), bytes: grant.get() })?;
        }
        Ok(Ok(()))
    }

    /// Gives the complete file its mode and name.
    pub fn finish(mut self, file: FileId) -> Result<FileDone, Failure> {
        fchmod(&self.fd, Mode::from_raw_mode(self.mode.into())).map_err(Failure::at(FileStep::Commit))?;
        renameat(CWD, self.temporary.as_slice(), CWD, self.path.as_slice())
            .map_err(Failure::at(FileStep::Commit))?;
        self.renamed = true;
        Ok(FileDone { file, bytes: self.bytes, mode: self.mode })
    }
}

impl Drop for Put {
    fn drop(&mut self) {
        if !self.renamed {
            // It may be gone already: whoever runs in the guest may do with it what they like.
            let _gone = unlinkat(CWD, self.temporary.as_slice(), AtFlags::empty());
        }
    }
}

fn create_temporary(directory: &[u8], file: FileId) -> Result<(OwnedFd, Vec<u8>), Errno> {
    let flags = OFlags::WRONLY | OFlags::CREATE | OFlags::EXCL | OFlags::NOFOLLOW | OFlags::CLOEXEC;
    let mut result = Err(Errno::EXIST);
    for attempt in 0..ATTEMPTS {
        let name: String = format!(".ampoule-{}-{attempt}", file.get());
        let path = [directory, name.as_bytes()].concat();
        result = openat(CWD, path.as_slice(), flags, Mode::from_raw_mode(0o600)).map(|fd| (fd, path));
        if !matches!(result, Err(Errno::EXIST)) {
            break;
        }
    }
    result
}

fn write_all(fd: &OwnedFd, mut bytes: &[u8]) -> Result<(), Errno> {
    while !bytes.is_empty() {
        match write(fd, bytes) {
            Ok(0) => return Err(Errno::IO),
            Ok(len) => bytes = bytes.get(len..).unwrap_or_default(),
            Err(Errno::INTR) => {}
            Err(error) => return Err(error),
        }
    }
    Ok(())
}

/// A file that is being read.
#[derive(Debug)]
pub struct Get {
    file: FileId,
    fd: OwnedFd,
    mode: u16,
    bytes: u64,
    window: SendWindow,
}

impl Get {
    /// Opens the file.
    pub fn begin(get: &GetFile) -> Result<Self, Failure> {
        if !get.path.starts_with(b"/") {
            return Err(Failure::refused("the path is not from the root"));
        }
        // Not to wait for the other end of a fifo.
        let flags = OFlags::RDONLY | OFlags::NONBLOCK | OFlags::NOCTTY | OFlags::CLOEXEC;
        let fd =
            openat(CWD, get.path.as_bytes(), flags, Mode::empty()).map_err(Failure::at(FileStep::Open))?;
        let stat = fstat(&fd).map_err(Failure::at(FileStep::Open))?;
        if FileType::from_raw_mode(stat.st_mode) != FileType::RegularFile {
            return Err(Failure(FileStep::Open, Errno::INVAL, "not a regular file"));
        }
        if u64::try_from(stat.st_size).unwrap_or_default() > get.limit {
            return Err(Failure(FileStep::Open, Errno::FBIG, ""));
        }
        let mode = u16::try_from(stat.st_mode & 0o7777).unwrap_or_default();
        Ok(Self { file: get.file, fd, mode, bytes: 0, window: SendWindow::new(Stream::File(get.file)) })
    }

    /// The host grants credit.
    pub fn grant(&mut self, bytes: u32) -> Result<(), Fatal> {
        Ok(self.window.grant(bytes)?)
    }

    /// Whether it can go on.
    pub const fn is_ready(&self) -> bool {
        self.window.available() > 0
    }

    /// Sends a piece. `Some` is the end of the transfer, either way.
    pub fn pump(&mut self, scratch: &mut [u8], host: &mut Connection) -> Result<Option<GuestMessage>, Fatal> {
        let room = self.window.available().min(MAX_DATA).min(scratch.len());
        let bytes = match read(&self.fd, scratch.get_mut(..room).unwrap_or_default()) {
            Ok(0) => {
                let done = FileDone { file: self.file, bytes: self.bytes, mode: self.mode };
                return Ok(Some(GuestMessage::FileDone(done)));
            }
            Ok(len) => scratch.get(..len).unwrap_or_default(),
            Err(Errno::INTR) => return Ok(None),
            Err(errno) => return Ok(Some(Failure(FileStep::Read, errno, "").report(self.file))),
        };
        self.window.spend(bytes.len())?;
        self.bytes = self.bytes.saturating_add(u64::try_from(bytes.len()).unwrap_or_default());
        host.data(Stream::File(self.file), bytes)?;
        Ok(None)
    }
}
