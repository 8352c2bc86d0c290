//! Which messages share a request to a provider that takes many receivers at once.

use std::collections::HashMap;

use crate::attempt::Submission;
use crate::phone::SenderId;
use crate::scenario::Priority;
use crate::secret::Body;

/// Requests as they fill up.
///
/// In the bulk lane, messages with one text and one sender share a request, up to what the provider takes. In
/// other lanes each message has a request to itself, so that a doubt about a request concerns one message.
#[derive(Debug, Clone)]
pub struct Requests {
    receivers_per_request: u32,
    /// By text and sender: the last request, and how many receivers it has.
    shared: HashMap<(Body, Option<SenderId>), (usize, u32)>,
    count: usize,
}

impl Requests {
    /// No requests yet; each may carry this many receivers.
    pub fn new(receivers_per_request: u32) -> Self {
        Self { receivers_per_request, shared: HashMap::new(), count: 0 }
    }

    /// How many requests there are.
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether [`place`](Self::place) would find the message a place.
    pub fn has_place(&self, submission: &Submission, lane: Priority, limit: usize) -> bool {
        self.count < limit || self.shares(lane) && self.has_room(submission)
    }

    /// Whether messages of a lane share requests.
    fn shares(&self, lane: Priority) -> bool {
        lane == Priority::Bulk && self.receivers_per_request > 1
    }

    fn has_room(&self, submission: &Submission) -> bool {
        let key = (submission.body.clone(), submission.sender.clone());
        self.shared.get(&key).is_some_and(|(_, receivers)| *receivers < self.receivers_per_request)
    }

    /// Finds the message a place, if that takes no more than `limit` requests in all. Answers the position of
    /// its request, counted from 0.
    pub fn place(&mut self, submission: &Submission, lane: Priority, limit: usize) -> Option<usize> {
        if !self.shares(lane) {
            return self.open(limit);
        }
        let key = (submission.body.clone(), submission.sender.clone());
        match self.shared.get_mut(&key) {
            Some((position, receivers)) if *receivers < self.receivers_per_request => {
                *receivers += 1;
                Some(*position)
            }
            _ => {
                let position = self.open(limit)?;
                self.shared.insert(key, (position, 1));
                Some(position)
            }
        }
    }

    fn open(&mut self, limit: usize) -> Option<usize> {
        let position = (self.count < limit).then_some(self.count)?;
        self.count += 1;
        Some(position)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::encoding::Encoding;
    use crate::ids::MessageId;
    use crate::phone::{Country, Msisdn};
    use crate::scenario::Scenario;
    use crate::time::Timestamp;

    fn text(body: &str) -> Submission {
        Submission {
            message_id: MessageId::new(Timestamp::from_micros(0), [0; 10]),
            attempt: 1,
            receiver: Msisdn::parse("+254712345678", Country::KE).unwrap(),
            sender: None,
            body: Body::new(body),
            encoding: Encoding::Gsm7,
            scenario: Scenario::ChamaInvite,
            expires_at: None,
        }
    }

    #[test]
    fn one_text_shares_a_request_until_it_is_full() {
        let mut requests = Requests::new(2);
        let mut place = |body: &str| requests.place(&text(body), Priority::Bulk, 9);
        assert_eq!(
            [place("a"), place("b"), place("a"), place("a"), place("b")],
            [Some(0), Some(1), Some(0), Some(2), Some(1)]
        );
    }

    #[test]
    fn a_message_of_another_lane_goes_alone() {
        let mut requests = Requests::new(100);
        assert_eq!(requests.place(&text("a"), Priority::High, 9), Some(0));
        assert_eq!(requests.place(&text("a"), Priority::High, 9), Some(1));
    }

    #[test]
    fn texts_of_their_own_take_a_request_each_and_no_more_than_allowed() {
        let mut requests = Requests::new(100);
        assert_eq!(requests.place(&text("a"), Priority::Bulk, 1), Some(0));
        assert_eq!(requests.place(&text("b"), Priority::Bulk, 1), None);
        assert_eq!(requests.place(&text("a"), Priority::Bulk, 1), Some(0));
    }

    #[test]
    fn senders_are_kept_apart() {
        let mut requests = Requests::new(100);
        let named = Submission { sender: Some("CHAMA".parse().unwrap()), ..text("a") };
        assert_eq!(requests.place(&text("a"), Priority::Bulk, 9), Some(0));
        assert_eq!(requests.place(&named, Priority::Bulk, 9), Some(1));
    }
}
