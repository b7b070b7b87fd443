//! The filters in words.

use crate::filter::{Filter, Filters, Rule};
use std::fmt::Write;

/// The tables of `docs/seccomp.md`: of each filter, what it allows and why.
pub fn document(filters: &Filters) -> String {
    let mut text = String::new();
    for (name, filter) in filters.iter() {
        section(&mut text, name, filter);
    }
    text
}

fn section(text: &mut String, name: &str, filter: &Filter) {
    line(text, format_args!("### `{name}`\n\n{}\n\n| call | if | why |\n|---|---|---|", filter.thread));
    for rule in &filter.rules {
        let conditions: Vec<_> = rule
            .conditions
            .iter()
            .map(|condition| format!("`{}`", condition.text().replace('|', "\\|")))
            .collect();
        let (conditions, reason) = (conditions.join(", "), reason(rule));
        line(text, format_args!("| `{}` | {conditions} | {reason} |", rule.call));
    }
    text.push('\n');
}

fn reason(rule: &Rule) -> String {
    match &rule.rare {
        Some(rare) => format!("{} ({rare})", rule.reason),
        None => rule.reason.clone(),
    }
}

fn line(text: &mut String, words: std::fmt::Arguments<'_>) {
    writeln!(text, "{words}").unwrap_or_else(|error| unreachable!("a String takes everything: {error}"));
}
