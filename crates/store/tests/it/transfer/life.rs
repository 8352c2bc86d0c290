//! A store with something of everything, and what a store answers.

use std::collections::BTreeMap;

use domain::audit::Actor;
use domain::consent::Keyword;
use domain::event::{EventData, EventKind, NewEvent};
use domain::guard::ledger::Entered;
use domain::guard::{Count, Grain, Mode, Subject};
use domain::ids::{BulkId, DecisionId, EndpointId, MessageId, VerificationId};
use domain::message::MessageStatus;
use domain::phone::Country;
use domain::quota::{Allowance, Draw};
use domain::receipt::ReceiptStatus;
use domain::route::ProviderName;
use domain::scenario::{Priority, Scenario};
use domain::time::Timestamp;
use domain::verification::{Code, Examined};
use store::Store;
use store::port::consent::{ConsentRecord, OptOutFilter};
use store::port::events::RaisedEvent;
use store::port::guard::{Decision, Feedback, FeedbackOutcome, KeptByGuard};
use store::port::history::KeepHistory;
use store::port::inbound::{InboundRecord, NewInbound};
use store::port::keys::{ApiKey, KeyUse, Only, Rotation};
use store::port::messages::{
    Accept, Accepted, Cancel, Filter, Idempotency, MessageRecord, NewMessage, Page, Sweep,
};
use store::port::prompts::PromptFilter;
use store::port::queue::{LaneDepth, Stuck, Waiting};
use store::port::templates::{Draft, Publish};
use store::port::verifications::{ChangeVerifications, Deed, NewVerification};
use store::port::watches::WatchCount;
use store::port::webhooks::{DeliveryEnd, EndDeliveries, EndpointChange, NewEndpoint, TakeDeliveries};

use crate::conformance::inbound::{all, carried, from_phone};
use crate::conformance::prompts::{approval, ask, hear, said};
use crate::support::{
    Bench, DAY, Fixture, HOUR, MINUTE, NOW, SECOND, With, caller, entropy, message, message_at,
    not_submitted, operator, provider, receipt_by, receipt_for, receiver, rejected, resend, retry,
};

/// Every table that is carried.
pub(crate) const TABLES: [&str; 38] = [
    "data_keys",
    "api_keys",
    "former_secrets",
    "templates",
    "drained",
    "events",
    "webhook_endpoints",
    "deliveries",
    "delivery_posts",
    "messages",
    "states",
    "attempts",
    "callbacks",
    "rounds",
    "idempotency",
    "progress",
    "erasable",
    "reservations",
    "quotas",
    "guard_counts",
    "guard_decisions",
    "guard_samples",
    "feedback",
    "prompts",
    "prompt_receivers",
    "prompt_messages",
    "prompt_replies",
    "prompt_asks",
    "verifications",
    "conversions",
    "audit",
    "audit_heads",
    "audit_checkpoints",
    "inbound",
    "consents",
    "opt_outs",
    "watches",
    "queue",
];

/// What a store answers to whoever asks.
pub(crate) struct Answers {
    records: Vec<MessageRecord>,
    keys: Vec<ApiKey>,
    drained: Vec<(ProviderName, Timestamp)>,
    depth: Vec<LaneDepth>,
    stuck: Vec<Stuck>,
    watches: Vec<WatchCount>,
    earlier: Option<Accepted>,
    of_bulk: Vec<MessageId>,
    inbound: Vec<InboundRecord>,
    opt_outs: Vec<ConsentRecord>,
    /// What waits at the first provider, in its order.
    pub(crate) waiting: Vec<MessageId>,
    raised: Vec<RaisedEvent>,
    prompts: Vec<String>,
}

impl Answers {
    pub(crate) async fn of(store: &dyn Store) -> Self {
        let later = NOW.plus(HOUR);
        let page = Page { after: None, limit: 1_000 };
        let mut records = Vec::new();
        for summary in store.messages(Filter::default(), page).await.unwrap() {
            records.push(store.message(summary.message.id).await.unwrap().unwrap());
        }
        let waiting = Waiting { provider: provider("twilio"), lanes: [true; 4], now: later, limit: 1_000 };
        let waiting = store.waiting(waiting).await.unwrap();
        // In no order.
        let mut depth = store.depth(later).await.unwrap();
        depth.sort_by(|one, other| (&one.provider, one.priority).cmp(&(&other.provider, other.priority)));
        let of_bulk = store.messages_of_bulk(bulk()).await.unwrap();
        Self {
            records,
            keys: store.keys().await.unwrap(),
            drained: store.drained().await.unwrap(),
            depth,
            stuck: store.stuck(later, 1_000).await.unwrap(),
            watches: store.watch_counts().await.unwrap(),
            earlier: store.earlier(request()).await.unwrap(),
            inbound: store.inbound(all()).await.unwrap(),
            opt_outs: store.opt_outs(OptOutFilter { limit: 10, ..OptOutFilter::default() }).await.unwrap(),
            of_bulk: of_bulk.iter().map(|summary| summary.message.id).collect(),
            raised: store.raised_events(10).await.unwrap(),
            prompts: shown_prompts(store).await,
            waiting: waiting.iter().map(|waiter| waiter.place.message_id).collect(),
        }
    }

    pub(crate) fn assert_same(&self, other: &Self) {
        assert_eq!(self.records.len(), other.records.len());
        for (one, other) in self.records.iter().zip(&other.records) {
            let whole = |record: &MessageRecord| {
                let summary = &record.summary;
                let state =
                    (summary.status, summary.provider.clone(), summary.failure.clone(), summary.updated_at);
                (summary.message.clone(), state, record.attempts.clone(), record.receipts.clone())
            };
            assert_eq!(whole(one), whole(other));
        }
        assert_eq!(self.keys, other.keys);
        assert_eq!(self.drained, other.drained);
        assert_eq!(self.depth, other.depth);
        assert_eq!(self.stuck, other.stuck);
        assert_eq!(self.watches, other.watches);
        assert_eq!(self.earlier, other.earlier);
        assert!(self.earlier.is_some());
        assert_eq!(self.of_bulk, other.of_bulk);
        assert_eq!((&self.inbound, &self.opt_outs), (&other.inbound, &other.opt_outs));
        assert_eq!((self.inbound.len(), self.opt_outs.len()), (3, 1));
        assert_eq!(self.waiting, other.waiting);
        assert_eq!(self.raised, other.raised);
        assert_eq!((self.prompts.len(), &self.prompts), (2, &other.prompts));
        assert!(!self.waiting.is_empty());
    }

    fn has(&self, status: MessageStatus) -> bool {
        self.records.iter().any(|record| record.summary.status == status)
    }
}

async fn shown_prompts(store: &dyn Store) -> Vec<String> {
    let filter = PromptFilter { limit: 10, ..PromptFilter::default() };
    let mut shown = Vec::new();
    for summary in store.prompts(filter).await.unwrap() {
        shown.push(format!("{:?}", store.prompt(summary.prompt.id).await.unwrap()));
    }
    shown
}

fn bulk() -> BulkId {
    BulkId::new(NOW, entropy(1))
}

fn request() -> Idempotency {
    Idempotency {
        key: [7; 32],
        request: [8; 32],
        reply: r#"{"id":"msg","note":"é👍"}"#.into(),
        now: NOW,
        since: NOW.minus(DAY),
    }
}

/// Fills a store by its ports with messages in every status, and everything else that is kept.
pub(crate) async fn fill<F: Fixture>(bench: &Bench<F>) {
    prompts(bench).await;
    ended(bench).await;
    under_way(bench).await;
    waiting(bench).await;
    codes(bench).await;
    beside_messages(bench).await;
    assert!(bench.checkpoint_audit(NOW).await.unwrap().is_some());
    let answers = Answers::of(&*bench.store).await;
    for status in MessageStatus::ALL {
        assert!(answers.has(*status), "no message is {status}");
    }
}

/// Two withdrawals: one is approved, and before that its receiver was asked which one was meant.
async fn prompts<F: Fixture>(bench: &Bench<F>) {
    let at = NOW.minus(DAY);
    for n in [901, 902] {
        ask(&**bench, approval(n, 1, at)).await;
    }
    for (n, words) in [(1, "approve"), (2, "Approve WR-901, ndugu")] {
        let new = said(n, 1, words, at.plus(HOUR));
        hear(&**bench, NewInbound { answers: Some(carried()), ..new }).await;
    }
}

async fn ended<F: Fixture>(bench: &Bench<F>) {
    // A day ago, and swept: how far that came is kept.
    let old = message_at(1, NOW.minus(4 * DAY));
    bench.add_and_send(old, "SM1").await;
    let horizon = NOW.minus(3 * DAY);
    let sweep = Sweep {
        accepted_before: horizon,
        unmoved_since: horizon,
        limit: 100,
        reporting: vec![provider("twilio")],
        now: NOW,
    };
    assert_eq!(bench.sweep(sweep).await.unwrap().without_receipt, 1);

    let delivered =
        bench.add_and_send(message(3).with(|message| message.scenario = Scenario::Otp), "SM3").await;
    let allowance = Allowance::Rate { limit: 5, period: HOUR };
    let cap = Allowance::Cap { most: 100, ends: NOW.plus(DAY) };
    let capped = Draw { quota: -8, allowance: cap, amount: 40 };
    let drawing = NewMessage { draws: vec![Draw { quota: -7, allowance, amount: 1 }, capped], ..message(2) };
    let again = NewMessage { draws: vec![Draw { quota: -9, allowance, amount: 1 }], ..message(7) };
    for new in [drawing, again] {
        // A file keeps what is drawn in a journal; this brings it to its table.
        bench.keep_history(keep_all()).await.unwrap();
        let accept = Accept { messages: vec![new], idempotency: None, no_repeats_since: None };
        assert!(matches!(bench.accept(accept).await, Ok(Accepted::StoredWithin(_))));
    }
    assert_eq!(bench.take(NOW.plus(SECOND)).await.len(), 2);
    for status in [ReceiptStatus::Sent, ReceiptStatus::Delivered] {
        bench.receive(receipt_for(delivered, status)).await;
    }
    let failed = bench.add_and_take(message(4)).await;
    bench.end(&failed, rejected(), store::port::queue::Next::Stop).await;
    let expiring = message(5).with(|message| message.expires_at = Some(NOW.plus(SECOND)));
    bench.add([expiring]).await;
    bench.take(NOW.plus(2 * SECOND)).await;
    let canceled = message(6);
    bench.add([canceled.clone()]).await;
    bench
        .cancel(Cancel { messages: vec![canceled.id()], by: Actor::Operator, now: NOW.plus(SECOND) })
        .await
        .unwrap();
}

fn keep_all() -> KeepHistory {
    KeepHistory {
        now: NOW,
        messages_since: None,
        replies_since: NOW.minus(4 * DAY),
        audit_since: NOW.minus(90 * DAY),
        limit: 1_000,
    }
}

async fn under_way<F: Fixture>(bench: &Bench<F>) {
    bench.add_and_send(message(10), "SM10").await;
    bench.add_and_doubt(message(11)).await;
    // The lease runs on: whoever claimed it is gone.
    bench.add_and_take(message(12)).await;
    // Parked: of a message that is not known yet.
    bench.receive(receipt_by("SMunknown", receiver(99), ReceiptStatus::Sent)).await;
}

async fn waiting<F: Fixture>(bench: &Bench<F>) {
    // Sent again, in another round, once it was refused by somebody.
    let again = bench.add_and_send(message(20), "SM20").await;
    let tried = bench.add_and_take(message(21)).await;
    bench.end(&tried, not_submitted(), retry(NOW.plus(MINUTE))).await;
    let refused = vec![provider("africastalking")];
    let resend = store::port::messages::Resend { refused_by: refused, ..resend(again, NOW.plus(MINUTE)) };
    assert!(bench.resend(resend).await.unwrap().unwrap().has_moved());
    let scheduled = message(22).with(|message| message.scheduled_at = Some(NOW.plus(2 * DAY)));
    bench.add([scheduled, message(23).via("africastalking")]).await;
    let bulk = (30..60).map(|n| {
        message(n).with(|message| {
            message.bulk_id = Some(bulk());
            message.priority = if n % 2 == 0 { Priority::Bulk } else { Priority::High };
        })
    });
    bench.add(bulk).await;
    let full: NewMessage = message(60).with(|message| {
        message.caller = caller(2);
        message.scenario = Scenario::Alert;
        message.priority = Priority::Critical;
        message.reference = Some("order 7".into());
        message.group = Some("chama-7".into());
        message.metadata = BTreeMap::from([("shop".to_owned(), "Duka 'é' 🏪".to_owned())]);
        message.segments = 3;
    });
    let accept = Accept { messages: vec![full], idempotency: Some(request()), no_repeats_since: None };
    assert_eq!(bench.accept(accept).await, Ok(Accepted::Stored));
}

/// What the guard counted and decided, and what was said.
async fn guard<F: Fixture>(bench: &Bench<F>) {
    let made = Decision {
        id: DecisionId::new(NOW, entropy(1)),
        at: NOW,
        last_at: NOW.plus(SECOND),
        mode: Mode::Shadow,
        country: Country::KE,
        prefix: None,
        caller: caller(1),
        scenario: Scenario::Otp,
        reasons: Vec::new(),
        messages: 3,
        sampled: 1,
        confirmed: 0,
    };
    let count = Count { sent: 3, expected: 2, verified: 1, suspected: -1 };
    let subject = Subject::Newcomers(Country::KE);
    let kept = KeptByGuard {
        now: NOW,
        counts: Grain::ALL.iter().map(|grain| Entered { bucket: grain.at(NOW), subject, count }).collect(),
        samples: vec![(message(3).id(), made.id)],
        decisions: vec![made],
    };
    bench.keep_guard(kept).await.unwrap();
    let said = Feedback {
        message_id: message(3).id(),
        outcome: FeedbackOutcome::Confirmed,
        by: Actor::System,
        now: NOW,
    };
    assert_eq!(bench.keep_feedback(said).await, Ok(true));
}

/// A code that was typed in, one that is open and kept, and what the first came to.
async fn codes<F: Fixture>(bench: &Bench<F>) {
    let code = || Code::read("482913").unwrap();
    let carries = |n: u64, new: NewMessage, keeps_code| {
        let begins = NewVerification {
            code: code(),
            checks: 5,
            expires_at: NOW.plus(HOUR),
            keeps_code,
            same_as: None,
        };
        let new = new.with(|message| message.receiver = receiver(n)).via("elsewhere");
        NewMessage { verification: Some(Box::new(begins)), ..new }
    };
    let sent = carries(901, message(901), false);
    let id = VerificationId::of(sent.id());
    bench.add([sent, carries(902, message(902), true)]).await;
    let (by, now) = (Actor::Key(caller(1)), NOW.plus(MINUTE));
    let check = ChangeVerifications { ids: vec![id], deed: Deed::Check(code()), caller: None, by, now };
    let seen = bench.change_verifications(check).await.unwrap().pop().unwrap().unwrap();
    assert_eq!(seen.examined, Examined::Right);
}

async fn beside_messages<F: Fixture>(bench: &Bench<F>) {
    for n in 1..=3_u8 {
        let key = ApiKey {
            scopes: vec!["sms:send".into(), "sms:read".into()],
            only: Only { countries: vec!["KE".into()], ..Only::default() },
            expires_at: (n == 2).then(|| NOW.plus(DAY)),
            ..ApiKey::new(caller(n.into()), format!("wallet {n} 'é'"), [n; 32], NOW)
        };
        bench.create_key(key, operator(NOW)).await.unwrap();
    }
    let rotation = Rotation {
        id: caller(1),
        hash: [9; 32],
        others_end_at: NOW.plus(DAY),
        by: Actor::Operator,
        now: NOW,
    };
    assert_eq!(bench.rotate_key(rotation).await, Ok(true));
    bench.note_key_uses(vec![KeyUse { id: caller(1), at: NOW.plus(HOUR) }]).await.unwrap();
    bench.revoke_key(caller(3), operator(NOW)).await.unwrap();
    let template = Draft { name: "otp".into(), definition: "{\"é\": 1}".into(), act: operator(NOW) };
    bench.draft_template(template).await.unwrap();
    let publish = Publish { name: "otp".into(), version: None, act: operator(NOW) };
    bench.publish_template(publish).await.unwrap();
    guard(bench).await;
    // The triggers of the outbox are not carried: what is filled in from now on moves no status.
    bench.keep_events(true).await.unwrap();
    let told = NewEvent {
        kind: EventKind::PromptClosed,
        subject: [7; 16],
        caller: Some(caller(1)),
        at: NOW,
        data: EventData::from_json(r#"{"text":"Ndio 👍"}"#),
    };
    bench.raise_events(vec![told]).await.unwrap();
    bench.keep_events(false).await.unwrap();
    bench.receive_inbound(from_phone(90, "Ondoa \0 👍", Some(Keyword::Unsubscribe))).await.unwrap();
    webhooks(bench).await;
    for name in ["africastalking", "zebra"] {
        assert_eq!(bench.set_drained(provider(name), Some(NOW), operator(NOW)).await, Ok(true));
    }
}

/// An endpoint with two secrets, and what it got.
async fn webhooks<F: Fixture>(bench: &Bench<F>) {
    let id = EndpointId::new(NOW, entropy(1));
    let endpoint = NewEndpoint {
        id,
        caller: caller(1),
        hears_all: true,
        url: "https://example.com/hooks?k=é".into(),
        description: Some("duka 'é' 🏪".into()),
        events: vec!["prompt.*".into()],
        secret: "whsec_one".into(),
    };
    bench.create_endpoint(endpoint, operator(NOW)).await.unwrap();
    let rotate = EndpointChange::Rotate("whsec_two".into(), NOW.plus(DAY));
    assert_eq!(bench.change_endpoint(id, rotate, operator(NOW)).await, Ok(true));
    let test = EndpointChange::Test(EventData::from_json("{}"));
    assert_eq!(bench.change_endpoint(id, test, operator(NOW)).await, Ok(true));
    let under_way = Vec::new();
    let take = TakeDeliveries { now: NOW, again_at: NOW.plus(MINUTE), each: 8, under_way, limit: 8 };
    let [taken] = bench.take_deliveries(take).await.unwrap().try_into().unwrap();
    let end = DeliveryEnd {
        endpoint: id,
        number: taken.number,
        at: NOW,
        took_ms: 5,
        status: Some(500),
        error: Some("status"),
        again_at: Some(NOW.plus(MINUTE)),
        rests_until: NOW,
        is_gone: true,
    };
    let end = EndDeliveries { ends: vec![end], now: NOW, failing_since: NOW.minus(DAY), rests_after: 1 };
    assert_eq!(bench.end_deliveries(end).await, Ok(vec![id]));
}
