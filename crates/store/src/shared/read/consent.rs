//! What people want and do not want, for those who ask.

use std::fmt::Write as _;

use domain::consent::{Class, Extent, Question};
use domain::ids::{ConsentId, InboundId};
use domain::phone::Msisdn;

use super::super::row::{optional_word, time, word};
use super::super::sql::{self, Row, Statements, Value, get, params};
use super::super::write::consent::{self, sender};
use crate::StoreError;
use crate::port::consent::{ConsentRecord, HeldBack, OptOutFilter};
use crate::seal::{Column, Vault};

const ENTRY: &str = "c.id, c.country, c.sealed_number, c.sender, c.direction, c.extent, c.source, c.provider, \
     c.inbound_id, c.detail, c.actor, c.at";

pub(in super::super) fn held_back(
    statements: &mut Statements<'_>,
    number: Msisdn,
    question: &Question,
) -> Result<Option<HeldBack>, StoreError> {
    consent::held_back(statements, number, question)
}

pub(in super::super) fn opt_outs(
    statements: &mut Statements<'_>,
    filter: &OptOutFilter,
) -> Result<Vec<ConsentRecord>, StoreError> {
    let vault = statements.vault();
    let hash = filter.number.map(|number| vault.blind(number));
    let (sql, values) = opt_outs_sql(filter, hash);
    statements.collect_of(&sql, sql::list(values), |row| entry(&vault, row))
}

/// Walks back through the opt-outs that hold, or through those of one person.
pub(in super::super) fn opt_outs_sql(filter: &OptOutFilter, hash: Option<i64>) -> (String, Vec<Value>) {
    let mut sql = format!("SELECT {ENTRY} FROM opt_outs o JOIN consents c ON c.id = o.consent_id WHERE true");
    let mut values = Vec::new();
    let mut condition = |text: &str, value: Value| {
        values.push(value);
        let _ = write!(sql, " AND {}", text.replace('?', &format!("?{}", values.len())));
    };
    if let Some(hash) = hash {
        condition("o.number_hash = ?", Value::Integer(hash));
    }
    if let Some(sender) = &filter.sender {
        condition("o.sender = ?", Value::Text(sender.as_str().into()));
    }
    if filter.class == Some(Class::Service) {
        condition("o.extent = ?", Value::Text(Extent::All.as_str().into()));
    }
    if let Some(after) = filter.after {
        condition("o.consent_id < ?", Value::Blob(after.as_bytes().to_vec()));
    }
    values.push(Value::Integer(filter.limit.into()));
    let _ = write!(sql, " ORDER BY o.consent_id DESC LIMIT ?{}", values.len());
    (sql, values)
}

pub(in super::super) fn history(
    statements: &mut Statements<'_>,
    number: Msisdn,
    limit: u32,
) -> Result<Vec<ConsentRecord>, StoreError> {
    let vault = statements.vault();
    let values = params![vault.blind(number), limit];
    statements.collect_of(&history_sql(), values, |row| entry(&vault, row))
}

pub(in super::super) fn history_sql() -> String {
    format!("SELECT {ENTRY} FROM consents c WHERE c.number_hash = ?1 ORDER BY c.id DESC LIMIT ?2")
}

fn entry(vault: &Vault, row: &Row<'_>) -> Result<ConsentRecord, StoreError> {
    let id = ConsentId::from_bytes(get(row, 0)?);
    let sealed = get::<Option<Vec<u8>>>(row, 2)?;
    let number = sealed.map(|sealed| vault.open_value(Column::ConsentNumber, id.as_bytes(), &sealed));
    let number = number.transpose()?;
    Ok(ConsentRecord {
        id,
        number: consent::number(number.as_ref().map(|plain| plain.as_slice()), word(row, 1)?)?,
        sender: sender(row, 3)?,
        direction: word(row, 4)?,
        extent: word(row, 5)?,
        source: word(row, 6)?,
        provider: optional_word(row, 7)?,
        inbound_id: get::<Option<[u8; 16]>>(row, 8)?.map(InboundId::from_bytes),
        detail: get(row, 9)?,
        by: word(row, 10)?,
        at: time(row, 11)?,
    })
}
