//! Where each secret is from, how old it is, and never what it is.

use std::time::Duration;

use domain::time::Timestamp;

use super::{Findings, fine, note};
use crate::config::secrets::is_identity;
use crate::config::{Config, Held, Source};
use crate::secrets::{Unread, days};

/// Says of each secret that is set where it is from.
pub(super) fn check(config: &Config, unread: &Unread, now: Timestamp, findings: &mut Findings) {
    for (key, held) in config.held.iter().filter(|(key, held)| is_worth_a_line(config, key, held)) {
        let what = format!("secret {key}");
        if let Some(problem) = unread.get(key) {
            findings.wrong(&what, &format!("from {}: {problem}", held.source));
            continue;
        }
        let Some(fetched) = &held.fetched else {
            note(&what, &format!("from {}; not asked", held.source));
            continue;
        };
        let age = fetched.created_at.map(|created_at| now.since(created_at)).filter(|_| !is_identity(key));
        let from = format!("from {}{}", held.source, age.map(said).unwrap_or_default());
        let is_old = age.zip(config.secrets.max_age()).is_some_and(|(age, max_age)| age > max_age);
        match held.source {
            Source::SettingsFile => {
                note(&what, &format!("{from}, where others may read it: name a file or a store there"));
            }
            _ if is_old => {
                let limit = config.secrets.max_age_days;
                note(&what, &format!("{from}: more than secrets.max_age_days, {limit}; change it"));
            }
            _ => fine(&what, &from),
        }
    }
}

/// Not a name that stands in clear, nor an address without a password.
fn is_worth_a_line(config: &Config, key: &str, held: &Held) -> bool {
    held.source.can_change()
        || !(is_identity(key) || key == "database_url" && !config.database_url.has_password())
}

fn said(age: Duration) -> String {
    match days(age) {
        1 => ", 1 day old".to_owned(),
        days => format!(", {days} days old"),
    }
}
