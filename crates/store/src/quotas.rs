//! Drawing on quotas: what both backends do between reading their numbers and keeping them.

use std::collections::HashMap;

use domain::ids::MessageId;
use domain::quota::{Draw, Drawn, Left};
use domain::time::Timestamp;

use crate::port::messages::{Limited, NewMessage};

/// Quotas as they were read and as they are drawn on, within one transaction.
#[derive(Debug, Default)]
pub(crate) struct Book {
    values: HashMap<i64, Option<i64>>,
    changed: HashMap<i64, (i64, Timestamp)>,
    /// Numbers that were written for quotas on which nobody had drawn.
    written: HashMap<i64, i64>,
}

impl Book {
    /// What was read of a quota; `None` where nothing was ever drawn.
    pub(crate) fn enter(&mut self, quota: i64, value: Option<i64>) {
        self.values.entry(quota).or_insert(value);
    }

    /// A quota on which nobody had drawn, and for which this number was written.
    pub(crate) fn enter_new(&mut self, quota: i64, written: Option<i64>) {
        self.enter(quota, None);
        self.written.extend(written.map(|written| (quota, written)));
    }

    /// Whether a quota was read.
    pub(crate) fn knows(&self, quota: i64) -> bool {
        self.values.contains_key(&quota)
    }

    /// Draws for all of these, or for none. Answers what is left for each draw, or which messages want more than
    /// there is when those before them have drawn.
    pub(crate) fn draw<'a>(
        &mut self,
        drawings: impl IntoIterator<Item = impl Into<Drawing<'a>>>,
    ) -> Result<Vec<Left>, Vec<Limited>> {
        let (mut tried, mut left, mut limited) = (Values::new(), Vec::new(), Vec::new());
        let mut corrected = Values::new();
        for drawing in drawings {
            match self.draw_one(drawing.into(), &tried, &mut corrected) {
                Ok((drawn, of_this)) => {
                    tried.extend(drawn);
                    left.extend(of_this);
                }
                Err(refused) => limited.push(refused),
            }
        }
        // What is corrected is kept also for those who were refused; it is never of a quota that was drawn on.
        self.change(corrected);
        if !limited.is_empty() {
            return Err(limited);
        }
        self.change(tried);
        Ok(left)
    }

    fn change(&mut self, values: Values) {
        for (quota, (value, ends_at)) in values {
            self.values.insert(quota, Some(value));
            self.changed.insert(quota, (value, ends_at));
        }
    }

    /// One message draws on all of its quotas, or on none. Of several refusals the longest counts.
    fn draw_one(
        &self,
        drawing: Drawing<'_>,
        tried: &Values,
        corrected: &mut Values,
    ) -> Result<(Values, Vec<Left>), Limited> {
        let Drawing { message_id, draws, now } = drawing;
        let (mut drawn, mut left, mut refused) = (Values::new(), Vec::new(), None::<Limited>);
        for (place, draw) in draws.iter().enumerate() {
            let earlier = drawn.get(&draw.quota).or_else(|| tried.get(&draw.quota));
            let kept = earlier.map(|(value, _)| *value);
            let kept = kept.or_else(|| self.values.get(&draw.quota).copied().flatten());
            match draw.on(kept, now) {
                Drawn::Granted { value, left: of_this } => {
                    drawn.insert(draw.quota, (value, draw.forgotten_at(value)));
                    left.push(of_this);
                }
                Drawn::Refused { again_at, corrected: instead } => {
                    corrected.extend(instead.map(|value| (draw.quota, (value, draw.forgotten_at(value)))));
                    if refused.as_ref().is_none_or(|refused| refused.again_at < again_at) {
                        refused = Some(Limited { message_id, place, again_at });
                    }
                }
            }
        }
        refused.map_or(Ok((drawn, left)), Err)
    }

    /// As if nobody had drawn.
    pub(crate) fn take_back(&mut self) {
        self.changed.clear();
    }

    /// What has to be written other than it was: quota, and what to keep; nothing for one on which nobody drew after all.
    pub(crate) fn corrections(&self) -> Vec<(i64, Option<(i64, Timestamp)>)> {
        let is_written = |(quota, value, _): &(i64, i64, Timestamp)| self.written.get(quota) == Some(value);
        let changes = self.changes().into_iter().filter(|change| !is_written(change));
        let drawn = changes.map(|(quota, value, ends_at)| (quota, Some((value, ends_at))));
        let undrawn = self.written.keys().filter(|quota| !self.changed.contains_key(quota));
        let mut corrections: Vec<_> = drawn.chain(undrawn.map(|quota| (*quota, None))).collect();
        corrections.sort_unstable_by_key(|(quota, _)| *quota);
        corrections
    }

    /// What has to be kept: quota, number, and when it can be forgotten.
    pub(crate) fn changes(&self) -> Vec<(i64, i64, Timestamp)> {
        let mut changes: Vec<_> =
            self.changed.iter().map(|(quota, (value, ends_at))| (*quota, *value, *ends_at)).collect();
        changes.sort_unstable_by_key(|(quota, ..)| *quota);
        changes
    }
}

/// What one message draws.
#[derive(Clone, Copy)]
pub(crate) struct Drawing<'a> {
    pub(crate) message_id: MessageId,
    pub(crate) draws: &'a [Draw],
    pub(crate) now: Timestamp,
}

impl<'a> From<&'a NewMessage> for Drawing<'a> {
    fn from(new: &'a NewMessage) -> Self {
        Self { message_id: new.message.id, draws: &new.draws, now: new.message.created_at }
    }
}

/// By quota, its number and when it can be forgotten.
type Values = HashMap<i64, (i64, Timestamp)>;
