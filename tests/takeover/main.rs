//! A VMM that has been taken over, in its jail, as the engine starts it: what its filters stop is reported as that, and
//! without the filters the jail holds by itself.
//!
//! The VMM is built with the feature `attack`: a thread makes the attempts that the guest's command line names (see
//! `runtime/vmm/src/attack.rs`). `runtime/vmm/tests/filters` has the filters call by call.

mod filters;
mod walls;

use ampoule_engine::session::{Event, Session};
use ampoule_engine::{Artifact, Console, End, Guest, Handler, Isolation, Sandbox, SandboxConfig, VmmProgram};
use ampoule_policies::{Mib, Policy};
use std::fs::File;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

const TARGET: &str = "x86_64-unknown-linux-gnu";

/// The VMM with the feature `attack`, built once, for a jail: linked statically.
fn attacker() -> &'static VmmProgram {
    static VMM: OnceLock<VmmProgram> = OnceLock::new();
    VMM.get_or_init(|| {
        let target = Path::new(env!("CARGO_TARGET_TMPDIR")).with_file_name("attack");
        let mut build = Command::new(std::env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        build.args(["build", "--quiet", "--locked", "--package", "ampoule-vmm", "--bin", "ampoule-vmm"]);
        build.args(["--features", "attack", "--target", TARGET, "--target-dir"]).arg(&target);
        build.env("CARGO_ENCODED_RUSTFLAGS", "-Ctarget-feature=+crt-static");
        let status = build.current_dir(env!("CARGO_MANIFEST_DIR")).status().expect("cargo cannot be run");
        assert!(status.success(), "the VMM that attacks could not be built");
        VmmProgram::File(target.join(TARGET).join("debug/ampoule-vmm"))
    })
}

/// A kernel that halts.
fn kernel() -> &'static PathBuf {
    static KERNEL: OnceLock<PathBuf> = OnceLock::new();
    KERNEL.get_or_init(|| {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("system/kernel.S");
        let path = Path::new(env!("CARGO_TARGET_TMPDIR")).join(format!("halt-{}", std::process::id()));
        let mut cc = Command::new("cc");
        cc.args(["-nostdlib", "-static", "-no-pie", "-Wl,-Ttext=0x100000,--build-id=none", "-DHALT"]);
        cc.args(["-Wl,-z,noexecstack,-N,--no-warn-rwx-segments", "-o"]).args([&path, &source]);
        assert!(cc.status().expect("a C compiler").success(), "the kernel does not compile");
        path
    })
}

/// Nobody listens.
struct Nobody;

impl Handler for Nobody {
    fn event(&mut self, _: &mut Session, _: Event<'_>) -> Result<(), ampoule_protocol::Error> {
        Ok(())
    }

    fn console(&mut self, _: &[u8]) {}
}

fn artifact(name: &str, file: File) -> Artifact {
    let len = file.metadata().unwrap().len();
    Artifact::new(name, Arc::new(file.into()), 0, len)
}

fn image() -> Artifact {
    let mut file = tempfile::tempfile().unwrap();
    file.write_all(&[b'x'; 4096]).unwrap();
    artifact("an image", file)
}

/// Starts the VMM that attacks in this way, behind every layer.
fn start(words: &str) -> Sandbox {
    start_in(Isolation::Strict, words)
}

fn start_in(isolation: Isolation, words: &str) -> Sandbox {
    start_with(words, isolation, Console::Off)
}

fn start_with(words: &str, isolation: Isolation, console: Console) -> Sandbox {
    let config = SandboxConfig {
        guest: Guest::Ampoule,
        initrd: Vec::new(),
        vmm: attacker(),
        kernel: artifact("the kernel", File::open(kernel()).unwrap()),
        root: image(),
        agent: image(),
        memory: Mib::new(64).unwrap(),
        cmdline: words.to_owned(),
        console,
        deadlines: Policy::builtin().unwrap().deadlines,
        isolation,
        limits: Policy::builtin().unwrap().limits,
    };
    Sandbox::launch(&config).unwrap()
}

/// How that ends.
fn attack(words: &str) -> End {
    end_of(start(words), words)
}

fn end_of(mut sandbox: Sandbox, words: &str) -> End {
    let deadline = Instant::now() + Duration::from_secs(15);
    loop {
        sandbox.service(&mut Nobody);
        if let Some(end) = sandbox.end() {
            return end.clone();
        }
        assert!(Instant::now() < deadline, "{words}: no end");
        std::thread::sleep(Duration::from_millis(2));
    }
}
