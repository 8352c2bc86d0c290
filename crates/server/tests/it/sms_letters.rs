//! Texts as people write them, in any script and up to ten segments: each letter arrives, at both networks and from both.

use std::collections::BTreeSet;

use serde_json::json;
use testkit::sim::{Provider, TWILIO_PHONE_NUMBER};

use crate::app::{AMERICAN, KENYAN, TestApp, text};

/// Texts, with how they are encoded and how many segments they take.
fn texts() -> Vec<(String, &'static str, u32)> {
    let short = [
        ("KES 1,500 @ 5% {fee}: [ok] ~ €3 ^\\|", "gsm7", 1),
        ("50% & more + \"x\" = 'y'; naïve €5\nsecond line", "ucs2", 1),
        ("Ng’ombe wa Njoroge — “karibu”…", "ucs2", 1),
        ("ሰላም! ቁጥርዎ 4821 ነው።", "ucs2", 1),
        ("你好，您的验证码是 4821", "ucs2", 1),
        ("\u{200f}رمزك هو 4821، لا تشاركه مع أحد", "ucs2", 1),
        ("הקוד שלך: 4821 \u{202b}(שלום)\u{202c}", "ucs2", 1),
        ("👍🏾 👨‍👩‍👧‍👦 🇰🇪 ❤️ 1️⃣", "ucs2", 1),
    ];
    let long = [
        // Parts of a longer message have 153 letters of GSM-7, or 67 units of UCS-2, in which no emoji is cut in two.
        ("a".repeat(10 * 153), "gsm7", 10),
        ("€".repeat(10 * 76), "gsm7", 10),
        ("ሰ".repeat(10 * 67), "ucs2", 10),
        ("👋".repeat(10 * 33), "ucs2", 10),
    ];
    short
        .map(|(text, encoding, segments)| (text.to_owned(), encoding, segments))
        .into_iter()
        .chain(long)
        .collect()
}

#[tokio::test]
async fn every_letter_arrives_at_both_providers_and_is_charged_as_was_said() {
    let app = TestApp::setup().set("TUMA_MESSAGES__MAX_CHARACTERS", "1530").start().await;
    for (receiver, provider) in [(KENYAN, Provider::AfricasTalking), (AMERICAN, Provider::Twilio)] {
        for (body, encoding, segments) in texts() {
            let answer = app.accepted(&json!({"receiver": receiver, "message": body})).await;
            let said = (&answer["encoding"], &answer["segments"]);
            assert_eq!(said, (&json!(encoding), &json!(segments)), "{body}");
            app.shown_when(&text(&answer["id"]), "sent").await;
            let taken = app.sim.ledger().to(receiver).pop().unwrap();
            assert_eq!((taken.provider, taken.segments), (provider, segments), "{body}");
            assert_eq!(taken.body, body);
        }
    }
}

#[tokio::test]
async fn every_letter_arrives_from_both_providers_and_nul_with_them() {
    let app = TestApp::start().await;
    app.hear_phones();
    let mut written: Vec<String> = texts().into_iter().map(|(text, ..)| text).collect();
    written.extend(["\0".into(), "Habari \0 yako\0".into(), "\u{feff}é e\u{301} \u{fffd}\r\n\t.".into()]);
    for words in &written {
        app.sim.handset(KENYAN).send(Provider::AfricasTalking, "21512", words).await;
        let before = app.public.count();
        app.sim.handset(AMERICAN).send(Provider::Twilio, TWILIO_PHONE_NUMBER, words).await;
        let posts = app.public.wait_for(before + 1).await.unwrap();
        assert_eq!(app.pass_on(posts.last().unwrap()).await.status, 200);
    }
    let page = app.get("/inbound?limit=200").await.json();
    let kept: BTreeSet<_> = page["messages"]
        .as_array()
        .unwrap()
        .iter()
        .map(|shown| (text(&shown["from"]), text(&shown["message"])))
        .collect();
    let expected: BTreeSet<_> = [KENYAN, AMERICAN]
        .iter()
        .flat_map(|from| written.iter().map(|words| ((*from).to_owned(), words.clone())))
        .collect();
    assert_eq!(kept, expected);
}

#[tokio::test]
async fn nul_is_refused_for_both_providers_and_nothing_is_kept() {
    let app = TestApp::start().await;
    for receiver in [KENYAN, AMERICAN] {
        let refused = app.post("/sms", &json!({"receiver": receiver, "message": "Hab\0ari"})).await;
        assert_eq!(refused.wrong_fields(), [("/message".into(), "nul_character".into())]);
    }
    assert_eq!(app.count().await, 0);
}
