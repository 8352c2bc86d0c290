//! What no text may hold.

use domain::content::{ContentRules, OwnRule, Ruling, Rulings};
use serde::Deserialize;

/// What no text may hold. The patterns are made ready when they are read, so that one that can't be stops the start.
#[derive(Debug, Clone, Deserialize)]
#[serde(try_from = "Written")]
pub struct Content(pub ContentRules);

/// Rules as settings write them.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    card_number: Ruling,
    password: Ruling,
    pin: Ruling,
    transaction_id: Ruling,
    transaction_ids: Vec<String>,
    own: Vec<Own>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Own {
    name: String,
    pattern: String,
}

impl TryFrom<Written> for Content {
    type Error = domain::content::ContentRulesError;

    fn try_from(written: Written) -> Result<Self, Self::Error> {
        let Written { card_number, password, pin, transaction_id, transaction_ids, own } = written;
        let rulings = Rulings { card_number, password, pin, transaction_id };
        let own: Vec<_> = own.into_iter().map(|Own { name, pattern }| OwnRule { name, pattern }).collect();
        ContentRules::new(rulings, &transaction_ids, &own).map(Self)
    }
}
