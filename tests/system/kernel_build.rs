//! `ampoule kernel build`, with a few lines of make in the part of Linux, and with programs that do nothing in the part
//! of most of its tools.

use crate::write;
use ampoule_tests::{Program, need};
use rustix::process::Signal;
use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::thread::sleep;
use std::time::Duration;

/// Makes a "kernel" of everything that could get into one. Options with DROPPED in their name are not known to it.
const MAKEFILE: &str = r#"
tinyconfig:
	@echo "  HOSTCC  scripts/kconfig/conf.o"
	@printf 'CONFIG_EXPERT=y\nCONFIG_PRINTK=n\n' > $(O)/.config
olddefconfig:
	@grep -v DROPPED $(O)/.config > $(O)/.config.new
	@mv $(O)/.config.new $(O)/.config
vmlinux:
	@echo "  CC      init/main.o"
	@mkdir -p $(O)/include/config
	@echo 6.12.0-fake > $(O)/include/config/kernel.release
	@{ printf '\177ELF'; cat $(O)/.config; env | grep -v -e ^TMPDIR= -e ^PWD= -e MAKE -e MFLAGS -e ^O= | sort; } > $(O)/vmlinux
"#;

/// A directory with a source, tools, and a store.
struct Bench {
    directory: tempfile::TempDir,
}

impl Bench {
    fn new(makefile: &str) -> Self {
        need("make", "make");
        let bench = Self { directory: tempfile::tempdir().unwrap() };
        for name in ["linux", "tools", "tmp"] {
            fs::create_dir(bench.path(name)).unwrap();
        }
        write(&bench.path("linux"), "Makefile", makefile);
        write(&bench.path("linux"), "Kconfig", "");
        for tool in ["gcc", "ld", "flex", "bison", "bc"] {
            bench.tool(tool, "exit 0");
        }
        bench
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn tool(&self, name: &str, script: &str) {
        let path = write(&self.path("tools"), name, format!("#!/bin/sh\n{script}\n"));
        fs::set_permissions(path, fs::Permissions::from_mode(0o755)).unwrap();
    }

    /// `ampoule kernel build` of this source with these arguments.
    fn build(&self, source: &Path, args: &[&str]) -> Program {
        let path = format!("{}:/usr/bin:/bin", self.path("tools").display());
        self.ampoule(&["kernel", "build", "--source", source.to_str().unwrap()]).args(args).env("PATH", path)
    }

    fn ampoule(&self, args: &[&str]) -> Program {
        Program::ampoule(args).env("XDG_DATA_HOME", self.path("data")).env("TMPDIR", self.path("tmp"))
    }

    /// What is in the place of temporary files.
    fn left(&self) -> Vec<PathBuf> {
        fs::read_dir(self.path("tmp")).unwrap().map(|entry| entry.unwrap().path()).collect()
    }

    /// The directory as an archive.
    fn tar(&self) -> PathBuf {
        let (file, directory) = (self.path("linux.tar"), self.directory.path().to_str().unwrap());
        Program::new("tar").args(["-C", directory, "-cf", file.to_str().unwrap(), "linux"]).run().succeeded();
        file
    }
}

fn digest(json: &str) -> String {
    let report: serde_json::Value = serde_json::from_str(json).unwrap();
    assert_eq!((&report["release"], &report["name"]), (&"6.12.0-fake".into(), &"mine".into()), "{json}");
    report["sha256"].as_str().unwrap().to_owned()
}

#[test]
fn the_same_source_gives_the_same_kernel() {
    let bench = Bench::new(MAKEFILE);
    let tree = bench.path("linux");
    let args = ["--name", "mine", "--json"];
    let first = digest(&bench.build(&tree, &args).run().succeeded());
    let stored = bench.path("data/ampoule/kernels/mine/vmlinux");
    let kernel = fs::read(&stored).unwrap();
    let text = String::from_utf8_lossy(&kernel);
    for wanted in ["CONFIG_VIRTIO_PMEM=y", "CONFIG_PRINTK=y", "KBUILD_BUILD_USER=ampoule", "LC_ALL=C"] {
        assert!(text.contains(wanted), "{wanted} is not in {text}");
    }
    let other = bench.build(&bench.tar(), &args).args(["--jobs", "3"]);
    let other = other.env("LANG", "de_DE.UTF-8").env("KCFLAGS", "-O0").env("MAKEFLAGS", "-k").env("O", "/");
    assert_eq!(digest(&other.run().succeeded()), first);
    let listed = bench.ampoule(&["kernel", "list"]).run().succeeded();
    assert!(listed.contains("mine") && listed.contains("6.12.0-fake"), "{listed}");
    assert_eq!(bench.left(), [""; 0].map(PathBuf::from));
    assert_eq!(fs::read_dir(&tree).unwrap().count(), 2, "the tree is as it was");
}

#[test]
fn options_go_over_those_of_the_minimal_kernel() {
    let bench = Bench::new(MAKEFILE);
    let config = write(bench.directory.path(), "config", "CONFIG_USB=y\n# CONFIG_AIO is not set\n");
    let kept = bench.path("kept");
    let args = ["--config", config.to_str().unwrap(), "--keep", kept.to_str().unwrap()];
    let out = bench.build(&bench.path("linux"), &args).run().succeeded();
    assert!(out.starts_with("minimal: Linux 6.12.0-fake, "), "{out}");
    let config = fs::read_to_string(kept.join("build/.config")).unwrap();
    assert!(config.contains("CONFIG_USB=y\n") && !config.contains("CONFIG_AIO=y"), "{config}");
    assert!(fs::read_to_string(kept.join("log")).unwrap().contains("CC      init/main.o"));
    bench.build(&bench.path("linux"), &args).run().failed(1, &["cannot build in", "it is not empty"]);
}

#[test]
fn an_option_that_is_dropped_is_named() {
    let bench = Bench::new(MAKEFILE);
    let config = write(bench.directory.path(), "config", "CONFIG_DROPPED_ONE=y\nCONFIG_DROPPED_TWO=16\n");
    let args = ["--config", config.to_str().unwrap()];
    let err = bench.build(&bench.path("linux"), &args).run().failed(1, &["CONFIG_DROPPED_ONE=y was dropped"]);
    assert!(err.contains("CONFIG_DROPPED_TWO=16 was dropped") && !err.contains("VIRTIO"), "{err}");
    assert_eq!(bench.left(), [""; 0].map(PathBuf::from));
    write(bench.directory.path(), "config", "# Fine.\nUSB=y\n");
    bench.build(&bench.path("linux"), &args).run().failed(1, &["config, line 2", "USB=y"]);
}

#[test]
fn a_build_that_fails_shows_its_end_and_keeps_the_log() {
    let failing = "\t@for line in $$(seq 1 100); do echo \"line $$line\"; done; echo \"some.c: no \\033[2J\" >&2; exit 1";
    let makefile = MAKEFILE.replace("\t@echo \"  CC      init/main.o\"", failing);
    let bench = Bench::new(&makefile);
    let err = bench
        .build(&bench.path("linux"), &[])
        .run()
        .failed(1, &["`make vmlinux` failed", "some.c: no \\u{1b}[2J"]);
    assert!(err.contains("line 100") && !err.contains("line 50"), "{err}");
    let [log] = bench.left().try_into().unwrap();
    assert!(err.contains(log.to_str().unwrap()), "{err}");
    assert!(fs::read_to_string(log).unwrap().contains("line 1\n"));
    let listed = bench.ampoule(&["kernel", "list", "--json"]).run().succeeded();
    assert!(listed.contains("[]"), "{listed}");
}

#[test]
fn tools_that_are_missing_are_all_named() {
    let bench = Bench::new(MAKEFILE);
    let build = || bench.build(&bench.path("linux"), &[]);
    let nothing = bench.path("tmp");
    build()
        .env("PATH", &nothing)
        .run()
        .failed(1, &["make, gcc, ld, flex, bison, bc", "apt-get install make gcc binutils flex bison bc"]);
    bench.tool("gcc", "case $* in *-lelf*) exit 1; esac");
    let err = build().run().failed(1, &["libelf's headers", "apt-get install libelf-dev`"]);
    assert!(!err.contains("libc6-dev"), "{err}");
    bench.tool("gcc", "exit 1");
    build().run().failed(1, &["apt-get install libc6-dev libelf-dev`"]);
    bench.build(&bench.path("nowhere"), &[]).run().failed(1, &["libc6-dev"]);
}

#[test]
fn what_is_no_source_is_refused() {
    let bench = Bench::new(MAKEFILE);
    bench.build(&bench.path("tools"), &[]).run().failed(1, &["not usable as the source", "no Makefile"]);
    let text = write(bench.directory.path(), "text.tar", "no archive at all");
    bench.build(&text, &[]).run().failed(1, &["text.tar"]);
    bench.build(&bench.path("linux"), &["--name", "../x"]).run().failed(1, &["no name for a kernel"]);
    assert_eq!(bench.left(), [""; 0].map(PathBuf::from));
}

#[test]
fn an_interrupted_build_leaves_nothing() {
    let pids = tempfile::NamedTempFile::new().unwrap();
    let waiting = format!(
        "\t@sleep 1000 & echo $$! >> {0}; sleep 1000 >/dev/null 2>&1 & echo $$! >> {0}; wait",
        pids.path().display()
    );
    let makefile = MAKEFILE.replace("\t@echo \"  CC      init/main.o\"", &waiting);
    for (signal, code) in [(Signal::INT, 130), (Signal::TERM, 143)] {
        fs::write(pids.path(), "").unwrap();
        let bench = Bench::new(&makefile);
        let mut running = bench.build(&bench.path("linux"), &[]).start();
        while fs::read_to_string(pids.path()).unwrap().lines().count() < 2 {
            assert!(running.child.try_wait().unwrap().is_none(), "{}", running.finish().err());
            sleep(Duration::from_millis(10));
        }
        running.signal(signal);
        running.finish().failed(code, &["interrupted"]);
        assert_eq!(bench.left(), [""; 0].map(PathBuf::from));
        for pid in fs::read_to_string(pids.path()).unwrap().lines() {
            assert!(is_gone(pid), "process {pid} is still there");
        }
    }
}

/// Whether a process has ended; what nobody has waited for yet has. One that was killed may take a moment.
fn is_gone(pid: &str) -> bool {
    (0..500).any(|_| {
        let stat = fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
        let gone = stat.is_empty() || stat.contains(") Z ") || stat.contains(") X ");
        if !gone {
            sleep(Duration::from_millis(10));
        }
        gone
    })
}
