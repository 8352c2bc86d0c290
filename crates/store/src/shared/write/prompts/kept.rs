//! What is kept of the replies of one person to one prompt: the first, the one that stands, and the last ones. Whoever writes
//! again and again, and be it a machine, makes neither the record nor what is read of it larger.

use domain::ids::{InboundId, PromptId};
use domain::prompt::Fate;
use domain::reply::Answer;
use domain::time::Timestamp;

use super::super::super::row::{optional_word, time, word};
use super::super::super::sql::{Row, Statements, get, params};
use super::number;
use crate::StoreError;
use crate::port::prompts::LAST_REPLIES;

pub(in super::super::super) const OF_PLACE: &str = "SELECT inbound_id, received_at, fate, answer FROM prompt_replies \
     WHERE prompt_id = ?1 AND place = ?2 ORDER BY received_at, inbound_id";

const DROP: &str = "DELETE FROM prompt_replies WHERE inbound_id = ?1";

const COUNT_DROPPED: &str =
    "UPDATE prompt_receivers SET left_out = left_out + ?3 WHERE prompt_id = ?1 AND place = ?2";

/// A reply, without its words.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Reply {
    pub(super) id: InboundId,
    pub(super) received_at: Timestamp,
    pub(super) fate: Fate,
    pub(super) answer: Option<Answer>,
}

/// The replies of one person to a prompt, in the order in which they came.
pub(super) struct Replies(Vec<Reply>);

impl Replies {
    /// Those that are kept.
    pub(super) fn of_place(
        statements: &mut Statements<'_>,
        prompt: PromptId,
        place: usize,
    ) -> Result<Self, StoreError> {
        let read = |row: &Row<'_>| {
            Ok(Reply {
                id: InboundId::from_bytes(get(row, 0)?),
                received_at: time(row, 1)?,
                fate: word(row, 2)?,
                answer: optional_word(row, 3)?,
            })
        };
        statements.collect(OF_PLACE, params![prompt.as_bytes(), number(place)], read).map(Self)
    }

    /// One more, in its place: it may have been brought late.
    pub(super) fn add(&mut self, reply: Reply) {
        let behind = |other: &Reply| (other.received_at, other.id) > (reply.received_at, reply.id);
        let at = self.0.iter().position(behind).unwrap_or(self.0.len());
        self.0.insert(at, reply);
    }

    /// The answer of that person.
    pub(super) fn standing(&self) -> Option<Answer> {
        self.0.iter().rev().find(|reply| reply.fate == Fate::Counted)?.answer
    }

    /// Those that are too many.
    fn surplus(&self) -> Vec<InboundId> {
        let standing = self.0.iter().rposition(|reply| reply.fate == Fate::Counted);
        let last = self.0.len().saturating_sub(LAST_REPLIES);
        (1..last).filter(|at| Some(*at) != standing).map(|at| self.0[at].id).collect()
    }

    /// Drops those that are too many, and counts them. Each is in the audit trail, and with the messages from phones.
    pub(super) fn prune(
        &self,
        statements: &mut Statements<'_>,
        prompt: PromptId,
        place: usize,
    ) -> Result<(), StoreError> {
        let surplus = self.surplus();
        if surplus.is_empty() {
            return Ok(());
        }
        for id in &surplus {
            statements.send(DROP, params![id.as_bytes()])?;
        }
        statements.send(COUNT_DROPPED, params![prompt.as_bytes(), number(place), surplus.len()])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Replies that came one after the other, with what became of them.
    fn replies(fates: &[(Fate, Option<Answer>)]) -> Replies {
        let mut replies = Replies(Vec::new());
        for (n, (fate, answer)) in (0..).zip(fates) {
            let received_at = Timestamp::from_micros(1_795_422_600_000_000 + n);
            let id = InboundId::new(received_at, [u8::try_from(n).unwrap(); 10]);
            replies.add(Reply { id, received_at, fate: *fate, answer: *answer });
        }
        replies
    }

    const COUNTED: (Fate, Option<Answer>) = (Fate::Counted, Some(Answer::Approve));
    const UNCLEAR: (Fate, Option<Answer>) = (Fate::Unclear, None);

    #[test]
    fn the_first_and_the_last_ones_stay() {
        let many = replies(&[COUNTED; LAST_REPLIES + 3]);
        assert_eq!(many.surplus(), [many.0[1].id, many.0[2].id]);
        assert!(replies(&[COUNTED; LAST_REPLIES + 1]).surplus().is_empty());
    }

    #[test]
    fn the_answer_that_stands_stays_however_much_was_written_behind_it() {
        let mut fates = vec![UNCLEAR; LAST_REPLIES + 10];
        fates[3] = COUNTED;
        let many = replies(&fates);
        assert!(!many.surplus().contains(&many.0[3].id));
        assert_eq!((many.surplus().len(), many.standing()), (8, Some(Answer::Approve)));
    }

    #[test]
    fn one_that_is_brought_late_stands_where_it_was_written() {
        let mut all = replies(&[COUNTED, COUNTED]);
        let received_at = all.0[0].received_at;
        let late = Reply {
            id: InboundId::new(received_at, [9; 10]),
            received_at,
            fate: Fate::Counted,
            answer: Some(Answer::Reject),
        };
        all.add(late);
        assert_eq!((all.0[1], all.standing()), (late, Some(Answer::Approve)));
    }
}
