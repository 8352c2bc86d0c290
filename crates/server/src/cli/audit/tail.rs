//! `tuma audit tail`.

use std::collections::BTreeMap;
use std::time::Duration;

use domain::audit::{Entry, hex};
use domain::time::Clock as _;
use gateway::SystemClock;
use store::Store;
use store::port::audit::{AuditChain, AuditCursor};

use super::super::serve;
use super::print;

/// From one look to the next.
const TURN: Duration = Duration::from_millis(500);

/// Entries of a chain that are read at once.
const PART: u32 = 1_000;

pub(super) async fn run(store: &dyn Store, lines: u32, follow: bool) -> anyhow::Result<()> {
    // Up to here now, and from here on later: none is shown twice, none is left out.
    let mut places: BTreeMap<i64, i64> = BTreeMap::new();
    let mut newest = Vec::new();
    for AuditChain { chain, last, .. } in store.audit_chains().await? {
        places.insert(chain, last);
        let part = store.audit_part(chain, (last - i64::from(lines)).max(0), lines.max(1)).await?;
        let entries = part.entries.into_iter().filter_map(|kept| kept.entry);
        newest.extend(entries.filter(|entry| entry.seq <= last));
    }
    newest.sort_by_key(|entry| AuditCursor::from(entry));
    let first = newest.len().saturating_sub(lines as usize);
    newest.iter().skip(first).for_each(show);
    if !follow {
        return Ok(());
    }
    let clock = SystemClock::new();
    let mut asked = std::pin::pin!(serve::stop_asked());
    loop {
        tokio::select! {
            asked = &mut asked => return asked,
            () = clock.sleep_until(clock.now().plus(TURN)) => {}
        }
        look(store, &mut places).await?;
    }
}

/// Shows what has come since the last look.
async fn look(store: &dyn Store, places: &mut BTreeMap<i64, i64>) -> anyhow::Result<()> {
    let mut new = Vec::new();
    for AuditChain { chain, .. } in store.audit_chains().await? {
        let place = places.entry(chain).or_default();
        loop {
            let part = store.audit_part(chain, *place, PART).await?;
            if let Some(last) = part.entries.last() {
                *place = last.seq;
            }
            new.extend(part.entries.into_iter().filter_map(|kept| kept.entry));
            if part.is_last {
                break;
            }
        }
    }
    new.sort_by_key(|entry| AuditCursor::from(entry));
    new.iter().for_each(show);
    Ok(())
}

fn show(entry: &Entry) {
    let mut line = format!("{}  {:<18}  {}", entry.at, entry.event, entry.actor);
    let mut add = |name: &str, value: Option<String>| {
        if let Some(value) = value {
            line.push_str("  ");
            line.push_str(name);
            line.push_str(&value);
        }
    };
    add("", entry.message_id.map(|id| id.to_string()));
    add("", entry.subject.clone());
    add("", entry.outcome.as_ref().map(ToString::to_string));
    add("provider=", entry.provider.clone());
    add("receiver=", entry.receiver.map(|hash| hex(&hash.to_be_bytes())));
    add("length=", entry.length.map(|length| length.to_string()));
    add("segments=", entry.segments.map(|segments| segments.to_string()));
    print(line);
}
