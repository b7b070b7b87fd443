//! Measures what each layer costs: `cargo run --release -p ampoule-jail --example layers [ROUNDS]`.
//!
//! Starts a static program that does nothing (`busybox true`) behind no layer, behind each one alone, and behind all, in
//! turns. `executed` is the time until it is another program, `gone` until it is reaped, in microseconds: the tenth
//! percentile, which says what the layer costs, and the median, which says how busy the machine is.

use ampoule_jail::{Command, Error, Layer, Layers, Limits, Program, spawn_with};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::fs::File;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const ROUNDS: usize = 200;

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rounds = std::env::args().nth(1).map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let program = File::open("/bin/busybox")?;
    let kinds = kinds();
    let mut times = vec![(Vec::new(), Vec::new()); kinds.len()];
    for _ in 0..rounds {
        for ((_, layers), (executed, gone)) in kinds.iter().zip(&mut times) {
            let (first, second) = measure(&program, *layers)?;
            executed.push(first);
            gone.push(second);
        }
    }
    println!("| behind | executed | gone |\n|---|---|---|");
    for ((name, _), (executed, gone)) in kinds.iter().zip(times) {
        println!("| {name} | {} | {} |", summary(executed), summary(gone));
    }
    Ok(())
}

/// What is measured. Without root, a layer can only be had together with a user namespace.
fn kinds() -> Vec<(&'static str, Layers)> {
    let base = match rustix::process::geteuid().is_root() {
        true => Layers::NONE,
        false => Layers::NONE.with(Layer::User),
    };
    let alone = Layer::ALL.into_iter().map(|layer| {
        let needed = match layer {
            Layer::Root => base.with(Layer::Mount),
            Layer::Landlock => base.with(Layer::NoNewPrivileges),
            _ => base,
        };
        (layer.name(), needed.with(layer))
    });
    let all = [("all but the network namespace", Layers::ALL.without(Layer::Net)), ("all", Layers::ALL)];
    [("nothing", Layers::NONE)].into_iter().chain(alone).chain(all).collect()
}

fn measure(program: &File, layers: Layers) -> Result<(Duration, Duration), Error> {
    let command = Command {
        program: Program::File(program.as_fd()),
        arguments: vec![c"busybox".to_owned(), c"true".to_owned()],
        stderr: rustix::stdio::stderr(),
        descriptors: Vec::new(),
        groups: Vec::new(),
        own_status: false,
        limits: Limits {
            address_space: 1 << 30,
            private_memory: 1 << 30,
            file_size: 0,
            open_files: 16,
            threads: 4,
        },
    };
    let start = Instant::now();
    let child = spawn_with(&command, layers, true, &mut |_| Ok(()))?;
    let executed = start.elapsed();
    while waitid(WaitId::PidFd(child.pidfd.as_fd()), WaitIdOptions::EXITED).is_err() {}
    Ok((executed, start.elapsed()))
}

fn summary(mut times: Vec<Duration>) -> String {
    times.sort_unstable();
    let at = |index: usize| times.get(index).map_or(0, Duration::as_micros);
    format!("{} (median {})", at(times.len() / 10), at(times.len() / 2))
}
