//! What a request is known by when it is made again.
//!
//! A request holds a number and, for a one-time code, a text that is soon guessed: so its fingerprint is made under a key,
//! and tells nothing to whoever finds it in the database.

use domain::template::Variables;
use store::Store;

use crate::keyed::KeyedHash;
use crate::request::{Caller, Content, Own};

/// What the key is derived for.
const PURPOSE: &str = "idempotency";

/// Makes fingerprints.
pub(crate) struct RequestKey(KeyedHash);

impl std::fmt::Debug for RequestKey {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("RequestKey")
    }
}

impl RequestKey {
    /// The key of a database.
    pub(crate) fn of(store: &dyn Store) -> Self {
        Self(KeyedHash::new(store, PURPOSE))
    }

    /// What identifies a request: every field.
    pub(crate) fn fingerprint(
        &self,
        kind: &str,
        receivers: &[String],
        own: &[Own],
        content: &Content,
    ) -> [u8; 32] {
        let mut hash = self.0.clone();
        let mut feed = |text: &str| hash.feed(text);
        feed(kind);
        for receiver in receivers {
            feed(receiver);
        }
        feed(&content.message);
        for optional in [&content.scenario, &content.sender, &content.reference, &content.group] {
            feed(if optional.is_some() { "+" } else { "-" });
            feed(optional.as_deref().unwrap_or_default());
        }
        for time in [content.scheduled_at, content.expires_at] {
            feed(&time.map_or_else(String::new, |time| time.as_micros().to_string()));
        }
        feed(&content.client_ip.map_or_else(String::new, |address| address.to_string()));
        content.metadata.iter().for_each(|(name, value)| {
            feed(name);
            feed(value);
        });
        if let Some(template) = &content.template {
            feed("template");
            feed(template);
            feed_own(&mut feed, &content.variables, content.locale.as_deref());
            for Own { variables, locale } in own {
                feed_own(&mut feed, variables, locale.as_deref());
            }
        }
        hash.finish()
    }

    /// An idempotency key belongs to its caller: another caller's same key is another key.
    pub(crate) fn scoped(&self, caller: &Caller, key: &str) -> [u8; 32] {
        let mut hash = self.0.clone();
        hash.feed(caller.key.as_bytes());
        hash.feed(key);
        hash.finish()
    }
}

/// A language, and values with their count: so that none can be taken for those of the next receiver.
fn feed_own(feed: &mut impl FnMut(&str), variables: &Variables, locale: Option<&str>) {
    feed(locale.unwrap_or_default());
    feed(&variables.names().count().to_string());
    for (name, value) in variables.written() {
        feed(name);
        feed(&value);
    }
}
