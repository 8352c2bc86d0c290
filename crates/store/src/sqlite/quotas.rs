//! Quotas as a file keeps them: a table, and before it a journal.
//!
//! The keys of quotas are in random order, so that a draw on the table writes a page of its own: a quarter of what an accept took.
//! What is drawn goes to the end of the journal instead. The writer remembers what stands there, and brings it to the
//! table in the order of the keys once it is much, a part with each commit.

mod known;

use std::collections::HashMap;
use std::ops::ControlFlow;

use domain::time::Timestamp;

use self::known::{Known, MANY};
use super::sql::{Statements, get, params};
use crate::StoreError;
use crate::quotas::Book;

/// Entries that are remembered before they are brought to the table: some megabytes.
const MUCH: usize = 32_768;

/// How much is brought with each commit, against what it draws: so it is done long before there is as much again.
const PACE: usize = 4;

/// What is brought at least, and what is deleted at least.
const SMALLEST_PART: usize = 64;

/// Changes when another process has written to the file.
const VERSION: &str = "PRAGMA data_version";

pub(super) const KEPT: &str = "SELECT value, ends_at FROM quotas WHERE quota = ?1";

const ALL: &str = "SELECT quota FROM quotas LIMIT ?1";

const KEEP: &str = "INSERT INTO quotas (quota, value, ends_at) VALUES (?1, ?2, ?3) \
     ON CONFLICT (quota) DO UPDATE SET value = excluded.value, ends_at = excluded.ends_at";

const NOTE: &str = "INSERT INTO draws (quota, value, ends_at) VALUES (?1, ?2, ?3)";

const NOTED: &str = "SELECT quota, value, ends_at FROM draws ORDER BY id";

const ENDS: &str = "SELECT coalesce(min(id), 0), coalesce(max(id), 0) FROM draws";

const DROP: &str = "DELETE FROM draws WHERE id <= ?1";

/// A whole look at the journal: for people who ask, not for draws.
const LAST_NOTED: &str = "SELECT value FROM draws WHERE quota = ?1 ORDER BY id DESC LIMIT 1";

/// What has ended.
const FORGET: &str = "DELETE FROM quotas WHERE quota IN (SELECT quota FROM quotas WHERE ends_at < ?1 OR value IS NULL LIMIT ?2)";

/// The number of a quota, and when it ends.
#[derive(Debug, Clone, Copy)]
struct Kept {
    value: i64,
    ends_at: i64,
}

/// What the writer remembers of the journal.
#[derive(Debug, Default)]
pub(super) struct Ledger {
    /// The file as of which it is right; `None` before the first look.
    version: Option<i64>,
    /// Whether this transaction has looked whether it is.
    has_looked: bool,
    /// What was drawn since the last bringing began.
    fresh: HashMap<i64, Kept>,
    bringing: Option<Bringing>,
    /// What this transaction draws.
    drawn: HashMap<i64, Kept>,
    /// What may be in the table, or was drawn since.
    known: Option<Learnt>,
}

/// What was read of the table.
#[derive(Debug)]
struct Learnt {
    /// The file as of which it is right.
    version: Option<i64>,
    /// `None` where there are too many.
    known: Option<Known>,
}

/// A part of the journal on its way to the table.
#[derive(Debug)]
struct Bringing {
    /// In the order of the keys.
    entries: Vec<(i64, Kept)>,
    /// How many of them are in the table.
    brought: usize,
    /// Where the journal begins, and the last entry that it is about.
    first: i64,
    last: i64,
}

impl Bringing {
    fn is_over(&self) -> bool {
        self.brought == self.entries.len() && self.first > self.last
    }
}

impl Ledger {
    /// Whether nobody has drawn on a quota, as far as that is known without looking.
    fn is_new(&self, quota: i64) -> bool {
        let known = self.known.as_ref().and_then(|learnt| learnt.known.as_ref());
        known.is_some_and(|known| !known.may_hold(quota))
    }

    fn remembered(&self, quota: i64) -> Option<Kept> {
        let fresh = self.drawn.get(&quota).or_else(|| self.fresh.get(&quota)).copied();
        fresh.or_else(|| {
            let entries = &self.bringing.as_ref()?.entries;
            entries.binary_search_by_key(&quota, |(key, _)| *key).ok().map(|at| entries[at].1)
        })
    }

    /// What was drawn is on disk.
    pub(super) fn committed(&mut self) {
        self.fresh.extend(self.drawn.drain());
        self.has_looked = false;
    }

    /// What was drawn was taken back, and perhaps more: look again.
    pub(super) fn taken_back(&mut self) {
        *self = Self { known: self.known.take(), ..Self::default() };
    }

    /// Looks at the journal, if another process has written since the last time.
    fn look(&mut self, statements: &mut Statements<'_>) -> Result<(), StoreError> {
        if self.has_looked {
            return Ok(());
        }
        let version = statements.first(VERSION, params![], |row| get(row, 0))?;
        if self.version.is_none() || self.version != version {
            let noted = statements.collect(NOTED, params![], |row| {
                Ok((get::<i64>(row, 0)?, Kept { value: get(row, 1)?, ends_at: get(row, 2)? }))
            })?;
            self.version = version;
            self.fresh = noted.into_iter().collect();
            self.bringing = None;
        }
        if self.known.as_ref().is_none_or(|learnt| learnt.version != version) {
            self.learn(statements, version)?;
        }
        self.has_looked = true;
        Ok(())
    }

    /// Reads which quotas there are. Where there are too many, each is looked for.
    fn learn(&mut self, statements: &mut Statements<'_>, version: Option<i64>) -> Result<(), StoreError> {
        let (mut known, mut rows) = (Known::new(), 0);
        let limit = i64::try_from(MANY + 1).unwrap_or(i64::MAX);
        statements.walk(ALL, params![limit], |row| {
            known.add(get(row, 0)?);
            rows += 1;
            Ok(ControlFlow::Continue(()))
        })?;
        let brought = self.bringing.iter().flat_map(|bringing| &bringing.entries).map(|(quota, _)| quota);
        self.fresh.keys().chain(brought).for_each(|quota| known.add(*quota));
        let known = (rows <= MANY).then_some(known);
        self.known = Some(Learnt { version, known });
        Ok(())
    }

    /// Begins to bring what stands in the journal.
    fn begin(&mut self, statements: &mut Statements<'_>) -> Result<(), StoreError> {
        let ends = statements.first(ENDS, params![], |row| Ok((get::<i64>(row, 0)?, get::<i64>(row, 1)?)))?;
        let (first, last) = ends.unwrap_or_default();
        let mut entries: Vec<_> = self.fresh.drain().collect();
        entries.sort_unstable_by_key(|(quota, _)| *quota);
        self.bringing = Some(Bringing { entries, brought: 0, first, last });
        Ok(())
    }

    /// Brings a part to the table; when all of it is there, deletes a part of the journal.
    fn bring(&mut self, statements: &mut Statements<'_>, part: usize) -> Result<(), StoreError> {
        let Some(bringing) = &mut self.bringing else { return Ok(()) };
        if bringing.brought < bringing.entries.len() {
            for (quota, kept) in bringing.entries.iter().skip(bringing.brought).take(part) {
                statements.execute(KEEP, params![quota, kept.value, kept.ends_at])?;
                bringing.brought += 1;
            }
        } else if bringing.first <= bringing.last {
            let part = i64::try_from(part).unwrap_or(i64::MAX);
            let until = bringing.first.saturating_add(part).min(bringing.last);
            statements.execute(DROP, params![until])?;
            bringing.first = until + 1;
        }
        if bringing.is_over() {
            self.bringing = None;
        }
        Ok(())
    }
}

/// The number of a quota; `None` where nothing was drawn.
pub(super) fn kept(statements: &mut Statements<'_>, quota: i64) -> Result<Option<i64>, StoreError> {
    Ok(look_up(statements, quota)?.map(|kept| kept.value))
}

/// Enters the numbers of these into a book.
pub(super) fn enter(
    statements: &mut Statements<'_>,
    quotas: impl Iterator<Item = i64>,
    book: &mut Book,
) -> Result<(), StoreError> {
    for quota in quotas {
        if !book.knows(quota) {
            book.enter(quota, kept(statements, quota)?);
        }
    }
    Ok(())
}

fn look_up(statements: &mut Statements<'_>, quota: i64) -> Result<Option<Kept>, StoreError> {
    let (is_new, remembered) = statements.with_ledger(|statements, ledger| {
        ledger.look(statements)?;
        let is_new = ledger.is_new(quota);
        Ok((is_new, if is_new { None } else { ledger.remembered(quota) }))
    })?;
    if is_new || remembered.is_some() {
        return Ok(remembered);
    }
    let read = |row: &super::sql::Row<'_>| Ok((get::<Option<i64>>(row, 0)?, get::<Option<i64>>(row, 1)?));
    let found = statements.first(KEPT, params![quota], read)?;
    Ok(found.and_then(|(value, ends_at)| Some(Kept { value: value?, ends_at: ends_at? })))
}

/// Keeps what was drawn, at the end of the transaction: see [`end`].
pub(super) fn keep(
    statements: &mut Statements<'_>,
    quota: i64,
    value: i64,
    ends_at: Timestamp,
) -> Result<(), StoreError> {
    let kept = Kept { value, ends_at: ends_at.as_micros() };
    statements.with_ledger(|_statements, ledger| {
        ledger.drawn.insert(quota, kept);
        if let Some(known) = ledger.known.as_mut().and_then(|learnt| learnt.known.as_mut()) {
            known.add(quota);
        }
        Ok(())
    })
}

/// Changes the number of a quota, unless it has ended.
pub(super) fn adjust(
    statements: &mut Statements<'_>,
    quota: i64,
    difference: i64,
    now: Timestamp,
) -> Result<(), StoreError> {
    match look_up(statements, quota)? {
        Some(kept) if kept.ends_at > now.as_micros() => {
            let value = kept.value.saturating_add(difference);
            keep(statements, quota, value, Timestamp::from_micros(kept.ends_at))
        }
        _ => Ok(()),
    }
}

/// Writes what this transaction drew, and brings a part of what was drawn before to the table.
pub(super) fn end(statements: &mut Statements<'_>) -> Result<(), StoreError> {
    statements.with_ledger(|statements, ledger| {
        if ledger.drawn.is_empty() {
            return Ok(());
        }
        if ledger.bringing.is_none() && ledger.fresh.len() >= MUCH {
            ledger.begin(statements)?;
        }
        for (quota, kept) in &ledger.drawn {
            statements.execute(NOTE, params![quota, kept.value, kept.ends_at])?;
        }
        ledger.bring(statements, (PACE * ledger.drawn.len()).max(SMALLEST_PART))
    })
}

/// Brings what the journal holds to the table, and forgets what has ended: a part of it. Answers how many are done; fewer than
/// the limit when that was all.
pub(super) fn forget(
    statements: &mut Statements<'_>,
    now: Timestamp,
    limit: u32,
) -> Result<usize, StoreError> {
    let limit_of_part = limit as usize;
    let is_over = statements.with_ledger(|statements, ledger| {
        ledger.look(statements)?;
        if ledger.bringing.is_none() {
            ledger.begin(statements)?;
        }
        ledger.bring(statements, limit_of_part)?;
        Ok(ledger.bringing.is_none())
    })?;
    let forgotten = statements.execute(FORGET, params![now.as_micros(), limit])?;
    if is_over && forgotten < limit_of_part {
        // All is forgotten that was to be: perhaps few enough are left to learn anew.
        let is_worn = |learnt: &Learnt| learnt.known.as_ref().is_none_or(Known::is_worn);
        statements.with_ledger(|_statements, ledger| {
            ledger.known = ledger.known.take().filter(|learnt| !is_worn(learnt));
            Ok(())
        })?;
    }
    Ok(if is_over { forgotten } else { limit_of_part })
}

/// Brings all that the journal holds to the table: for whoever reads tables.
pub(super) fn bring_all(statements: &mut Statements<'_>) -> Result<(), StoreError> {
    statements.with_ledger(|statements, ledger| {
        ledger.look(statements)?;
        ledger.begin(statements)?;
        while ledger.bringing.is_some() {
            ledger.bring(statements, MUCH)?;
        }
        Ok(())
    })
}

/// The number of a quota, for whoever only reads.
pub(super) fn shown(statements: &mut Statements<'_>, quota: i64) -> Result<Option<i64>, StoreError> {
    let noted = statements.first(LAST_NOTED, params![quota], |row| get::<i64>(row, 0))?;
    if noted.is_some() {
        return Ok(noted);
    }
    Ok(statements.first(KEPT, params![quota], |row| get::<Option<i64>>(row, 0))?.flatten())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use rusqlite::Connection;

    use super::super::connection::transact;
    use super::super::migrate;
    use super::*;
    use crate::seal::Vault;

    fn file() -> Connection {
        let mut connection = Connection::open_in_memory().unwrap();
        migrate::run(&mut connection).unwrap();
        connection
    }

    /// One transaction of a writer that remembers.
    fn commit<T>(
        connection: &mut Connection,
        ledger: &mut Ledger,
        run: impl FnOnce(&mut Statements<'_>) -> Result<T, StoreError>,
    ) -> Result<T, StoreError> {
        let vault = std::sync::Arc::new(Vault::closed());
        let answer = transact(connection, vault, |statements| {
            statements.remembering(ledger, |statements| {
                let answer = run(statements)?;
                end(statements)?;
                Ok(answer)
            })
        });
        match &answer {
            Ok(_) => ledger.committed(),
            Err(_) => ledger.taken_back(),
        }
        answer
    }

    fn rows(connection: &Connection, table: &str) -> i64 {
        connection.query_row(&format!("SELECT count(*) FROM {table}"), [], |row| row.get(0)).unwrap()
    }

    fn ends() -> Timestamp {
        Timestamp::from_micros(1_000)
    }

    #[test]
    fn a_quota_is_found_whether_it_was_drawn_on_before_this_process_or_by_another_one() {
        let folder = tempfile::tempdir().unwrap();
        let open = || Connection::open(folder.path().join("tuma.db")).unwrap();
        let mut connection = open();
        migrate::run(&mut connection).unwrap();
        let (mut other, mut others, mut ledger) = (open(), Ledger::default(), Ledger::default());
        for quota in [7, 8] {
            commit(&mut other, &mut others, |statements| keep(statements, quota, 1, ends())).unwrap();
            if quota == 7 {
                commit(&mut other, &mut others, bring_all).unwrap();
            }
            let found = commit(&mut connection, &mut ledger, |statements| {
                Ok((kept(statements, quota)?, kept(statements, 9)?))
            });
            assert_eq!(found.unwrap(), (Some(1), None), "{quota}");
        }
        assert_eq!((rows(&connection, "draws"), rows(&connection, "quotas")), (1, 1));
    }

    #[test]
    fn what_is_drawn_is_known_at_once_and_after_a_crash_and_what_is_taken_back_is_not() {
        let (mut connection, mut ledger) = (file(), Ledger::default());
        commit(&mut connection, &mut ledger, |statements| keep(statements, 7, 1, ends())).unwrap();
        commit(&mut connection, &mut ledger, |statements| keep(statements, 7, 2, ends())).unwrap();
        commit(&mut connection, &mut ledger, |statements| {
            keep(statements, 7, 3, ends())?;
            Err::<(), _>(StoreError::Overloaded)
        })
        .unwrap_err();
        let known = commit(&mut connection, &mut ledger, |statements| kept(statements, 7)).unwrap();
        let mut anew = Ledger::default();
        let found = commit(&mut connection, &mut anew, |statements| kept(statements, 7)).unwrap();
        assert_eq!((known, found), (Some(2), Some(2)));
        assert_eq!((rows(&connection, "draws"), rows(&connection, "quotas")), (2, 0));
    }

    #[test]
    fn much_is_brought_to_the_table_and_leaves_the_journal() {
        let (mut connection, mut ledger) = (file(), Ledger::default());
        let all = i64::try_from(MUCH).unwrap();
        for part in 0..=4 {
            commit(&mut connection, &mut ledger, |statements| {
                (0..all / 2).try_for_each(|n| keep(statements, (part * all / 2 + n) * 7, n, ends()))
            })
            .unwrap();
        }
        assert!(rows(&connection, "quotas") >= all);
        assert!(rows(&connection, "draws") < 2 * all, "{}", rows(&connection, "draws"));
        let known = commit(&mut connection, &mut ledger, |statements| kept(statements, 7)).unwrap();
        assert_eq!(known, Some(1));
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(48))]

        /// Whatever happens between, a quota has the number that was kept last.
        #[test]
        fn journal_and_table_say_what_a_map_says(
            steps in proptest::collection::vec((0..12_i64, 0..1_000_i64, 0..10_u8), 1..120),
        ) {
            let (mut connection, mut ledger) = (file(), Ledger::default());
            let mut map: HashMap<i64, i64> = HashMap::new();
            for (quota, value, then) in steps {
                let add = then == 0 && map.contains_key(&quota);
                commit(&mut connection, &mut ledger, |statements| {
                    if add {
                        adjust(statements, quota, value, Timestamp::from_micros(0))
                    } else {
                        keep(statements, quota, value, ends())
                    }
                })
                .unwrap();
                let new = if add { map[&quota] + value } else { value };
                map.insert(quota, new);
                match then {
                    1 => ledger = Ledger::default(),
                    2 => _ = commit(&mut connection, &mut ledger, |statements| {
                        forget(statements, Timestamp::from_micros(0), 3)
                    })
                    .unwrap(),
                    3 => commit(&mut connection, &mut ledger, bring_all).unwrap(),
                    _ => {}
                }
                let known = commit(&mut connection, &mut ledger, |statements| {
                    (0..12).map(|quota| Ok((kept(statements, quota)?, shown(statements, quota)?))).collect()
                });
                let known: Vec<_> = known.unwrap();
                let right: Vec<_> = (0..12).map(|quota| map.get(&quota).copied()).map(|one| (one, one)).collect();
                prop_assert_eq!(known, right);
            }
        }
    }
}
