//! One-time codes, and what came of them.

use domain::conversion::Conversion;
use domain::ids::{KeyId, VerificationId};
use domain::phone::Msisdn;
use domain::time::Timestamp;
use domain::verification::Code;

use super::super::row::{time, word};
use super::super::sql::{Row, Statements, get, params};
use super::super::write::verifications::{FIND, kept};
use crate::StoreError;
use crate::port::verifications::{AskedConversions, RouteConversion, Verification};

/// Written with the index's own condition.
pub(in super::super) const OPEN: &str = "SELECT message_id, caller, sealed_code, expires_at FROM verifications \
     WHERE status = 'pending' AND receiver_hash = ?1 ORDER BY message_id DESC";

/// The same.
pub(in super::super) const OVERDUE: &str = "SELECT message_id FROM verifications \
     WHERE status = 'pending' AND expires_at <= ?1 ORDER BY expires_at LIMIT ?2";

pub(in super::super) const CONVERSIONS: &str = "SELECT provider, country, CAST(sum(sent) AS BIGINT), \
     CAST(sum(verified) AS BIGINT) FROM conversions WHERE grain = ?1 AND bucket >= ?2 \
     GROUP BY provider, country ORDER BY provider, country";

pub(in super::super) fn verification(
    statements: &mut Statements<'_>,
    id: VerificationId,
) -> Result<Option<Verification>, StoreError> {
    let found = statements.first(FIND, params![id.as_bytes()], kept)?;
    Ok(found.map(|found| found.verification))
}

pub(in super::super) fn open(
    statements: &mut Statements<'_>,
    caller: KeyId,
    receiver: Msisdn,
    now: Timestamp,
) -> Result<Option<(VerificationId, Option<Code>)>, StoreError> {
    let vault = statements.vault();
    let read = |row: &Row<'_>| {
        let (id, of) = (VerificationId::from_bytes(get(row, 0)?), KeyId::from_bytes(get(row, 1)?));
        Ok((id, of, get::<Option<Vec<u8>>>(row, 2)?, time(row, 3)?))
    };
    let found = statements.collect(OPEN, params![vault.blind(receiver)], read)?;
    let newest = found.into_iter().find(|(_, of, _, expires_at)| *of == caller && now < *expires_at);
    let Some((id, _, sealed, _)) = newest else { return Ok(None) };
    let code = sealed.map(|sealed| vault.code(id, &sealed)).transpose()?;
    Ok(Some((id, code)))
}

pub(in super::super) fn overdue(
    statements: &mut Statements<'_>,
    now: Timestamp,
    limit: u32,
) -> Result<Vec<VerificationId>, StoreError> {
    let read = |row: &Row<'_>| Ok(VerificationId::from_bytes(get(row, 0)?));
    statements.collect(OVERDUE, params![now.as_micros(), limit], read)
}

pub(in super::super) fn conversions(
    statements: &mut Statements<'_>,
    asked: AskedConversions,
) -> Result<Vec<RouteConversion>, StoreError> {
    statements.collect(CONVERSIONS, params![asked.grain.as_str(), asked.first], |row| {
        Ok(RouteConversion {
            provider: word(row, 0)?,
            country: word(row, 1)?,
            conversion: Conversion { sent: get(row, 2)?, verified: get(row, 3)? },
        })
    })
}
