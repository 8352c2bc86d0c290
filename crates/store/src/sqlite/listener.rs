//! One process serves a file: there is nobody else to tell anything.

use domain::ids::KeyId;

use super::sql::Statements;
use crate::StoreError;

#[expect(clippy::unnecessary_wraps, reason = "the same as where there are others")]
pub(super) fn tell_of_key(_statements: &mut Statements<'_>, _key: KeyId) -> Result<(), StoreError> {
    Ok(())
}
