//! A guest for many programs, for kernels that are slow to boot: `runner.c` runs one after another in it, each as the agent
//! would start it.
//!
//! A guest that breaks down fails the test whose program it ran. The next test boots another.

use ampoule_tests::{Ended, Program, Running, slowdown};
use std::io::{self, BufRead, BufReader, Read, Write};
use std::os::unix::process::ExitStatusExt;
use std::process::{ChildStdin, ChildStdout, ExitStatus};
use std::sync::mpsc::{Receiver, channel};
use std::sync::{Mutex, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

/// Longest life of a guest: more than all programs take.
const LIFE: Duration = Duration::from_secs(3600);

/// The guest that is up, if one is.
static GUEST: Mutex<Option<Guest>> = Mutex::new(None);

/// Runs a command in the guest that is up, or in a new one: `sandbox` has the runner as its command.
///
/// # Panics
/// If there is no answer in time. The guest is ended then.
pub fn run(sandbox: impl FnOnce() -> Program, path: &str, command: &[&str], limit: Duration) -> Ended {
    let mut slot = GUEST.lock().unwrap_or_else(PoisonError::into_inner);
    // Who panics from here on takes the guest along.
    let mut guest = slot.take().unwrap_or_else(|| Guest::boot(sandbox()));
    let ended = guest.run(path, command, limit);
    *slot = Some(guest);
    ended
}

struct Guest {
    running: Running,
    requests: ChildStdin,
    answers: Receiver<Ended>,
}

impl Guest {
    fn boot(sandbox: Program) -> Self {
        let mut running = sandbox.limit(LIFE).start();
        let requests = running.child.stdin.take().expect("standard input is piped");
        let mut stdout = BufReader::new(running.child.stdout.take().expect("standard output is piped"));
        let (sender, answers) = channel();
        thread::spawn(move || {
            // An answer that cannot be read is the last one: the guest is gone, or ends with its input.
            while answer(&mut stdout).is_ok_and(|ended| sender.send(ended).is_ok()) {}
        });
        Self { running, requests, answers }
    }

    fn run(&mut self, path: &str, command: &[&str], limit: Duration) -> Ended {
        let since = Instant::now();
        let path = format!("PATH={path}");
        let words = [&[path.as_str()], command].concat();
        let bytes: usize = words.iter().map(|word| word.len() + 1).sum();
        let request = format!("{} {bytes}\n{}\0", words.len(), words.join("\0"));
        let asked = self.requests.write_all(request.as_bytes());
        match self.answers.recv_timeout(limit * slowdown()) {
            Ok(ended) => Ended { took: since.elapsed(), ..ended },
            Err(why) => {
                // Of one that is gone, what it said; one that hangs is killed.
                drop(self.running.child.kill());
                let err = self.running.finish().err();
                panic!("the guest gave no answer: {why} (asked: {asked:?})\n{err}")
            }
        }
    }
}

/// The runner's next answer.
fn answer(stdout: &mut BufReader<ChildStdout>) -> io::Result<Ended> {
    let mut line = String::new();
    stdout.read_line(&mut line)?;
    let odd = || io::Error::new(io::ErrorKind::InvalidData, "an odd answer");
    let numbers: Vec<usize> = line.split_whitespace().map_while(|word| word.parse().ok()).collect();
    let &[code, out, err] = numbers.as_slice() else { return Err(odd()) };
    let (mut stdout_bytes, mut stderr_bytes) = (vec![0; out], vec![0; err]);
    stdout.read_exact(&mut stdout_bytes)?;
    stdout.read_exact(&mut stderr_bytes)?;
    // Codes are those of shells already.
    let status = ExitStatus::from_raw(i32::try_from(code).map_err(|_| odd())? << 8);
    Ok(Ended { status, stdout: stdout_bytes, stderr: stderr_bytes, took: Duration::ZERO })
}
