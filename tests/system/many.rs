//! Many sandboxes, at once and one after another: each gives its own right answer.

use ampoule_tests::Program;
use std::sync::atomic::{AtomicU32, Ordering};
use std::thread;
use std::time::Duration;

/// Runs sandbox number `n`, which must give back its number in three ways.
fn check(n: u32) {
    let code = n % 120;
    let script = format!("read x; echo $((x * 3)); echo e$x >&2; exit {code}");
    let ended = Program::sandbox(["-m", "64M", "--", "sh", "-c", &script])
        .input(format!("{n}\n"))
        .limit(Duration::from_secs(120))
        .run();
    let (out, err) = (format!("{}\n", n * 3), format!("e{n}\n"));
    assert_eq!((ended.code(), ended.out(), ended.err()), (code as i32, out, err), "sandbox {n}");
}

#[test]
fn fifty_at_once() {
    let running: Vec<_> = (0..50)
        .map(|n| {
            let script = format!("echo ready; read x; echo $((x + {n})); exit {n}");
            Program::sandbox(["-m", "64M", "--", "sh", "-c", &script]).limit(Duration::from_secs(120)).start()
        })
        .collect();
    let mut running: Vec<_> = running
        .into_iter()
        .map(|mut sandbox| {
            sandbox.wait_for_output("ready\n");
            sandbox
        })
        .collect();
    // All fifty are up now. Only then does each get what it waits for.
    for sandbox in &mut running {
        use std::io::Write;
        sandbox.child.stdin.take().unwrap().write_all(b"1000\n").unwrap();
    }
    for (n, sandbox) in running.iter_mut().enumerate() {
        let ended = sandbox.finish();
        assert_eq!(
            (ended.code(), ended.out(), ended.err()),
            (n as i32, format!("{}\n", 1000 + n), String::new())
        );
    }
}

#[test]
fn a_thousand_one_after_another() {
    let next = AtomicU32::new(0);
    thread::scope(|scope| {
        for _ in 0..2 {
            scope.spawn(|| {
                while let n @ 0..1000 = next.fetch_add(1, Ordering::Relaxed) {
                    check(n);
                }
            });
        }
    });
    assert!(next.into_inner() >= 1000);
}
