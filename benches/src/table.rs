//! The table that is printed, in Markdown.

/// One measurement beside its peer.
pub struct Row {
    /// What was measured.
    pub what: String,
    /// The unit of both values.
    pub unit: &'static str,
    /// Ours.
    pub ours: f64,
    /// The peer, and its value.
    pub peer: Option<(String, f64)>,
    /// What is promised: the most that the value may be, or the most that the ratio may be.
    pub promise: Option<Promise>,
}

/// A promise of SPECIFICATION.md.
#[derive(Clone, Copy)]
pub enum Promise {
    /// The value, in the row's unit.
    Value(f64),
    /// Ours over the peer's.
    Ratio(f64),
    /// The most that ours may be above the peer's, in the row's unit.
    Added(f64),
}

impl Row {
    fn ratio(&self) -> Option<f64> {
        self.peer.as_ref().map(|(_, value)| self.ours / value)
    }

    fn promise_text(&self) -> String {
        let (text, kept) = match self.promise {
            None => return String::new(),
            Some(Promise::Value(most)) => (format!("<= {most} {}", self.unit), self.ours <= most),
            Some(Promise::Ratio(most)) => {
                (format!("<= {most} times the peer"), self.ratio().is_some_and(|ratio| ratio <= most))
            }
            Some(Promise::Added(most)) => {
                let added = self.peer.as_ref().map(|(_, value)| self.ours - value);
                (
                    format!("<= {most} {} more than the peer", self.unit),
                    added.is_some_and(|added| added <= most),
                )
            }
        };
        format!("{text}: {}", if kept { "kept" } else { "MISSED" })
    }
}

/// Prints all rows.
pub fn print(rows: &[Row]) {
    println!("| what | ours | peer | ratio | promise |\n|---|---|---|---|---|");
    for row in rows {
        let peer = row
            .peer
            .as_ref()
            .map_or(String::new(), |(name, value)| format!("{value:.2} {} ({name})", row.unit));
        let ratio = row.ratio().map_or(String::new(), |ratio| format!("{ratio:.2}"));
        println!(
            "| {} | {:.2} {} | {peer} | {ratio} | {} |",
            row.what,
            row.ours,
            row.unit,
            row.promise_text()
        );
    }
}
