//! Guessing at keys is slow, then refused; whoever has a valid one notices nothing of it.

use std::sync::Arc;
use std::time::Duration;

use domain::audit::{Act, Actor};
use futures_util::FutureExt as _;
use reqwest::Method;
use server::keys;
use testkit::clock::FakeClock;
use testkit::wait::{LONG, wait_for};

use crate::app::{Setup, TestApp};
use crate::http::Answer;

fn setup() -> (Arc<FakeClock>, Setup) {
    let clock = Arc::new(FakeClock::new());
    let setup = TestApp::setup().clock(Arc::clone(&clock) as _);
    (clock, setup.set("TUMA_HTTP__TRUSTED_PROXIES", r#"["127.0.0.1"]"#))
}

/// A request from this address.
async fn ask(app: &TestApp, key: &str, address: &str) -> Answer {
    app.anonymous(Method::GET, "/sms").key(key).header("x-forwarded-for", address).send().await
}

/// A key that nobody has.
fn guess(n: usize) -> String {
    format!("{}{n:043}", keys::PREFIX)
}

/// Guesses until that is refused; gives the answer. Turns the clock while the gateway lets an answer wait.
async fn guess_until_refused(app: &TestApp, clock: &FakeClock, address: &str) -> Answer {
    for n in 0..30 {
        let key = guess(n);
        let mut asking = Box::pin(ask(app, &key, address));
        let answered = async || {
            let answer = (&mut asking).now_or_never();
            if answer.is_none() {
                clock.advance(Duration::from_millis(10));
            }
            answer
        };
        let answer = wait_for(answered, LONG).await.unwrap();
        if answer.status != 401 {
            return answer;
        }
    }
    panic!("never refused");
}

#[tokio::test]
async fn a_few_mistakes_are_answered_at_once() {
    let (_clock, setup) = setup();
    let app = setup.start().await;
    for n in 0..5 {
        assert_eq!(ask(&app, &guess(n), "192.0.2.1").await.status, 401);
    }
}

#[tokio::test]
async fn who_guesses_on_is_refused_and_told_for_how_long() {
    let (clock, setup) = setup();
    let app = setup.start().await;
    let refused = guess_until_refused(&app, &clock, "192.0.2.1").await;
    assert_eq!((refused.status, refused.problem().as_str()), (429, "too_many_failures"));
    assert_eq!(refused.header("retry-after"), Some("5"));
    // A key that there was is no exception, nor is one of another form.
    for key in [guess(99), "Habari".into(), "a.b.c".into()] {
        assert_eq!(ask(&app, &key, "192.0.2.1").await.status, 429);
    }
    clock.advance(Duration::from_secs(5));
    let again = ask(&app, &guess(0), "192.0.2.1").await;
    assert_eq!((again.status, again.header("retry-after")), (429, Some("10")));
}

#[tokio::test]
async fn a_valid_key_is_served_at_once_also_where_others_at_its_address_are_refused() {
    let (clock, setup) = setup();
    let app = setup.start().await;
    guess_until_refused(&app, &clock, "192.0.2.1").await;
    // One that was not looked up before, and one that is known.
    for _ in 0..3 {
        assert_eq!(ask(&app, &app.key, "192.0.2.1").await.status, 200);
    }
    assert_eq!(ask(&app, &guess(0), "192.0.2.1").await.status, 429);
}

#[tokio::test]
async fn other_addresses_are_told_apart_and_nobody_chooses_its_own() {
    let (clock, setup) = setup();
    let app = setup.start().await;
    guess_until_refused(&app, &clock, "192.0.2.1").await;
    assert_eq!(ask(&app, &guess(0), "192.0.2.2").await.status, 401);
    // What the caller itself put into the header stands to the left.
    assert_eq!(ask(&app, &guess(0), "192.0.2.2, 192.0.2.1").await.status, 429);
}

#[tokio::test]
async fn failures_are_forgotten_after_a_while() {
    let (clock, setup) = setup();
    let app = setup.start().await;
    guess_until_refused(&app, &clock, "192.0.2.1").await;
    clock.advance(Duration::from_mins(15));
    assert_eq!(ask(&app, &guess(0), "192.0.2.1").await.status, 401);
}

#[tokio::test]
async fn requests_without_a_key_guess_nothing_and_are_never_slowed() {
    let (_clock, setup) = setup();
    let app = setup.start().await;
    for _ in 0..30 {
        assert_eq!(app.anonymous(Method::GET, "/sms").send().await.status, 401);
    }
}

#[tokio::test]
async fn failures_are_counted_by_reason() {
    let (clock, setup) = setup();
    let app = setup.start().await;
    let (short, kept) = keys::create("short", &[], Some(Duration::from_mins(1)), FakeClock::START);
    app.gateway.store.create_key(kept, crate::app::operator()).await.unwrap();
    let (ended, kept) = keys::create("ended", &[], None, FakeClock::START);
    let id = kept.id;
    app.gateway.store.create_key(kept, crate::app::operator()).await.unwrap();
    app.gateway.store.revoke_key(id, Act { by: Actor::Operator, at: FakeClock::START }).await.unwrap();
    clock.advance(Duration::from_mins(1));
    let text = domain::secret::ExposeSecret::expose_secret;
    for key in [text(&short), text(&ended), &guess(0), "Habari"] {
        ask(&app, key, "192.0.2.1").await;
    }
    app.anonymous(Method::GET, "/sms").send().await;
    guess_until_refused(&app, &clock, "192.0.2.2").await;
    let metrics = app.metrics().await;
    for (reason, count) in
        [("expired_key", 1), ("revoked_key", 1), ("unknown_key", 13), ("malformed", 1), ("missing", 1)]
    {
        let line = format!("tuma_auth_failures_total{{reason=\"{reason}\"}} {count}");
        assert!(metrics.contains(&line), "{line}: {metrics}");
    }
    assert!(metrics.contains("tuma_auth_refused_total 1"), "{metrics}");
}
