//! What is listened for in messages from phones: what a text asks for, about which sender, and for which caller it is.

use domain::consent::{Keyword, Keywords, folded};
use domain::ids::KeyId;
use domain::inbound::Inbound;
use domain::phone::SenderId;

/// How messages from phones are handled.
#[derive(Debug, Clone, Default)]
pub struct InboundSettings {
    /// The words by which people opt out and in, and ask for help.
    pub keywords: Keywords,
    /// What they are answered.
    pub replies: Replies,
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
