//! The agent's binary: what a C runtime and the standard library would otherwise bring, and a call of the library.
//!
//! A static glibc program takes two dozen pages and a dozen system calls until `main`; this one takes none.
#![no_std]
#![no_main]

extern crate alloc;

#[path = "freestanding/heap.rs"]
mod heap;
#[path = "freestanding/memory.rs"]
mod memory;
#[path = "freestanding/start.rs"]
mod start;

use ampoule_agent::{agent, options::Options};

fn main(arguments: start::Arguments) -> ! {
    agent::run(Options::parse(arguments.skip(1)))
}
