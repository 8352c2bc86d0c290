//! Messages from phones, for those who ask.

use std::fmt::Write as _;

use domain::ids::{InboundId, KeyId};
use domain::inbound::Origin;
use domain::phone::Country;
use domain::secret::Body;

use super::super::row::{optional_word, time, word};
use super::super::sql::{self, Row, Statements, Value, get};
use super::super::write::consent;
use super::first_id;
use crate::StoreError;
use crate::port::inbound::{InboundFilter, InboundRecord};
use crate::seal::{Column, Vault};

const MESSAGE: &str = "id, provider, provider_message_id, sealed_from, country, sent_to, sealed_text, segments, keyword, \
     word, caller, handling, received_at";

pub(in super::super) fn inbound(
    statements: &mut Statements<'_>,
    filter: &InboundFilter,
) -> Result<Vec<InboundRecord>, StoreError> {
    let vault = statements.vault();
    let hash = filter.from.map(|number| vault.blind(number));
    let (sql, values) = inbound_sql(filter, hash);
    statements.collect_of(&sql, sql::list(values), |row| message(&vault, row))
}

/// Ids begin with the time: a bound on the id keeps the scan short, the exact one follows.
pub(in super::super) fn inbound_sql(filter: &InboundFilter, hash: Option<i64>) -> (String, Vec<Value>) {
    let (mut sql, mut values) = (format!("SELECT {MESSAGE} FROM inbound WHERE true"), Vec::new());
    let mut condition = |text: &str, value: Value| {
        values.push(value);
        let _ = write!(sql, " AND {}", text.replace('?', &format!("?{}", values.len())));
    };
    if let Some(id) = filter.id {
        condition("id = ?", Value::Blob(id.as_bytes().to_vec()));
    }
    if let Some(hash) = hash {
        condition("from_hash = ?", Value::Integer(hash));
    }
    if let Some(caller) = filter.caller {
        condition("caller = ?", Value::Blob(caller.as_bytes().to_vec()));
    }
    if let Some(to) = &filter.to {
        condition("sent_to = ?", Value::Text(to.clone()));
    }
    if let Some(handling) = filter.handling {
        condition("handling = ?", Value::Text(handling.as_str().into()));
    }
    if let Some(since) = filter.since {
        condition("id >= ?", Value::Blob(first_id(since).to_vec()));
        condition("received_at >= ?", Value::Integer(since.as_micros()));
    }
    if let Some(until) = filter.until {
        condition("id <= ?", Value::Blob(InboundId::new(until, [255; 10]).as_bytes().to_vec()));
        condition("received_at < ?", Value::Integer(until.as_micros()));
    }
    if let Some(after) = filter.after {
        condition("id < ?", Value::Blob(after.as_bytes().to_vec()));
    }
    values.push(Value::Integer(filter.limit.into()));
    let _ = write!(sql, " ORDER BY id DESC LIMIT ?{}", values.len());
    (sql, values)
}

fn message(vault: &Vault, row: &Row<'_>) -> Result<InboundRecord, StoreError> {
    let id = InboundId::from_bytes(get(row, 0)?);
    let from = vault.open_value(Column::InboundFrom, id.as_bytes(), &get::<Vec<u8>>(row, 3)?)?;
    let from = match optional_word::<Country>(row, 4)? {
        Some(country) => Origin::Phone(consent::number(Some(&from), country)?.ok_or(StoreError::Corrupt)?),
        None => Origin::Other(body(&from)?),
    };
    let sealed = get::<Option<Vec<u8>>>(row, 6)?;
    let text =
        sealed.map(|sealed| vault.open_value(Column::InboundText, id.as_bytes(), &sealed)).transpose()?;
    Ok(InboundRecord {
        id,
        provider: word(row, 1)?,
        provider_message_id: get(row, 2)?,
        from,
        to: get(row, 5)?,
        body: text.map(|text| body(&text)).transpose()?,
        segments: get(row, 7)?,
        keyword: optional_word(row, 8)?,
        word: get(row, 9)?,
        caller: get::<Option<[u8; 16]>>(row, 10)?.map(KeyId::from_bytes),
        handling: word(row, 11)?,
        received_at: time(row, 12)?,
    })
}

fn body(plain: &[u8]) -> Result<Body, StoreError> {
    std::str::from_utf8(plain).map(Body::new).map_err(|_damaged| StoreError::Corrupt)
}
