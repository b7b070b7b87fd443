//! Images that many tests share: built once, by whoever comes first, also of several processes.

use crate::Program;
use crate::lock::lock;
use std::fs;
use std::os::unix::fs::{PermissionsExt, symlink};
use std::path::{Path, PathBuf};
use std::process::Command;

/// A tree of files that becomes an image.
pub struct Tree {
    root: PathBuf,
}

impl Tree {
    /// An empty tree in a directory.
    pub fn new(root: &Path) -> Self {
        for directory in ["bin", "tmp", "work", "root", "etc"] {
            fs::create_dir_all(root.join(directory)).expect("a directory of the tree");
        }
        fs::set_permissions(root.join("tmp"), fs::Permissions::from_mode(0o1777))
            .expect("permissions of /tmp");
        fs::write(
            root.join("etc/passwd"),
            "root:x:0:0:root:/root:/bin/sh\nnobody:x:65534:65534:nobody:/:/bin/false\n",
        )
        .expect("/etc/passwd");
        fs::write(root.join("etc/group"), "root:x:0:\ntty:x:5:\nnogroup:x:65534:\n").expect("/etc/group");
        Self { root: root.to_owned() }
    }

    /// Copies a file to a path of the tree.
    pub fn file(&self, from: &Path, to: &str) -> &Self {
        let to = self.root.join(to.trim_start_matches('/'));
        fs::create_dir_all(to.parent().expect("a path of a file")).expect("a directory of the tree");
        fs::copy(from, &to).unwrap_or_else(|error| panic!("{}: {error}", from.display()));
        self
    }

    /// Copies the loader and the libraries of a dynamically linked program.
    pub fn libraries_of(&self, program: &Path) -> &Self {
        let output = Command::new("ldd").arg(program).output().expect("ldd is a part of libc-bin");
        let list = String::from_utf8_lossy(&output.stdout).into_owned();
        for path in list.split_whitespace().filter(|word| word.starts_with('/')) {
            self.file(Path::new(path), path);
            // The C library loads this one itself, when a thread is cancelled.
            let beside = Path::new(path).with_file_name("libgcc_s.so.1");
            if beside.exists() {
                self.file(&beside, beside.to_str().expect("a name in UTF-8"));
            }
        }
        self
    }

    /// Puts busybox into `/bin`, and links to it for all its applets into `/applets`.
    pub fn busybox(&self) -> &Self {
        crate::need(crate::BUSYBOX, "busybox-static");
        self.file(Path::new(crate::BUSYBOX), "/bin/busybox");
        symlink("busybox", self.root.join("bin/sh")).expect("/bin/sh");
        applets(&self.root.join("applets"), Path::new("/bin/busybox"));
        self
    }
}

/// Fills a directory with links to busybox.
pub fn applets(directory: &Path, busybox: &Path) {
    fs::create_dir_all(directory).expect("a directory for applets");
    let list = Program::new(crate::BUSYBOX).args(["--list"]).run().succeeded();
    for applet in list.lines() {
        symlink(busybox, directory.join(applet)).unwrap_or_else(|error| panic!("{applet}: {error}"));
    }
}

/// Builds an image of a directory, beside it.
pub fn build(tree: &Path) -> PathBuf {
    let file = tree.with_extension("erofs");
    let built = Program::ampoule(["image", "build"]).args([tree]).args(["--output"]).args([&file]).run();
    assert_eq!(built.code(), 0, "{}", built.err());
    file
}

/// The image file `directory/name`, newer than all of `sources`; `fill` makes its tree if it has to be built.
pub fn cached(directory: &Path, name: &str, sources: &[&Path], fill: impl FnOnce(&Tree)) -> PathBuf {
    fs::create_dir_all(directory).expect("a directory for images");
    let image = directory.join(name);
    let _lock = lock(&directory.join(format!("{name}.lock")));
    let newer = |source: &&Path| modified(source) < modified(&image);
    if image.exists() && sources.iter().all(newer) {
        return image;
    }
    let scratch = tempfile::tempdir_in(directory).expect("a temporary directory");
    fill(&Tree::new(scratch.path()));
    let built =
        Program::ampoule(["image", "build"]).args([scratch.path()]).args(["--output"]).args([&image]).run();
    assert_eq!(built.code(), 0, "{}", built.err());
    image
}

fn modified(path: &Path) -> Option<std::time::SystemTime> {
    fs::metadata(path).and_then(|metadata| metadata.modified()).ok()
}
