//! From the first Rust function to the first program.

mod params;
mod root;

use crate::arch::{context, cpu, interrupt};
use crate::mm::{DIRECT_MAP, KERNEL_BASE, PAGE, paging};
use crate::platform::Kernel;
use crate::task::sched;
use crate::time::clock;
use crate::{log, random, special, syscall};
use alloc::sync::Arc;
use ampoule_kbase::{Mutex, Once, frames};
use ampoule_kfs::Context;
use ampoule_kio::vsock::Batches;
use params::{CommandLine, MemoryMap};

/// Moments of start-up, in nanoseconds since the first instruction.
static PHASES: Mutex<[(&str, u64); 8]> = Mutex::new([("", 0); 8]);
static FIRST_CONTEXT: Once<Arc<Mutex<Context>>> = Once::new();
static COMMAND_LINE: Once<CommandLine> = Once::new();

unsafe extern "C" {
    static kernel_end: u8;
}

/// Where the assembler's start-up code ends. `ring` is where `SYSCALL` leads to: 3 on hosts that emulate ring 0.
#[unsafe(no_mangle)]
extern "C" fn kernel_main(params: u64, ring: u32) -> ! {
    let started = cpu::read_tsc();
    cpu::start(ring);
    interrupt::start();
    context::start();
    let map = params::memory_map(params);
    start_memory(&map);
    let command_line = CommandLine(params::command_line(params));
    start_devices(&map, &command_line);
    let khz = command_line.number("tsc_early_khz").unwrap_or(1_000_000);
    clock::start(started, khz, command_line.number("ampoule.boot_ns").unwrap_or(0));
    ampoule_kbase::platform::install(&Kernel);
    params::take_seeds(params, random::seed);
    if command_line.has("ampoule.trace") {
        syscall::start_trace();
    }
    if let Some(name) = command_line.value("ampoule.hostname") {
        syscall::set_hostname(name);
    }
    cpu::enable_interrupts();
    mark("kernel");
    special::install();
    root::mount(&map, &command_line);
    mark("root mounted");
    COMMAND_LINE.set(command_line);
    let first = root::start_init();
    mark("init loaded");
    sched::start(first)
}

/// Notes a moment of start-up.
fn mark(phase: &'static str) {
    let mut phases = PHASES.lock();
    if let Some(slot) = phases.iter_mut().find(|(name, _)| name.is_empty()) {
        *slot = (phase, clock::monotonic_ns());
    }
}

/// The moments of start-up as `/proc/ampoule/boot` shows them.
pub fn phases() -> alloc::vec::Vec<(&'static str, u64)> {
    PHASES.lock().iter().filter(|(name, _)| !name.is_empty()).copied().collect()
}

/// The command line.
pub fn command_line() -> &'static [u8] {
    COMMAND_LINE.get().map_or(&[], |line| &line.0)
}

/// Root and working directory of the first process.
pub fn first_context() -> Arc<Mutex<Context>> {
    FIRST_CONTEXT.get().cloned().expect("the root is mounted before the first process")
}

/// Hands RAM to the frame allocator, from the end of the kernel's image on.
fn start_memory(map: &MemoryMap) {
    let image_end = (&raw const kernel_end) as u64 - KERNEL_BASE;
    let pages = map.low.end.max(map.high.end) / PAGE;
    let meta_size = (pages * frames::META_SIZE as u64).next_multiple_of(PAGE);
    let first = image_end + meta_size;
    assert!(first < map.low.end.min(1 << 30), "too little memory");
    let low = (first / PAGE) as u32..(map.low.end / PAGE) as u32;
    let high = (map.high.start / PAGE) as u32..(map.high.end / PAGE) as u32;
    let meta = (DIRECT_MAP + image_end) as *mut u8;
    // SAFETY: the ranges are RAM by the VMM's map, behind the kernel's image, zeroed and in the direct map (what lies
    // above the first GiB is entered below, before it is handed out: allocation starts at the bottom).
    unsafe { frames::init(DIRECT_MAP as *mut u8, meta, low, high) };
    for region in [map.low, map.high] {
        extend_map(region.start, region.end, paging::Cache::Memory);
    }
    if !cpu::deprivileged() {
        paging::protect_kernel();
    }
}

fn extend_map(start: u64, end: u64, cache: paging::Cache) {
    const FIRST_GIB: u64 = 1 << 30;
    if end > FIRST_GIB {
        paging::extend_direct_map(start.max(FIRST_GIB), end, cache).expect("memory for page tables");
    }
}

/// Maps images and registers, and tells the drivers where they are.
fn start_devices(map: &MemoryMap, command_line: &CommandLine) {
    for image in &map.images[..map.image_count] {
        extend_map(image.start, image.end, paging::Cache::Memory);
    }
    let pv = command_line.number("ampoule.pv");
    if let Some(page) = pv {
        extend_map(page, page + PAGE, paging::Cache::Device);
        log::start(DIRECT_MAP + page);
    }
    if let Some((registers, _irq)) = command_line.first_virtio_device() {
        extend_map(registers, registers + PAGE, paging::Cache::Device);
        let cid = command_line.number("ampoule.cid").and_then(|cid| u32::try_from(cid).ok());
        let batches = pv.and_then(|page| register_batches(page, registers));
        // SAFETY: the VMM says that these are the registers of the vsock device, and they were just mapped.
        unsafe { ampoule_kio::vsock::install((DIRECT_MAP + registers) as *mut u8, cid, batches) };
    }
}

/// How the VMM takes batches of writes to the registers at this physical address.
fn register_batches(pv: u64, registers: u64) -> Option<Batches> {
    /// Where a batch is announced on the paravirtual page.
    const PORT: u64 = 0x810;
    /// What the registers in a batch are counted from.
    const FIRST_REGISTER: u64 = 0xd000_0000;
    let base = u32::try_from(registers.checked_sub(FIRST_REGISTER)?).ok()?;
    // SAFETY: the page was mapped at start-up; batches and their base are the VMM's contract.
    Some(unsafe { Batches::new((DIRECT_MAP + pv + PORT) as *mut u64, base) })
}
