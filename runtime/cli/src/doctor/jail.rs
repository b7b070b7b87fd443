//! The checks of the isolation: one for each layer.

use super::check::Check;
use ampoule_engine::{Jail, Layer, Missing};

/// Enters the jail with a process that ends there, and says how far it came.
pub fn checks() -> Vec<Check> {
    match Jail::probe() {
        Ok(jail) => Layer::all().map(|layer| check(layer, &jail.missing)).collect(),
        Err(error) => vec![Check::failed("jail", error.to_string(), "see the kernel's log (`dmesg`)")],
    }
}

fn check(layer: Layer, missing: &[Missing]) -> Check {
    let name = layer.key();
    match missing.iter().find(|missing| missing.layer == layer) {
        None => Check::ok(name, format!("the VMM is behind it ({})", layer.name())),
        Some(missing) if layer == Layer::SystemCallFilters => {
            Check::failed(name, format!("{missing}: no guest runs without"), layer.mend())
        }
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

    #[test]
    fn a_missing_layer_is_a_warning_with_its_remedy() {
        let user = Layer::Jail(ampoule_jail::Layer::User);
        let missing =
            [user, Layer::SystemCallFilters].map(|layer| Missing { layer, why: "not permitted".into() });
        let check_user = check(user, &missing);
        assert_eq!(check_user.verdict, Verdict::Warning);
        assert!(check_user.mend.is_some_and(|mend| mend.contains("max_user_namespaces")));
        assert_eq!(check(Layer::ControlGroup, &missing).verdict, Verdict::Ok);
        assert_eq!(check(Layer::SystemCallFilters, &missing).verdict, Verdict::Failed);
    }
}
