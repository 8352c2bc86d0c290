//! The audit trail: who did what to which message or part of the gateway, and when. Never a number, never a text.
//!
//! Entries stand in **chains**. Each holds the hash of its content and of the hash before it, so that an entry that
//! was changed, moved or taken out no longer fits what follows. A chain's **head** says where it ends, under a keyed
//! code, so that an end that was cut off is missed. A signed **checkpoint** says where all chains ended at a moment:
//! whoever keeps one elsewhere knows also of a database that was put back as a whole.
//!
//! One chain would make all writers of all nodes wait for each other. So there are several, and a writer continues any
//! that nobody else is continuing at that moment. Within a chain time never goes back, which lets a reader find a time
//! without an index of it.

mod chain;
mod checkpoint;
mod entry;
mod export;
mod key;
mod verify;

pub use self::chain::{Entry, Forgotten, GENESIS, Hash, Head, Kept, Sealed, hex};
pub use self::checkpoint::{Checkpoint, Seen};
pub use self::entry::{Act, Actor, ActorError, Event, NewEntry};
pub use self::export::{Contents, Exported};
pub use self::key::AuditKeys;
pub use self::verify::{
    Broken, ChainCheck, Expected, Fault, Part, Place, check_chains, check_checkpoints, check_last_checkpoint,
};
