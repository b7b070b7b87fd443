//! `ampoule version`.

use crate::embedded::Embedded;
use anyhow::Result;

/// Prints the version and what is built in.
pub fn version(json: bool) -> Result<()> {
    let version = env!("CARGO_PKG_VERSION");
    let parts = Embedded::ALL.map(|part| (part.key(), part.bytes().len()));
    if json {
        let built_in: serde_json::Map<_, _> =
            parts.iter().map(|(key, len)| ((*key).to_owned(), serde_json::json!({ "bytes": len }))).collect();
        println!("{}", serde_json::json!({ "version": version, "built_in": built_in }));
        return Ok(());
    }
    println!("ampoule {version}");
    for (key, len) in parts {
        println!("  {key:<12} {:>6} KiB", len.div_ceil(1024));
    }
    Ok(())
}
