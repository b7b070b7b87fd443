//! The checks of the jail: one for each layer.

use super::check::Check;
use ampoule_jail::{Layer, Missing};

/// Enters the jail with a process that ends there, and says how far it came.
pub fn checks() -> Vec<Check> {
    match ampoule_jail::probe() {
        Ok((_, missing)) => Layer::ALL.into_iter().map(|layer| check(layer, &missing)).collect(),
        Err(error) => vec![Check::failed("jail", error.to_string(), "see the kernel's log (`dmesg`)")],
    }
}

fn check(layer: Layer, missing: &[Missing]) -> Check {
    let name = layer.key();
    match missing.iter().find(|missing| missing.layer == layer) {
        None => Check::ok(name, format!("the VMM is jailed: {}", layer.name())),
        Some(missing) => Check::warning(
            name,
            format!("{missing}: guests are held by the other layers alone, and `run --strict` refuses"),
            layer.mend(),
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::super::check::Verdict;
    use super::*;
    use rustix::io::Errno;

    #[test]
    fn a_missing_layer_is_a_warning_with_its_remedy() {
        let missing = [Missing { layer: Layer::User, errno: Errno::PERM }];
        let check_user = check(Layer::User, &missing);
        assert_eq!(check_user.verdict, Verdict::Warning);
        assert!(check_user.mend.is_some_and(|mend| mend.contains("max_user_namespaces")));
        assert_eq!(check(Layer::Net, &missing).verdict, Verdict::Ok);
    }
}
