//! The engine against VMMs and agents that misbehave in every way that a real one could be made to.
//!
//! The engine starts this very program as its VMM; called by that name it acts as one (see `vmm`), and as the agent at
//! the other end of the connection, in the way that the kernel command line says. Everything else is the real thing:
//! processes, sockets, pipes, signals, deadlines. The tests with a real VM are in the workspace's `tests`.

mod cases;
mod run;
mod vmm;

use std::process::ExitCode;
use std::time::Duration;

/// A test: its name and what it does.
type Test = (&'static str, fn());

fn main() -> ExitCode {
    let mut arguments = std::env::args();
    let name = arguments.next().unwrap_or_default();
    let filters: Vec<String> = arguments.collect();
    if name == "ampoule-vmm" {
        vmm::main(filters.first().map(String::as_str).unwrap_or_default());
        return ExitCode::SUCCESS;
    }
    let has = |option: &str| filters.iter().any(|filter| filter == option);
    // The protocol of test runners. None of these tests is ignored: one that lists them as such would never run them.
    let tests = if has("--ignored") { &[] } else { cases::ALL };
    if has("--list") {
        tests.iter().for_each(|(name, _)| println!("{name}: test"));
        return ExitCode::SUCCESS;
    }
    let matches = |name: &str, word: &str| if has("--exact") { name == word } else { name.contains(word) };
    let words = || filters.iter().filter(|filter| !filter.starts_with('-'));
    let chosen: Vec<&Test> = tests
        .iter()
        .filter(|(name, _)| words().next().is_none() || words().any(|word| matches(name, word)))
        .collect();
    if chosen.is_empty() && has("--exact") {
        eprintln!("there is no such test");
        return ExitCode::FAILURE;
    }
    // Threads inherit it: a signal of the tests must end none of them.
    let _signals = ampoule_engine::attach::Signals::block();
    std::thread::spawn(|| {
        std::thread::sleep(Duration::from_secs(120));
        eprintln!("a test hangs");
        std::process::exit(1);
    });
    for (name, test) in chosen {
        // A failed assertion ends the program, and says where.
        eprint!("test {name} ... ");
        test();
        eprintln!("ok");
    }
    ExitCode::SUCCESS
}
