//! What became of a request.

use domain::ids::MessageId;
use store::StoreError;

use super::Prospect;
use crate::request::{BulkAnswer, Reached, Remaining, Reply, ReplyVerdict, SendAnswer, SendError, Verdict};

/// A request that is in the store, now or since an earlier time.
pub(crate) struct Stored {
    pub(super) reply: Reply,
    pub(super) verdicts: Vec<Prospect>,
    /// The same request was made before: nothing was stored now.
    pub(crate) repeated: bool,
    /// What is left of the scarcest limit.
    pub(super) remaining: Option<Remaining>,
    /// Limits that single receivers would have gone beyond.
    pub(crate) reached: Vec<Reached>,
}

impl Stored {
    /// The receivers that were refused now, by their positions, with the code of each.
    pub(crate) fn refused(&self) -> Vec<(usize, &'static str)> {
        if self.repeated {
            return Vec::new();
        }
        let verdicts = self.verdicts.iter().enumerate();
        let refused = verdicts.filter_map(|(index, verdict)| match verdict {
            Prospect::Rejected(problem) => Some((index, problem.code())),
            Prospect::Accepted(..) => None,
        });
        refused.collect()
    }

    /// Whether this message is among those that were accepted.
    pub(crate) fn holds(&self, id: MessageId) -> bool {
        self.verdicts
            .iter()
            .any(|verdict| matches!(verdict, Prospect::Accepted(accepted, _) if *accepted == id))
    }

    /// The answer to a request for one message.
    pub(crate) fn into_answer(self) -> Result<SendAnswer, SendError> {
        let remaining = self.remaining.clone();
        match self.into_verdicts().into_iter().next() {
            Some(Verdict::Accepted(answer)) => Ok(SendAnswer { remaining, ..answer }),
            _ => Err(StoreError::Corrupt.into()),
        }
    }

    /// The answer to a bulk request.
    pub(crate) fn into_bulk_answer(self) -> Result<BulkAnswer, SendError> {
        let bulk_id = self.reply.bulk_id.ok_or(StoreError::Corrupt)?;
        Ok(BulkAnswer { bulk_id, verdicts: self.into_verdicts() })
    }

    fn into_verdicts(self) -> Vec<Verdict> {
        let Reply { created_at, scenario, priority, encoding, segments, status, verdicts, .. } = self.reply;
        let kept = verdicts.into_iter().zip(self.verdicts);
        kept.map(|(kept, prospect)| match (kept, prospect) {
            (ReplyVerdict::Accepted(id), Prospect::Accepted(_, receiver)) => Verdict::Accepted(SendAnswer {
                id,
                status,
                receiver,
                scenario,
                priority,
                encoding,
                segments,
                created_at,
                remaining: None,
            }),
            (ReplyVerdict::Rejected { code, detail }, _) => Verdict::Rejected { code, detail },
            // By today's settings it could not be read or would be refused. It was sent none the less.
            (ReplyVerdict::Accepted(id), Prospect::Rejected(_)) => Verdict::AcceptedBefore { id, status },
        })
        .collect()
    }
}
