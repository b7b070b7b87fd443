//! Measures what SPECIFICATION.md promises: `cargo bench -p ampoule-benches [-- GROUP...]`.

use ampoule_benches::{boot, filters, jail, memory, micro, stream, table};
use anyhow::Result;

type Group = fn() -> Result<Vec<table::Row>>;

fn main() -> Result<()> {
    // `cargo test` runs bench targets too, with this argument; it is no place to measure.
    if std::env::args().any(|argument| argument == "--test") {
        return Ok(());
    }
    let words: Vec<String> = std::env::args().skip(1).take(2).collect();
    if let [filters::CHILD, part] = [0, 1].map(|index| words.get(index).map_or("", String::as_str)) {
        return filters::run_child(part);
    }
    let groups: [(&str, Group); 6] = [
        ("boot", boot::rows),
        ("jail", jail::rows),
        ("filters", filters::rows),
        ("memory", memory::rows),
        ("micro", micro::rows),
        ("stream", stream::rows),
    ];
    let named: Vec<String> = std::env::args().skip(1).filter(|argument| !argument.starts_with('-')).collect();
    let mut rows = Vec::new();
    for (name, group) in groups {
        if named.is_empty() || named.iter().any(|named| named == name) {
            rows.extend(group()?);
        }
    }
    table::print(&rows);
    Ok(())
}
