//! Why the store can't do what it was asked.

/// What went wrong, in terms of what an operator can do about it. Never holds data of a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum StoreError {
    /// The address names no store.
    #[error("database address is neither sqlite:<path> nor postgres://<user>@<host>/<database>")]
    Address,
    /// There is no database, and none is to be made.
    #[error("there is no database yet")]
    Missing,
    /// The disk, or the quota, is full.
    #[error("the disk is full")]
    Full,
    /// Somebody else holds the database's lock.
    #[error("the database is locked by another process")]
    Locked,
    /// Another process serves this database.
    #[error("another tuma serve has this database open")]
    Served,
    /// A move into this database has begun and not ended.
    #[error("a move into this database has not ended: run the same tuma move again")]
    Moving,
    /// The file is damaged, or no database.
    #[error("the database file is damaged or not a database")]
    Corrupt,
    /// There is no master key for the data.
    #[error("there is no data key: set TUMA_DATA_KEY, which `tuma keys generate-data-key` makes")]
    NoKey,
    /// The master key is another one than that of this database.
    #[error("the data key does not open this database: it is another one, or damaged")]
    WrongKey,
    /// A key is in use that this process has not heard of yet, or can't open.
    #[error("a data key is in use that this process does not know yet")]
    UnknownKey,
    /// The file is a database of something else.
    #[error("the database belongs to another program")]
    Foreign,
    /// The schema is of a newer version of Tuma.
    #[error("the database has schema version {found}, this program knows {known}: use a newer tuma")]
    NewerSchema {
        /// What the database has.
        found: u32,
        /// The newest that this program knows.
        known: u32,
    },
    /// The schema is of an older version.
    #[error("the database has schema version {found}, {known} is needed: run tuma migrate")]
    OlderSchema {
        /// What the database has.
        found: u32,
        /// What this program needs.
        known: u32,
    },
    /// Reading or writing failed.
    #[error("the database can't be read or written: {0}")]
    Io(String),
    /// The database server can't be reached, or refuses to serve.
    #[error("the database server can't be used: {0}")]
    Unavailable(String),
    /// The database has not answered others: nobody is made to wait for it.
    #[error("the database does not answer")]
    NoAnswer,
    /// Others wrote the same at the same time, again and again.
    #[error("too many write the same at the same time")]
    Conflict,
    /// More is asked than can be written: try again soon.
    #[error("more writes are waiting than the database can take")]
    Overloaded,
    /// The store has stopped.
    #[error("the store has stopped")]
    Stopped,
    /// A statement failed for a reason of its own: a mistake of ours.
    #[error("a database statement failed: {0}")]
    Internal(String),
}
