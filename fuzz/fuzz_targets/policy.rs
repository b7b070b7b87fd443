//! The policy parser: any text is a valid policy or an error with a sentence.
#![no_main]

use ampoule_policies::Policy;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Err(error) = Policy::parse(text) {
        assert!(!error.to_string().is_empty());
    }
});
