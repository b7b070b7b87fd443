//! Measures what each layer costs: `cargo run --release -p ampoule-jail --example layers [ROUNDS]`.
//!
//! Starts a static program that does nothing (`busybox true`) behind no layer, behind each one alone, and behind all, in
//! turns; then in a control group of version 2, by the two ways into one, with pauses. `executed` is the time until it is another program, `gone` until it is reaped, in microseconds: the tenth
//! percentile, which says what the layer costs, and the median, which says how busy the machine is.

use ampoule_jail::{Command, Error, Group, Layer, Layers, Limits, Program, spawn_with};
use rustix::fs::{AtFlags, Mode, OFlags, mkdirat, openat, unlinkat};
use rustix::mount::{FsMountFlags, FsOpenFlags, MountAttrFlags, fsconfig_create, fsmount, fsopen};
use rustix::process::{WaitId, WaitIdOptions, waitid};
use std::fs::File;
use std::os::fd::AsFd;
use std::time::{Duration, Instant};

const ROUNDS: usize = 200;
const PAUSE: Duration = Duration::from_millis(50);

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let rounds = std::env::args().nth(1).map_or(Ok(ROUNDS), |rounds| rounds.parse())?;
    let program = File::open("/bin/busybox")?;
    let kinds = kinds();
    let mut times = vec![(Vec::new(), Vec::new()); kinds.len()];
    for _ in 0..rounds {
        for ((_, layers), (executed, gone)) in kinds.iter().zip(&mut times) {
            let (first, second) = measure(&program, *layers, None)?;
            executed.push(first);
            gone.push(second);
        }
    }
    println!("| behind | executed | gone |\n|---|---|---|");
    for ((name, _), (executed, gone)) in kinds.iter().zip(times) {
        println!("| {name} | {} | {} |", summary(executed), summary(gone));
    }
    in_a_group(&program, rounds)
}

/// Measures the two ways into a control group of version 2, as root: that hierarchy is mounted where nobody sees it.
fn in_a_group(program: &File, rounds: usize) -> Result<(), Box<dyn std::error::Error>> {
    let context = fsopen("cgroup2", FsOpenFlags::FSOPEN_CLOEXEC)?;
    fsconfig_create(&context)?;
    let hierarchy = fsmount(&context, FsMountFlags::FSMOUNT_CLOEXEC, MountAttrFlags::empty())?;
    let name = format!("jail-measure-{}", std::process::id());
    mkdirat(&hierarchy, &name, Mode::RWXU)?;
    let directory = openat(&hierarchy, &name, OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())?;
    let join = openat(&directory, "cgroup.procs", OFlags::WRONLY | OFlags::CLOEXEC, Mode::empty())?;
    let joined = Group { join: join.as_fd(), directory: None };
    let made = Group { join: join.as_fd(), directory: Some(directory.as_fd()) };
    for (name, group) in
        [("no group", None), ("group: joined", Some(joined)), ("group: made in it", Some(made))]
    {
        let (mut executed, mut gone) = (Vec::new(), Vec::new());
        for _ in 0..rounds {
            // The lock stays cheap for a while for whoever takes it again.
            std::thread::sleep(PAUSE);
            let (first, second) = measure(program, Layers::NONE, group)?;
            executed.push(first);
            gone.push(second);
        }
        println!("| {name}, after a pause | {} | {} |", summary(executed), summary(gone));
    }
    Ok(unlinkat(&hierarchy, &name, AtFlags::REMOVEDIR)?)
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

fn measure(program: &File, layers: Layers, group: Option<Group<'_>>) -> Result<(Duration, Duration), Error> {
    let command = Command {
        program: Program::File(program.as_fd()),
        arguments: vec![c"busybox".to_owned(), c"true".to_owned()],
        stderr: rustix::stdio::stderr(),
        descriptors: Vec::new(),
        groups: group.into_iter().collect(),
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
