//! What is asked about many people at once: here one by one, for a question costs a call.

use std::collections::{BTreeSet, HashMap};

use domain::reply::Reference;

use super::read::prompts::reference;
use super::sql::{Statements, params};
use super::write::consent::{OF_NUMBER, opt_out};
use crate::StoreError;
use crate::port::consent::HeldBack;

pub(super) const OPEN_NAMES: &str = "SELECT p.reference FROM prompt_receivers r \
     JOIN prompts p ON p.id = r.prompt_id WHERE r.receiver_hash = ?1 AND r.closed_at IS NULL AND p.outcome IS NULL";

/// What each of them does not want; nobody is in it who has not opted out.
pub(super) fn opt_outs(
    statements: &mut Statements<'_>,
    people: &[i64],
) -> Result<HashMap<i64, Vec<HeldBack>>, StoreError> {
    let mut found = HashMap::new();
    for person in people {
        let theirs = statements.collect(OF_NUMBER, params![person], |row| opt_out(row, 0))?;
        if !theirs.is_empty() {
            found.insert(*person, theirs);
        }
    }
    Ok(found)
}

/// Those of them who have an open prompt of this name.
pub(super) fn with_an_open_prompt(
    statements: &mut Statements<'_>,
    people: &[i64],
    name: &Reference,
) -> Result<BTreeSet<i64>, StoreError> {
    let mut found = BTreeSet::new();
    for person in people {
        let names = statements.collect(OPEN_NAMES, params![person], |row| reference(row, 0))?;
        if names.contains(name) {
            found.insert(*person);
        }
    }
    Ok(found)
}
