//! `/init` of a stock Linux guest's initramfs: the same freestanding program as the agent, with another task.
#![no_std]
#![no_main]

extern crate alloc;

#[path = "freestanding/heap.rs"]
mod heap;
#[path = "freestanding/memory.rs"]
mod memory;
#[path = "freestanding/start.rs"]
mod start;

fn main(_arguments: start::Arguments) -> ! {
    ampoule_agent::stage1::run()
}
