//! The two trees that ampoule itself brings: the default root image and the agent's.

use std::collections::BTreeSet;
use std::io::Read;
use std::os::unix::ffi::OsStrExt;
use std::path::Path;
use std::process::{Command, Stdio};

use crate::builder::ImageBuilder;
use crate::error::{Error, printable};
use crate::tree::Meta;

/// Directories of the default image, with permissions and owner (user and group alike).
const DIRECTORIES: &[(&str, u16, u32)] = &[
    ("/", 0o755, 0),
    ("/bin", 0o755, 0),
    ("/dev", 0o755, 0),
    ("/etc", 0o755, 0),
    ("/home", 0o755, 0),
    ("/home/user", 0o755, USER),
    ("/mnt", 0o755, 0),
    ("/opt", 0o755, 0),
    ("/proc", 0o555, 0),
    ("/root", 0o700, 0),
    ("/run", 0o755, 0),
    ("/sbin", 0o755, 0),
    ("/srv", 0o755, 0),
    ("/sys", 0o555, 0),
    ("/tmp", 0o1777, 0),
    ("/usr", 0o755, 0),
    ("/usr/bin", 0o755, 0),
    ("/usr/sbin", 0o755, 0),
    ("/var", 0o755, 0),
    ("/var/tmp", 0o1777, 0),
];

/// The unprivileged user's id.
const USER: u32 = 1000;

/// Files of the default image, all 0644 and root's.
const FILES: &[(&str, &str)] = &[
    (
        "/etc/passwd",
        "root:x:0:0:root:/root:/bin/sh\n\
         nobody:x:65534:65534:nobody:/:/bin/false\n\
         user:x:1000:1000:user:/home/user:/bin/sh\n",
    ),
    ("/etc/group", "root:x:0:\ntty:x:5:\nnogroup:x:65534:\nuser:x:1000:\n"),
    ("/etc/hosts", "127.0.0.1 localhost ampoule\n::1 localhost ip6-localhost ip6-loopback\n"),
    ("/etc/hostname", "ampoule\n"),
    ("/etc/nsswitch.conf", "passwd: files\ngroup: files\nhosts: files dns\n"),
    (
        "/etc/profile",
        "export PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin\n\
         [ -z \"$PS1\" ] || PS1='\\u@\\h:\\w\\$ '\n",
    ),
    ("/etc/resolv.conf", ""),
    ("/etc/shells", "/bin/sh\n/bin/ash\n"),
];

/// Where busybox lives in the default image.
const BUSYBOX: &str = "/bin/busybox";
/// Directories that busybox may put links into.
const LINK_DIRECTORIES: &[&str] = &["bin", "sbin", "usr/bin", "usr/sbin"];

/// Adds the default root: a static busybox with a symbolic link for each of its applets, the usual directories, users
/// `root`, `nobody` and `user` (1000). `busybox` is run to ask it for its applets.
///
/// # Errors
/// If busybox cannot be read or run or is not static.
pub fn add_default_tree(builder: &mut ImageBuilder<'_>, busybox: &Path) -> Result<(), Error> {
    let time = builder.options().times.default_time();
    let meta = |permissions, owner| Meta { permissions, uid: owner, gid: owner, mtime: time };
    let program = read_busybox(busybox)?;
    for &(path, permissions, owner) in DIRECTORIES {
        builder.directory(path.as_bytes(), meta(permissions, owner))?;
    }
    builder.file(BUSYBOX.as_bytes(), meta(0o755, 0), &mut program.as_slice())?;
    for applet in applets(busybox)? {
        builder.symlink(applet.as_bytes(), meta(0o777, 0), BUSYBOX.as_bytes())?;
    }
    for &(path, content) in FILES {
        builder.file(path.as_bytes(), meta(0o644, 0), &mut content.as_bytes())?;
    }
    Ok(())
}

/// Adds the agent image's one file, `/agent` with permissions 0755.
///
/// # Errors
/// If the image cannot be written.
pub fn add_agent_tree(builder: &mut ImageBuilder<'_>, agent: &[u8]) -> Result<(), Error> {
    let mtime = builder.options().times.default_time();
    builder.file(b"/agent", Meta { permissions: 0o755, uid: 0, gid: 0, mtime }, &mut &*agent)
}

fn refuse(busybox: &Path, problem: impl Into<String>) -> Error {
    Error::BadBusybox { path: printable(busybox.as_os_str().as_bytes()), problem: problem.into() }
}

fn read_busybox(busybox: &Path) -> Result<Vec<u8>, Error> {
    const MAX: u64 = 64 << 20;
    let failed = |error| Error::io("read", busybox.as_os_str().as_bytes(), error);
    let mut program = Vec::new();
    std::fs::File::open(busybox).map_err(failed)?.take(MAX).read_to_end(&mut program).map_err(failed)?;
    match needs_interpreter(&program) {
        Some(false) => Ok(program),
        Some(true) => Err(refuse(busybox, "it is dynamically linked; install busybox-static")),
        None => Err(refuse(busybox, "it is not an x86-64 ELF program")),
    }
}

/// Whether a 64-bit ELF program asks for a dynamic linker; `None` if it is not one.
fn needs_interpreter(program: &[u8]) -> Option<bool> {
    const PT_INTERP: [u8; 4] = 3u32.to_le_bytes();
    const X86_64: [u8; 2] = 62u16.to_le_bytes();
    if !program.starts_with(b"\x7fELF\x02\x01") || program.get(18..20)? != X86_64 {
        return None;
    }
    let table = usize::try_from(u64::from_le_bytes(*program.get(32..)?.first_chunk()?)).ok()?;
    let size = usize::from(u16::from_le_bytes(*program.get(54..)?.first_chunk()?));
    let count = usize::from(u16::from_le_bytes(*program.get(56..)?.first_chunk()?));
    let headers = program.get(table..table.checked_add(size.checked_mul(count)?)?)?;
    Some(size > 0 && headers.chunks(size).any(|header| header.starts_with(&PT_INTERP)))
}

/// Absolute paths of the links that busybox wants, sorted, without busybox itself.
fn applets(busybox: &Path) -> Result<BTreeSet<String>, Error> {
    let output = Command::new(busybox).arg("--list-full").stdin(Stdio::null()).output();
    let output = output.map_err(|error| Error::io("run", busybox.as_os_str().as_bytes(), error))?;
    if !output.status.success() {
        return Err(refuse(busybox, format!("`--list-full` ended with {}", output.status)));
    }
    let list = String::from_utf8_lossy(&output.stdout);
    let wanted = |path: &&str| {
        path.rsplit_once('/').is_some_and(|(directory, name)| {
            LINK_DIRECTORIES.contains(&directory) && !name.is_empty() && name != "busybox"
        })
    };
    let paths: BTreeSet<String> = list.lines().filter(wanted).map(|path| format!("/{path}")).collect();
    if paths.contains("/bin/sh") { Ok(paths) } else { Err(refuse(busybox, "it has no applet /bin/sh")) }
}
