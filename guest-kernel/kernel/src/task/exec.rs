//! `execve(2)`: a new program in the current process.

use super::credentials::Credentials;
use super::elf::{Executable, Loaded, read_at};
use super::files::FileTable;
use super::limits::resource;
use super::process::{Process, Program};
use super::{current, sched};
use crate::arch::context::{self, ExtendedState};
use crate::arch::trap::TrapFrame;
use crate::mm::{AddressSpace, Backing, MapRequest, PAGE, Placement, Protection, USER_END};
use crate::signal::AlternateStack;
use alloc::sync::Arc;
use alloc::vec::Vec;
use ampoule_kbase::{Errno, Frame, Mutex, OpenFile, Result, frames, platform};
use ampoule_kfs::vfs::WritersDenied;
use core::sync::atomic::Ordering;

/// Arguments and environment together, at most; as Linux with the default stack limit.
pub const MAX_ARGUMENTS: usize = 2 << 20;
/// A single string, at most (`MAX_ARG_STRLEN`).
pub const MAX_STRING: usize = 128 << 10;
/// `#!` lines that lead to one another, at most.
const MAX_SCRIPTS: usize = 4;
/// The longest `#!` line (`BINPRM_BUF_SIZE`).
const HEAD: usize = 256;
/// Where position-independent programs go.
const PROGRAM_BASE: u64 = 0x5555_5555_4000;
/// Between the stack and the mappings below it.
const STACK_GUARD: u64 = 1 << 20;
const MAX_STACK: u64 = 64 << 20;

/// A program to run.
pub struct Request {
    /// The opened file.
    pub file: Arc<OpenFile>,
    /// The path by which it was named: scripts get it as an argument.
    pub path: Vec<u8>,
    /// Arguments.
    pub argv: Vec<Vec<u8>>,
    /// Environment.
    pub envp: Vec<Vec<u8>>,
}

/// Runs a program in the current thread. On success the frame is that of the new program.
pub fn execute(frame: &mut TrapFrame, request: Request) -> Result<()> {
    let this = current();
    let image = Image::build_for(&this.process, request)?;
    end_other_threads()?;
    let mut files = this.process.files().lock().copy()?;
    files.close_on_exec();
    if this.tid() != this.process.pid {
        this.handle().become_first();
    }
    let process = &this.process;
    let old = core::mem::replace(&mut *process.memory.lock(), Arc::new(Mutex::new(image.space)));
    sched::use_space(this.memory());
    drop(old);
    become_program(process, image.program, files, image.set_ids);
    process.vfork_done.store(true, Ordering::Relaxed);
    process.released.wake(sched::ANY);
    let mut signals = this.signals.lock();
    signals.alternate = AlternateStack::default();
    drop(signals);
    this.clear_child_tid.store(0, Ordering::Relaxed);
    this.robust_list.store(0, Ordering::Relaxed);
    *frame = TrapFrame::for_program(image.entry, image.stack_pointer);
    fresh_registers();
    Ok(())
}

/// Loads the first program into a process that has no thread yet; the frame that its thread starts from.
pub fn load_first(process: &Arc<Process>, request: Request) -> Result<TrapFrame> {
    let image = Image::build_for(process, request)?;
    *process.memory.lock() = Arc::new(Mutex::new(image.space));
    *process.program.lock() = image.program;
    Ok(TrapFrame::for_program(image.entry, image.stack_pointer))
}

/// What a fresh program finds in the extended state and the segment bases.
fn fresh_registers() {
    let mut state = ExtendedState::zeroed();
    context::initial_extended(&mut state);
    // SAFETY: the state is the initial one, in an aligned box that is large enough.
    unsafe { context::load_extended(&*state) };
    context::set_fs_base(0);
    context::set_gs_base(0);
}

/// Other threads end before the program is replaced.
fn end_other_threads() -> Result<()> {
    let this = current();
    loop {
        let others: Vec<_> =
            this.process.threads.lock().iter().filter(|t| t.tid() != this.tid()).cloned().collect();
        if others.is_empty() {
            return Ok(());
        }
        if this.killed.load(Ordering::Relaxed) {
            return Err(Errno::EINTR);
        }
        others.iter().for_each(|other| super::exit::kill_thread(other));
        drop(others);
        sched::sleep_on(&this.process.released);
    }
}

fn become_program(
    process: &Arc<Process>,
    program: Program,
    files: FileTable,
    set_ids: (Option<u32>, Option<u32>),
) {
    *process.program.lock() = program;
    process.has_executed.store(true, Ordering::Relaxed);
    let actions = process.actions.lock().clone();
    // Shared actions (after `vfork` with CLONE_SIGHAND) stay as they are for the other process.
    let mut own = actions.lock().clone();
    own.executed();
    *process.actions.lock() = Arc::new(Mutex::new(own));
    let old = core::mem::replace(&mut *process.files.lock(), Arc::new(Mutex::new(files)));
    crate::syscall::locks::closed_on_exec(process.pid, &old);
    drop(old);
    let mut credentials = process.credentials.lock();
    let (uid, gid) = set_ids;
    if !process.no_new_privileges.load(Ordering::Relaxed) {
        credentials.euid = uid.unwrap_or(credentials.euid);
        credentials.egid = gid.unwrap_or(credentials.egid);
    }
    credentials.executed();
}

/// A program in its new address space, ready to be taken over.
struct Image {
    space: AddressSpace,
    entry: u64,
    stack_pointer: u64,
    program: Program,
    set_ids: (Option<u32>, Option<u32>),
}

impl Image {
    fn build_for(process: &Process, request: Request) -> Result<Self> {
        let name = request.path.clone();
        let (request, executable, writers) = resolve_scripts(request)?;
        let limits = *process.limits.lock();
        let credentials = process.credentials.lock().clone();
        let mut space = AddressSpace::new()?;
        space.size_limit = limits.soft(resource::AS);
        space.data_limit = limits.soft(resource::DATA);
        let stack_size = (limits.soft(resource::STACK).min(MAX_STACK) & !(PAGE - 1)).max(32 * PAGE);
        space.set_mmap_top(USER_END - stack_size - STACK_GUARD);
        let loaded = executable.load(&mut space, PROGRAM_BASE)?;
        space.set_heap(loaded.end);
        let interpreter = match &executable.interpreter {
            Some(path) => Some(load_interpreter(&mut space, path)?),
            None => None,
        };
        let entry = interpreter.as_ref().map_or(loaded.entry, |interpreter| interpreter.entry);
        if entry >= USER_END {
            return Err(Errno::ENOEXEC);
        }
        map_stack(&mut space, stack_size, executable.executable_stack)?;
        let stat = request.file.file.stat()?;
        let set_uid = (stat.mode & 0o4000 != 0).then_some(stat.uid);
        let set_gid = (stat.mode & 0o2010 == 0o2010).then_some(stat.gid);
        let secure = set_uid.is_some() || set_gid.is_some();
        let base = interpreter.map_or(0, |i| i.base);
        let stack = Stack { request: &request, name: &name, loaded: &loaded, base, secure, credentials };
        let (stack_pointer, auxiliary) = stack.write(&mut space)?;
        space.layout.code = loaded.code;
        let base_name = name.rsplit(|byte| *byte == b'/').next().unwrap_or(&[]);
        let program = Program {
            name: base_name[..base_name.len().min(15)].to_vec(),
            writers,
            file: Some(request.file),
            auxiliary,
        };
        Ok(Self { space, entry, stack_pointer, program, set_ids: (set_uid, set_gid) })
    }
}

/// Follows `#!` lines to an executable, with the arguments that they add.
fn resolve_scripts(mut request: Request) -> Result<(Request, Executable, Option<Arc<WritersDenied>>)> {
    for _ in 0..=MAX_SCRIPTS {
        let writers = match ampoule_kfs::location(&request.file) {
            Some(location) => Some(Arc::new(location.deny_writers()?)),
            None => None,
        };
        let mut head = [0; HEAD];
        let length = read_at(&*request.file.file, 0, &mut head)?;
        let head = &head[..length];
        let Some(line) = head.strip_prefix(b"#!") else {
            let executable = Executable::parse(request.file.file.clone(), head)?;
            return Ok((request, executable, writers));
        };
        let line = match line.iter().position(|byte| *byte == b'\n') {
            Some(end) => &line[..end],
            None if length < HEAD => line,
            None => return Err(Errno::ENOEXEC),
        };
        let line = line.trim_ascii();
        let (interpreter, argument) = match line.iter().position(|byte| matches!(byte, b' ' | b'\t')) {
            Some(at) => (&line[..at], line[at..].trim_ascii_start()),
            None => (line, &line[..0]),
        };
        if interpreter.is_empty() {
            return Err(Errno::ENOEXEC);
        }
        let mut argv = alloc::vec![interpreter.to_vec()];
        if !argument.is_empty() {
            argv.push(argument.to_vec());
        }
        argv.push(request.path.clone());
        argv.extend(request.argv.drain(..).skip(1));
        request.argv = argv;
        request.file = open_interpreter(interpreter)?;
        request.path = interpreter.to_vec();
    }
    Err(Errno::ELOOP)
}

/// Opens what a `#!` line or a program header names: in the current process's file system, or for the first program in
/// the root.
fn open_interpreter(path: &[u8]) -> Result<Arc<OpenFile>> {
    if sched::try_current().is_some() {
        return crate::syscall::path::open_program(path);
    }
    let context = crate::boot::first_context().lock().clone();
    Ok(context.open(&context.root, path, 0, 0)?.file)
}

fn load_interpreter(space: &mut AddressSpace, path: &[u8]) -> Result<Loaded> {
    let file = open_interpreter(path)?;
    let mut head = [0; 64];
    let length = read_at(&*file.file, 0, &mut head)?;
    let executable = Executable::parse(file.file.clone(), &head[..length]).map_err(|_| Errno::ENOEXEC)?;
    executable.load(space, 0)
}

fn map_stack(space: &mut AddressSpace, size: u64, executable: bool) -> Result<()> {
    let mut protection = Protection::READ | Protection::WRITE;
    protection.set(Protection::EXECUTE, executable);
    space.map(MapRequest {
        placement: Placement::Fixed(USER_END - size),
        length: size,
        protection,
        shared: false,
        may_write: true,
        backing: Backing::Anonymous,
        label: "[stack]",
        populate: false,
    })?;
    Ok(())
}

/// Words on the initial stack beside those of arguments and environment: the auxiliary vector and the ends of lists. Also more
/// than the bytes of the strings that the kernel adds.
const MOST_WORDS: usize = 64;

/// The initial stack (System V ABI, 3.4.1): from the top the strings, then the auxiliary vector, environment and arguments.
struct Stack<'a> {
    request: &'a Request,
    /// The path that was asked for: of the script, where there is one.
    name: &'a [u8],
    loaded: &'a Loaded,
    base: u64,
    secure: bool,
    credentials: Credentials,
}

/// Entries of the auxiliary vector (`getauxval(3)`).
mod auxiliary {
    pub const PHDR: u64 = 3;
    pub const PHENT: u64 = 4;
    pub const PHNUM: u64 = 5;
    pub const PAGESZ: u64 = 6;
    pub const BASE: u64 = 7;
    pub const FLAGS: u64 = 8;
    pub const ENTRY: u64 = 9;
    pub const UID: u64 = 11;
    pub const EUID: u64 = 12;
    pub const GID: u64 = 13;
    pub const EGID: u64 = 14;
    pub const PLATFORM: u64 = 15;
    pub const HWCAP: u64 = 16;
    pub const CLKTCK: u64 = 17;
    pub const SECURE: u64 = 23;
    pub const RANDOM: u64 = 25;
    pub const HWCAP2: u64 = 26;
    pub const EXECFN: u64 = 31;
    pub const SYSINFO_EHDR: u64 = 33;
    pub const MINSIGSTKSZ: u64 = 51;
}

impl Stack<'_> {
    /// Writes it into `space`; returns the stack pointer and the auxiliary vector's bytes.
    fn write(&self, space: &mut AddressSpace) -> Result<(u64, Vec<u8>)> {
        // The bytes are gathered from the top down to the lowest string, then the words below them.
        let given = || self.request.argv.iter().chain(&self.request.envp);
        let length = given().map(|text| text.len() + 1).sum::<usize>();
        let words = given().count() + MOST_WORDS;
        frames::check_room(3 * length + 6 * words * size_of::<u64>())?;
        let mut strings: Vec<u8> = frames::list_of(length + self.name.len() + MOST_WORDS)?;
        let mut add = |text: &[u8]| {
            let at = strings.len() as u64;
            strings.extend_from_slice(text);
            at
        };
        let mut random = [0; 16];
        platform().random(&mut random);
        let random_at = add(&random);
        let platform_at = add(b"x86_64\0");
        let mut add_all = |list: &[Vec<u8>]| -> Result<Vec<u64>> {
            let mut places = frames::list_of(list.len())?;
            for text in list {
                places.push(add(text));
                add(b"\0");
            }
            Ok(places)
        };
        let arguments = add_all(&self.request.argv)?;
        let environment = add_all(&self.request.envp)?;
        let name_at = add(self.name);
        add(b"\0");
        if strings.len() > MAX_ARGUMENTS {
            return Err(Errno::E2BIG);
        }
        let strings_at = (USER_END - 8 - strings.len() as u64) & !15;
        let vector =
            self.auxiliary(space, strings_at + random_at, strings_at + platform_at, strings_at + name_at)?;
        let mut words: Vec<u64> = frames::list_of(words)?;
        words.push(arguments.len() as u64);
        words.extend(arguments.iter().map(|at| strings_at + at));
        words.push(0);
        words.extend(environment.iter().map(|at| strings_at + at));
        words.push(0);
        words.extend(vector.iter().flatten());
        let stack_pointer = (strings_at - words.len() as u64 * 8) & !15;
        let mut bytes: Vec<u8> = frames::list_of((USER_END - stack_pointer) as usize)?;
        bytes.extend(words.iter().flat_map(|word| word.to_le_bytes()));
        bytes.resize((strings_at - stack_pointer) as usize, 0);
        bytes.extend_from_slice(&strings);
        install_bytes(space, stack_pointer, &bytes)?;
        let first = |list: &[u64], otherwise: u64| strings_at + list.first().copied().unwrap_or(otherwise);
        let layout = &mut space.layout;
        layout.stack = stack_pointer;
        layout.arguments = (first(&arguments, name_at), first(&environment, name_at));
        layout.environment = (first(&environment, name_at), strings_at + name_at);
        let auxiliary = vector.iter().flatten().flat_map(|word| word.to_le_bytes()).collect();
        Ok((stack_pointer, auxiliary))
    }

    fn auxiliary(
        &self,
        space: &mut AddressSpace,
        random: u64,
        platform: u64,
        name: u64,
    ) -> Result<Vec<[u64; 2]>> {
        use auxiliary as at;
        let credentials = &self.credentials;
        let hwcap = core::arch::x86_64::__cpuid(1).edx;
        // The kernel's own frame on top of the extended state, as Linux counts it.
        let signal_stack = context::xsave_size() as u64 + 1024;
        const HWCAP2_FSGSBASE: u64 = 2;
        let mut vector = alloc::vec![
            [at::HWCAP, u64::from(hwcap)],
            [at::PAGESZ, PAGE],
            [at::CLKTCK, 100],
            [at::PHDR, self.loaded.headers],
            [at::PHENT, 56],
            [at::PHNUM, self.loaded.header_count],
            [at::BASE, self.base],
            [at::FLAGS, 0],
            [at::ENTRY, self.loaded.entry],
            [at::UID, u64::from(credentials.uid)],
            [at::EUID, u64::from(credentials.euid)],
            [at::GID, u64::from(credentials.gid)],
            [at::EGID, u64::from(credentials.egid)],
            [at::SECURE, u64::from(self.secure)],
            [at::RANDOM, random],
            [at::HWCAP2, HWCAP2_FSGSBASE],
            [at::EXECFN, name],
            [at::PLATFORM, platform],
            [at::MINSIGSTKSZ, signal_stack],
        ];
        vector.push([at::SYSINFO_EHDR, crate::time::vdso::map(space)?]);
        vector.push([0, 0]);
        Ok(vector)
    }
}

/// Fills the top of the stack: whole frames, and a few zero pages below, which the program is about to use.
fn install_bytes(space: &mut AddressSpace, at: u64, bytes: &[u8]) -> Result<()> {
    const BELOW: u64 = 3;
    let area = space.area(at).ok_or(Errno::E2BIG)?.clone();
    let mut done = 0;
    while done < bytes.len() {
        let address = at + done as u64;
        let offset = (address % PAGE) as usize;
        let step = (PAGE as usize - offset).min(bytes.len() - done);
        let frame = Frame::zeroed()?;
        frame.write(offset, &bytes[done..done + step]);
        space.install_in(&area, address - offset as u64, frame)?;
        done += step;
    }
    let lowest = at & !(PAGE - 1);
    for page in (1..=BELOW).map(|i| lowest - i * PAGE).filter(|page| *page >= area.start) {
        space.install_in(&area, page, Frame::zeroed()?)?;
    }
    Ok(())
}
