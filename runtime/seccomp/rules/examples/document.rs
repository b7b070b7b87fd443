//! Prints the tables of docs/seccomp.md.

fn main() -> Result<(), ampoule_seccomp_rules::Error> {
    let filters = ampoule_seccomp_rules::Filters::read(&ampoule_seccomp_rules::directory())?;
    print!("{}", ampoule_seccomp_rules::document(&filters));
    Ok(())
}
