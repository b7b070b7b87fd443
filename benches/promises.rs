//! Measures what SPECIFICATION.md promises: `cargo bench -p ampoule-benches`.

use ampoule_benches::{boot, jail, memory, micro, stream, table};
use anyhow::Result;

fn main() -> Result<()> {
    // `cargo test` runs bench targets too, with this argument; it is no place to measure.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    let mut rows = boot::rows()?;
    rows.extend(jail::rows()?);
    rows.extend(memory::rows()?);
    rows.extend(micro::rows()?);
    rows.extend(stream::rows()?);
    table::print(&rows);
    Ok(())
}
