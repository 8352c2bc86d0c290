//! The words of answers.

use domain::ids::KeyId;
use domain::inbound::Handling;
use domain::prompt::{Fate, Kind};
use domain::scenario::Scenario;
use domain::secret::Body;
use store::port::prompts::{KeptReply, OpenQuestion, ReplyFate};

use crate::listening::Replies;
use crate::settings::{PromptSettings, Settings};

/// What can be said.
pub(super) struct Texts {
    replies: Replies,
    prompts: PromptSettings,
    most_characters: usize,
}

impl Texts {
    pub(super) fn new(settings: &Settings) -> Self {
        Self {
            replies: settings.inbound.replies.clone(),
            prompts: settings.prompts.clone(),
            most_characters: settings.max_characters(Scenario::General),
        }
    }

    /// Confirms what became of a keyword.
    pub(super) fn confirmation(&self, handling: Handling) -> Option<Body> {
        let text = match handling {
            Handling::OptedOut => &self.replies.opted_out,
            Handling::OptedIn => &self.replies.opted_in,
            Handling::Helped => &self.replies.help,
            Handling::Answered | Handling::PassedOn => &None,
        };
        text.as_deref().map(Body::new)
    }

    /// What the sender of a reply is told of it, or is asked; and whose prompt it is about.
    pub(super) fn to_reply(&self, fate: &ReplyFate) -> Option<(KeyId, String)> {
        match fate {
            ReplyFate::NotOurs | ReplyFate::Which { ask: false, .. } => None,
            ReplyFate::Kept(kept) => Some((kept.caller, self.told(kept)?)),
            ReplyFate::Which { open, ask: true } => Some((open.first()?.caller, self.question(open)?)),
        }
    }

    fn told(&self, kept: &KeptReply) -> Option<String> {
        if !kept.tell {
            return None;
        }
        let named = |text: &str| text.replace("{reference}", kept.reference.as_str());
        let text = match kept.fate {
            Fate::Counted => named(&self.prompts.thanks),
            Fate::Late => named(&self.prompts.too_late),
            Fate::Unclear => {
                let one =
                    OpenQuestion { caller: kept.caller, kind: kept.kind, reference: kept.reference.clone() };
                return self.question(&[one]);
            }
        };
        (!text.trim().is_empty()).then_some(text)
    }

    /// Asks which one is meant: as many as there is room for, the newest first.
    fn question(&self, open: &[OpenQuestion]) -> Option<String> {
        let with = |count: usize| self.prompts.ask.replace("{choices}", &choices(&open[..count]));
        let fits = |text: &String| !text.is_empty() && text.chars().count() <= self.most_characters;
        // From the first on: somebody may have thousands, of which a handful fits.
        (1..=open.len()).map(with).take_while(fits).last()
    }
}

/// `APPROVE or REJECT with WR-1 or WR-2, YES or NO with INV-7`.
fn choices(open: &[OpenQuestion]) -> String {
    let of = |kind: Kind, words: &str| {
        let references = open.iter().filter(|one| one.kind == kind).map(|one| one.reference.as_str());
        let references = references.collect::<Vec<_>>().join(" or ");
        (!references.is_empty()).then(|| format!("{words} with {references}"))
    };
    let kinds = [of(Kind::Approval, "APPROVE or REJECT"), of(Kind::Invite, "YES or NO")];
    kinds.into_iter().flatten().collect::<Vec<_>>().join(", ")
}
