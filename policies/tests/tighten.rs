//! Whatever the options, a locked policy becomes no looser.

use ampoule_policies::{Limits, Mib, Overrides, Policy};
use proptest::prelude::*;
use std::time::Duration;

fn strict() -> Policy {
    Policy::named("strict").unwrap().unwrap()
}

/// Whether a limit is no looser than another: none is the loosest.
fn within<T: PartialOrd>(own: Option<T>, other: Option<T>) -> bool {
    match (own, other) {
        (_, None) => true,
        (None, Some(_)) => false,
        (Some(own), Some(other)) => own <= other,
    }
}

/// Every field of the limits, taken apart so that a new one cannot be forgotten here.
fn all(limits: &Limits) -> Vec<Option<u64>> {
    let Limits {
        cpu_milli,
        cpu_weight,
        cpu_time,
        vmm_memory,
        vmm_threads,
        processes,
        open_files,
        disk,
        disk_files,
        output,
        capture,
        output_file,
        vsock_rate,
        ..
    } = *limits;
    vec![
        cpu_milli.map(u64::from),
        // None is the weight of all others.
        Some(cpu_weight.unwrap_or(100).into()),
        cpu_time.map(|time| time.as_nanos() as u64),
        Some(vmm_memory),
        vmm_threads.map(u64::from),
        processes.map(u64::from),
        open_files.map(u64::from),
        disk,
        disk_files.map(u64::from),
        output,
        Some(capture as u64),
        Some(output_file),
        vsock_rate,
    ]
}

fn is_root(user: Option<&str>) -> bool {
    user.is_none_or(|user| user.split(':').any(|part| part.parse::<u32>().map_or(true, |id| id == 0)))
}

/// No option, no limit, or a limit around the policy's own.
fn option<T: Clone + std::fmt::Debug + 'static>(
    range: impl Strategy<Value = T> + 'static,
) -> impl Strategy<Value = Option<Option<T>>> {
    prop_oneof![6 => Just(None), 1 => Just(Some(None)), 6 => range.prop_map(|value| Some(Some(value)))]
}

fn overrides() -> impl Strategy<Value = Overrides> {
    let time = || (1u64..120_000).prop_map(Duration::from_millis);
    let users = prop::option::weighted(
        0.3,
        prop::sample::select(vec!["root", "0", "1", "65534:65534", "1:0", "bob", "7:8"]),
    );
    let pass = prop::collection::vec(prop::sample::select(vec!["HOME", "SECRET"]), 0..2);
    let first = (
        prop::option::weighted(0.5, (32u64..512).prop_map(|mib| Mib::new(mib).unwrap())),
        option(time()),
        option(10u32..3000),
        option(1u16..200),
        option(time()),
        option(2u32..200),
    );
    let second = (
        option(4u32..1000),
        option(1u64..200 << 20),
        option(16u32..9000),
        option(1u64..64 << 20),
        option(1u64..1 << 28),
    );
    (first, second, users, pass).prop_map(|(first, second, user, pass)| Overrides {
        memory: first.0,
        job: first.1,
        cpu_milli: first.2,
        cpu_weight: first.3,
        cpu_time: first.4,
        processes: first.5,
        open_files: second.0,
        disk: second.1,
        disk_files: second.2,
        output: second.3,
        vsock_rate: second.4,
        user: user.map(str::to_owned),
        pass: pass.into_iter().map(str::to_owned).collect(),
    })
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1024, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn a_locked_policy_is_never_loosened(overrides in overrides()) {
        let base = strict();
        if let Ok(policy) = base.with(&overrides) {
            prop_assert!(policy.machine.memory <= base.machine.memory && policy.machine.vcpus <= base.machine.vcpus);
            prop_assert!(within(policy.deadlines.job, base.deadlines.job));
            prop_assert_eq!(policy.deadlines.kill_grace, base.deadlines.kill_grace);
            for (index, (own, other)) in all(&policy.limits).into_iter().zip(all(&base.limits)).enumerate() {
                prop_assert!(within(own, other), "limit {}: {:?} is looser than {:?}", index, own, other);
            }
            prop_assert!(!is_root(policy.user.as_deref()), "{:?}", policy.user);
            prop_assert_eq!(policy.environment, base.environment);
            prop_assert_eq!(policy.system_calls, base.system_calls);
            prop_assert!(policy.locked);
        }
    }

    #[test]
    fn a_refusal_names_something_looser(overrides in overrides()) {
        let base = strict();
        let open = { let mut open = base.clone(); open.locked = false; open.with(&overrides).unwrap() };
        let tighter = open.machine.memory <= base.machine.memory
            && within(open.deadlines.job, base.deadlines.job)
            && all(&open.limits).into_iter().zip(all(&base.limits)).all(|(own, other)| within(own, other))
            && !is_root(open.user.as_deref())
            && open.environment == base.environment;
        prop_assert_eq!(base.with(&overrides).is_ok(), tighter);
    }

    #[test]
    fn no_text_makes_the_parser_panic(text in "[\\[\\]a-z_=\"0-9.\n -]{0,200}") {
        if let Err(error) = Policy::parse(&text) {
            prop_assert!(!error.to_string().is_empty());
        }
    }
}

#[test]
fn a_refusal_names_the_option_the_limit_and_both_values() {
    let overrides = Overrides { memory: Some(Mib::new(1024).unwrap()), ..Overrides::default() };
    assert_eq!(
        strict().with(&overrides).unwrap_err().to_string(),
        "--memory 1024 MiB is looser than the policy allows: `machine.memory_mib` is 256 MiB, and the policy is locked"
    );
}
