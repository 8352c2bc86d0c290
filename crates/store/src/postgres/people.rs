//! What is asked about many people at once, with one question for all of them.

use std::collections::{BTreeSet, HashMap};

use domain::reply::Reference;

use super::read::prompts::reference;
use super::sql::{Statements, column, get, params};
use super::write::consent::opt_out;
use crate::StoreError;
use crate::port::consent::HeldBack;

pub(super) const OPT_OUTS: &str = "SELECT number_hash, sender, extent, source, since FROM opt_outs \
     WHERE number_hash = ANY($1::int8[])";

const OPEN_NAMES: &str = "SELECT r.receiver_hash, p.reference FROM prompt_receivers r \
     JOIN prompts p ON p.id = r.prompt_id WHERE r.receiver_hash = ANY($1::int8[]) AND r.closed_at IS NULL \
     AND p.outcome IS NULL";

/// What each of them does not want; nobody is in it who has not opted out.
pub(super) fn opt_outs(
    statements: &mut Statements<'_>,
    people: &[i64],
) -> Result<HashMap<i64, Vec<HeldBack>>, StoreError> {
    if people.is_empty() {
        return Ok(HashMap::new());
    }
    statements.ask_early(OPT_OUTS, params![column(people)])?;
    answered(statements)
}

/// What was asked early by [`OPT_OUTS`].
pub(super) fn answered(statements: &mut Statements<'_>) -> Result<HashMap<i64, Vec<HeldBack>>, StoreError> {
    let rows = statements.collect(OPT_OUTS, params![], |row| Ok((get::<i64>(row, 0)?, opt_out(row, 1)?)))?;
    let mut found: HashMap<i64, Vec<HeldBack>> = HashMap::new();
    for (person, opt_out) in rows {
        found.entry(person).or_default().push(opt_out);
    }
    Ok(found)
}

/// Those of them who have an open prompt of this name.
pub(super) fn with_an_open_prompt(
    statements: &mut Statements<'_>,
    people: &[i64],
    name: &Reference,
) -> Result<BTreeSet<i64>, StoreError> {
    let rows = statements
        .collect(OPEN_NAMES, params![column(people)], |row| Ok((get::<i64>(row, 0)?, reference(row, 1)?)))?;
    Ok(rows.into_iter().filter(|(_, open)| open == name).map(|(person, _)| person).collect())
}
