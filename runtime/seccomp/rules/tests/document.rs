//! The documentation says what the filters say.

use ampoule_seccomp_rules::{Filters, directory, document};
use std::path::Path;

#[test]
fn docs_have_every_rule() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../../docs/seccomp.md");
    let text = std::fs::read_to_string(file).unwrap();
    let tables = document(&Filters::read(&directory()).unwrap());
    assert!(
        text.ends_with(&tables),
        "docs/seccomp.md does not end with what `cargo run -p ampoule-seccomp-rules --example document` prints"
    );
}

#[test]
fn no_filter_has_a_rule_twice() {
    let filters = Filters::read(&directory()).unwrap();
    for (name, _) in filters.iter() {
        let rules = filters.rules(name);
        for (index, rule) in rules.iter().enumerate() {
            let same = |other: &&&ampoule_seccomp_rules::Rule| {
                other.call == rule.call
                    && (other.conditions == rule.conditions || other.conditions.is_empty())
            };
            let earlier = rules[..index].iter().find(same);
            assert!(
                earlier.is_none(),
                "{name}: {} is allowed already, to: {}",
                rule.call,
                earlier.unwrap().reason
            );
        }
    }
}
