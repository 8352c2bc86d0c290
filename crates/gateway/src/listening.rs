//! What is listened for in messages from phones: what a text asks for, about which sender, and for which caller it is.

use std::time::Duration;

use domain::consent::{Keyword, Keywords, folded};
use domain::ids::KeyId;
use domain::inbound::Inbound;
use domain::phone::SenderId;
use domain::reply::{Reading, Says};

/// How messages from phones are handled.
#[derive(Debug, Clone, Default)]
pub struct InboundSettings {
    /// The words by which people opt out and in, and ask for help.
    pub keywords: Keywords,
    /// What they are answered.
    pub replies: Replies,
    /// How often.
    pub bounds: AnswerBounds,
    /// Numbers and short codes of ours that messages are sent from, beside the providers' defaults: an opt-out that is
    /// sent to one of these is about that one alone.
    pub senders: Vec<SenderId>,
    /// For whom other messages are. The first that fits decides; what none fits is for all who listen.
    pub rules: Vec<InboundRule>,
}

/// What is answered to keywords; `None` for nothing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Replies {
    /// To whoever opts out.
    pub opted_out: Option<String>,
    /// To whoever opts in.
    pub opted_in: Option<String>,
    /// To whoever asks for help.
    pub help: Option<String>,
}

impl Default for Replies {
    /// In English and Swahili, one segment each.
    fn default() -> Self {
        Self {
            opted_out: Some(
                "You will get no more messages. Reply START to get them again. / Hutapokea ujumbe tena. \
                 Jibu ANZA kuupokea tena."
                    .into(),
            ),
            opted_in: Some(
                "You will get messages again. Reply STOP to end them. / Utapokea ujumbe tena. Jibu ACHA kusitisha."
                    .into(),
            ),
            help: Some(
                "Reply STOP to get no more messages, START to get them again. / Jibu ACHA kusitisha ujumbe, ANZA \
                 kuupokea tena."
                    .into(),
            ),
        }
    }
}

/// How many answers of the gateway's own a number gets, also those to replies to prompts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct AnswerBounds {
    /// In an hour.
    pub per_hour: u32,
    /// In a day.
    pub per_day: u32,
    /// A keyword that changes nothing is not confirmed again within this time.
    pub confirm_again_after: Duration,
}

impl Default for AnswerBounds {
    fn default() -> Self {
        Self { per_hour: 5, per_day: 20, confirm_again_after: Duration::from_hours(1) }
    }
}

/// For whom a message is that asks for nothing of ours.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InboundRule {
    /// The word that it begins with, whatever its case; `None` for any.
    pub word: Option<String>,
    /// The number or short code that it was sent to; `None` for any.
    pub to: Option<String>,
    /// The caller that it is for; `None` for all who listen.
    pub caller: Option<KeyId>,
}

impl InboundSettings {
    /// The rule for a message, if one fits.
    pub(crate) fn rule_for(&self, inbound: &Inbound) -> Option<&InboundRule> {
        if self.rules.is_empty() {
            return None;
        }
        // The first word decides: what follows it may be as long as it likes.
        let start: String = inbound.body.expose().chars().take(128).collect();
        let first = folded(&start).into_iter().next();
        self.rules.iter().find(|rule| {
            let has_word = match &rule.word {
                Some(word) => first.as_ref() == Some(&folded(word).concat()),
                None => true,
            };
            has_word && rule.to.as_ref().is_none_or(|to| *to == inbound.to)
        })
    }

    /// What a message asks for. The provider's word counts, for it has acted on it; but where that is an opt-in, and the text
    /// may be an answer as well, as the YES of Twilio's lists, it is one to whoever was asked something.
    pub(crate) fn keyword(&self, inbound: &Inbound) -> Option<Keyword> {
        let text = inbound.body.expose();
        let own = self.keywords.read(text);
        match (inbound.understood, own) {
            (Some(Keyword::Start), Some(Keyword::Resume)) => Some(Keyword::Resume),
            (Some(Keyword::Start), None) if is_answer(text) => Some(Keyword::Resume),
            (understood, own) => understood.or(own),
        }
    }

    /// The sender that a change of consent is about; `None` for all. A number or short code that no message is sent from
    /// stands for all of them: nobody opts out of a sender that never writes.
    pub(crate) fn about(
        &self,
        keyword: Keyword,
        inbound: &Inbound,
        default: Option<&SenderId>,
    ) -> Option<SenderId> {
        if keyword.is_about_all_senders() {
            return None;
        }
        let is_sent_from = |sender: &SenderId| self.senders.contains(sender) || default == Some(sender);
        inbound.sender().filter(is_sent_from)
    }
}

/// Whether a text is plainly a yes or a no.
fn is_answer(text: &str) -> bool {
    matches!(Reading::of(text, &[]).says, Says::Plainly(..))
}

#[cfg(test)]
mod tests {
    use domain::attempt::ProviderMessageId;
    use domain::inbound::Origin;
    use domain::secret::Body;
    use domain::time::Timestamp;

    use super::*;

    fn sent(to: &str, text: &str) -> Inbound {
        Inbound {
            provider: "acme".parse().unwrap(),
            provider_message_id: ProviderMessageId::new("1").unwrap(),
            from: Origin::Other(Body::new("MTN")),
            to: to.into(),
            body: Body::new(text),
            segments: None,
            understood: None,
            received_at: Timestamp::from_micros(0),
        }
    }

    #[test]
    fn opt_out_is_about_the_sender_it_was_sent_to_or_about_all_if_nothing_is_sent_from_there() {
        let default: SenderId = "+12025550123".parse().unwrap();
        let settings =
            InboundSettings { senders: vec!["21512".parse().unwrap()], ..InboundSettings::default() };
        let about =
            |keyword, to: &str| settings.about(keyword, &sent(to, ""), Some(&default)).map(String::from);
        assert_eq!(about(Keyword::Stop, "+12025550123").as_deref(), Some("+12025550123"));
        assert_eq!(about(Keyword::Unsubscribe, "21512").as_deref(), Some("21512"));
        assert_eq!(about(Keyword::Stop, "40404"), None);
        assert_eq!(about(Keyword::StopAll, "21512"), None);
    }

    #[test]
    fn opt_in_of_a_provider_is_an_answer_first_where_the_text_may_be_one() {
        let settings = InboundSettings::default();
        let asked = |understood, text: &str| {
            settings.keyword(&Inbound { understood: Some(understood), ..sent("21512", text) })
        };
        for text in ["YES", "yes please", "Ndio", "ACCEPT", "Jiunge"] {
            assert_eq!(asked(Keyword::Start, text), Some(Keyword::Resume), "{text}");
        }
        for text in ["START", "Anza", "RUDISHA", "yes but no"] {
            assert_eq!(asked(Keyword::Start, text), Some(Keyword::Start), "{text}");
        }
        assert_eq!(asked(Keyword::Stop, "NO"), Some(Keyword::Stop));
        assert_eq!(asked(Keyword::Help, "YES"), Some(Keyword::Help));
    }

    #[test]
    fn first_rule_that_fits_says_whose_a_message_is() {
        let rule = |word: Option<&str>, to: Option<&str>| InboundRule {
            word: word.map(Into::into),
            to: to.map(Into::into),
            caller: None,
        };
        let rules =
            vec![rule(Some("Loan"), Some("21512")), rule(None, Some("21512")), rule(Some("mkopo"), None)];
        let settings = InboundSettings { rules, ..InboundSettings::default() };
        let fits = |to, text| {
            settings
                .rule_for(&sent(to, text))
                .and_then(|it| settings.rules.iter().position(|rule| rule == it))
        };
        assert_eq!(fits("21512", " loan, 500"), Some(0));
        assert_eq!(fits("21512", "loans"), Some(1));
        assert_eq!(fits("40404", "MKOPO\u{200f} 500"), Some(2));
        assert_eq!(fits("40404", "habari"), None);
        assert_eq!(fits("40404", ""), None);
    }

    #[test]
    fn each_reply_takes_one_segment() {
        let Replies { opted_out, opted_in, help } = Replies::default();
        for text in [opted_out, opted_in, help] {
            let measured = domain::encoding::measure(&text.unwrap());
            assert_eq!((measured.encoding.as_str(), measured.segments), ("gsm7", 1));
        }
    }
}
