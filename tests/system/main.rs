//! The whole system from its command line: what `ampoule` prints, exits with and leaves behind, with real microVMs.
//!
//! - [`ends`]: exit codes and sentences. [`streams`]: standard input and output. [`options`]: what the flags do.
//! - [`signals`], [`leftovers`]: interrupted and killed sandboxes; nothing stays.
//! - [`many`], [`exhaustion`]: many sandboxes, and guests that take all they can get.
//! - [`hostile`]: guest kernels and jobs that break the guest. [`terminal`]: `ampoule shell`.
//! - [`jail`]: what the VMM is locked up in. [`layers`]: hosts that lack a part of that.
//! - [`quotas`]: every limit, and policies. [`threats`]: what the threat model says of tests.
//! - [`kernels`]: stock Linux kernels; [`kernel_build`] makes one. [`host`]: hosts without KVM, `doctor`, images.

mod ends;
mod exhaustion;
mod host;
mod hostile;
mod jail;
mod kernel_build;
mod kernels;
mod layers;
mod leftovers;
mod many;
mod options;
mod quotas;
mod signals;
mod streams;
mod terminal;
mod threats;

use std::path::{Path, PathBuf};

/// Writes a file of a test's own directory.
fn write(directory: &Path, name: &str, content: impl AsRef<[u8]>) -> PathBuf {
    let path = directory.join(name);
    std::fs::write(&path, content).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    path
}

/// Bytes of every value, in no order that compresses or repeats soon.
fn noise(len: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut bytes = Vec::with_capacity(len + 8);
    while bytes.len() < len {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        bytes.extend_from_slice(&state.to_le_bytes());
    }
    bytes.truncate(len);
    bytes
}
