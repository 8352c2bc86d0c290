//! Templates are drafted, published and taken out of use.

use domain::audit::{Act, Event, NewEntry};

use super::super::sql::{Statements, get, params};
use crate::StoreError;
use crate::group::TemplateChange;
use crate::port::templates::{Draft, Publish};

/// Numbers go on behind those of before, also of those that were taken out of use.
const NEXT: &str = "SELECT coalesce(max(version), 0) + 1 FROM templates WHERE name = ?1";

const DRAFT: &str = "INSERT INTO templates (name, version, definition, created_at, created_by) \
     VALUES (?1, ?2, ?3, ?4, ?5)";

const NEWEST: &str = "SELECT max(version) FROM templates WHERE name = ?1 AND retired_at IS NULL";

/// The one put in force last is in force, whatever the clock of the node said that put another in force before.
const AFTER: &str = "SELECT coalesce(max(published_at), 0) + 1 FROM templates WHERE name = ?1";

const PUBLISH: &str = "UPDATE templates SET published_at = ?3, published_by = ?4 \
     WHERE name = ?1 AND version = ?2 AND retired_at IS NULL";

const RETIRE: &str = "UPDATE templates SET retired_at = ?2 WHERE name = ?1 AND retired_at IS NULL";

/// Answers the version, or how many were taken out of use; 0 if there is none.
pub(in super::super) fn change(
    statements: &mut Statements<'_>,
    change: &TemplateChange,
) -> Result<u32, StoreError> {
    match change {
        TemplateChange::Draft(new) => draft(statements, new),
        TemplateChange::Publish(wanted) => publish(statements, wanted),
        TemplateChange::Retire(name, act) => {
            let retired = statements.execute(RETIRE, params![name, act.at.as_micros()])?;
            if retired > 0 {
                tell(statements, act, Event::TemplateDeleted, name.clone());
            }
            Ok(u32::try_from(retired).unwrap_or(u32::MAX))
        }
    }
}

fn draft(statements: &mut Statements<'_>, draft: &Draft) -> Result<u32, StoreError> {
    let Draft { name, definition, act } = draft;
    let next = statements.first(NEXT, params![name], |row| get::<u32>(row, 0))?.unwrap_or(1);
    let values = params![name, next, definition, act.at.as_micros(), act.by.to_string()];
    statements.execute(DRAFT, values)?;
    tell(statements, act, Event::TemplateDrafted, format!("{name}@{next}"));
    Ok(next)
}

fn publish(statements: &mut Statements<'_>, publish: &Publish) -> Result<u32, StoreError> {
    let Publish { name, version, act } = publish;
    let newest = statements.first(NEWEST, params![name], |row| get::<Option<u32>>(row, 0))?.flatten();
    let Some(version) = version.or(newest) else { return Ok(0) };
    let after = statements.first(AFTER, params![name], |row| get::<i64>(row, 0))?.unwrap_or_default();
    let at = after.max(act.at.as_micros());
    if statements.execute(PUBLISH, params![name, version, at, act.by.to_string()])? == 0 {
        return Ok(0);
    }
    tell(statements, act, Event::TemplatePublished, format!("{name}@{version}"));
    Ok(version)
}

fn tell(statements: &mut Statements<'_>, act: &Act, event: Event, about: String) {
    statements.tell(NewEntry::of_act(act, event, about));
}
