//! The guard against SMS pumping: fraud by which a business is made to send codes to numbers whose network pays a
//! share of the price to whoever made it send them.
//!
//! Numbers of the fraud lie together in blocks, and nobody types the codes in. So the guard counts by block of numbers
//! ([`NumberPrefix`](crate::phone::NumberPrefix)) how many codes were sent and how many were verified, and knows what is
//! usual there. What it refuses is unusual twice: there is much of it, and nobody verifies it. A launch is only the first,
//! and a network on which codes arrive badly only the second.
//!
//! [`rules`] are functions of figures. [`ledger`] has the figures of all blocks and callers, in bounded memory, and what
//! was counted here and is not in the store yet. Both are told the time.

mod count;
mod countries;
pub mod ledger;
pub mod rules;
mod subject;
mod tally;

pub use self::count::{Bucket, Count, Grain};
pub use self::countries::{AllowedCountries, CountriesError};
pub use self::ledger::Ledger;
pub use self::rules::{Figures, Limits, Policy, Reason, Rule, Thresholds};
pub use self::subject::{Subject, SubjectError};

use crate::scenario::closed_set;

closed_set! {
    /// What the guard does about what it finds suspicious.
    Mode ("mode") {
        /// It counts nothing and decides nothing.
        Off => "off",
        /// It decides and keeps its decisions, and refuses nothing.
        Shadow => "shadow",
        /// It refuses.
        Enforce => "enforce",
    }
}
