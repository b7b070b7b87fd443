//! Landlock: a ruleset that handles everything and allows nothing.

use crate::command::Program;
use landlock::{
    ABI, Access, AccessFs, AccessNet, CompatLevel, Compatible, PathBeneath, Ruleset, RulesetAttr,
    RulesetCreatedAttr, RulesetError, Scope,
};
use rustix::io::Errno;
use std::os::fd::OwnedFd;

/// The newest interface that the library knows; a host that knows less gives what it has.
const NEWEST: ABI = ABI::V10;

/// The ruleset of a process that is about to execute `program`, which may be done even if it is a file.
pub(crate) fn deny_everything(program: Program<'_>) -> Result<OwnedFd, Errno> {
    let ruleset: Option<OwnedFd> = create(program).map_err(|_| Errno::INVAL)?;
    // The library does not say more.
    ruleset.ok_or(Errno::NOSYS)
}

fn create(program: Program<'_>) -> Result<Option<OwnedFd>, RulesetError> {
    let ruleset = Ruleset::default()
        .set_compatibility(CompatLevel::BestEffort)
        .handle_access(AccessFs::from_all(NEWEST))?
        .handle_access(AccessNet::from_all(NEWEST))?
        .scope(Scope::from_all(NEWEST))?
        .create()?;
    let ruleset = match program {
        Program::Memory(_) => ruleset,
        Program::File(file) => {
            ruleset.add_rule(PathBeneath::new(file, AccessFs::Execute | AccessFs::ReadFile))?
        }
    };
    Ok(ruleset.into())
}
