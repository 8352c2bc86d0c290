//! What the errors of PostgreSQL mean.

use tokio_postgres::Error;
use tokio_postgres::error::SqlState;

use crate::StoreError;

/// Where two who add the same quota meet: the second finds it when he comes again.
const NEW_QUOTAS: &str = "quotas_pkey";

/// What PostgreSQL's error means for an operator. Its details may quote values, and are left out.
#[expect(clippy::needless_pass_by_value, reason = "map_err wants it so")]
pub(super) fn error(error: Error) -> StoreError {
    let Some(told) = error.as_db_error() else {
        return match std::error::Error::source(&error) {
            Some(source) => StoreError::Unavailable(source.to_string()),
            None => StoreError::Unavailable(error.to_string()),
        };
    };
    match told.code() {
        state if *state == SqlState::UNIQUE_VIOLATION && told.constraint() == Some(NEW_QUOTAS) => {
            StoreError::Conflict
        }
        state
            if *state == SqlState::T_R_DEADLOCK_DETECTED || *state == SqlState::T_R_SERIALIZATION_FAILURE =>
        {
            StoreError::Conflict
        }
        state if *state == SqlState::DISK_FULL => StoreError::Full,
        state if *state == SqlState::QUERY_CANCELED || *state == SqlState::LOCK_NOT_AVAILABLE => {
            StoreError::Overloaded
        }
        state if is_of_server(state) => {
            StoreError::Unavailable(format!("{} ({})", told.message(), state.code()))
        }
        state => StoreError::Internal(format!("{} ({})", told.message(), state.code())),
    }
}

/// Classes of PostgreSQL's codes that say that the server, or the way to it, is not well (PostgreSQL, "Error Codes"):
/// connection, authorization, resources, operator's intervention, system.
fn is_of_server(state: &SqlState) -> bool {
    ["08", "28", "3D", "53", "57", "58"].iter().any(|class| state.code().starts_with(class))
}
