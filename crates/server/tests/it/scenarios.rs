//! What Tuma is for, as the members of a savings group live it: over HTTP, through both simulated networks.

use std::collections::BTreeSet;

use reqwest::Method;
use serde_json::{Value, json};
use server::keys::Scope;
use testkit::sim::{CallbackUrls, Provider, TWILIO_PHONE_NUMBER};
use testkit::wait::{LONG, wait_for, wait_until};

use crate::app::{AMERICAN, CALLBACK_SECRET, KENYAN, TestApp, text};

/// The code in a text: its last run of six digits.
fn code_in(text: &str) -> String {
    let mut runs = text.split(|letter: char| !letter.is_ascii_digit());
    runs.rfind(|run| run.len() == 6).unwrap_or_else(|| panic!("no code: {text}")).to_owned()
}

#[tokio::test]
async fn login_with_a_code() {
    let app = TestApp::start().await;
    let key = app.key(&[Scope::Verify]).await;
    let post = async |path: &str, body: Value| {
        let answer = app.anonymous(Method::POST, path).key(&key).json(&body).send().await;
        (answer.status, answer.json())
    };

    // Wanjiku signs in at home in Nairobi, and types her number as she always does.
    let (status, begun) = post("/verifications", json!({"receiver": "0712 345 678", "locale": "sw"})).await;
    assert_eq!((status, &begun["status"]), (202, &json!("pending")));
    app.shown_when(&text(&begun["message_id"]), "sent").await;
    let [sms] = app.sim.ledger().to(KENYAN).try_into().unwrap();
    assert_eq!((sms.provider, sms.segments), (Provider::AfricasTalking, 1));
    assert!(sms.body.starts_with("Nambari yako ni "), "{}", sms.body);
    let code = code_in(&sms.body);

    // She mistypes it, then types it right; nobody who looked over her shoulder can use it again.
    let check = format!("/verifications/{}/check", text(&begun["id"]));
    let mistyped: String = code.bytes().map(|digit| char::from(b'0' + (digit - b'0' + 1) % 10)).collect();
    let (_, wrong) = post(&check, json!({"code": mistyped})).await;
    assert_eq!(wrong, json!({"valid": false, "status": "pending", "checks_left": 4}));
    let (_, right) = post(&check, json!({"code": code})).await;
    assert_eq!((&right["valid"], &right["status"]), (&json!(true), &json!("approved")));
    let (status, again) = post(&check, json!({"code": code})).await;
    assert_eq!((status, &again["valid"], &again["status"]), (200, &json!(false), &json!("approved")));
}

/// A gateway that both networks bring texts to: Africa's Talking to itself, Twilio to its public address.
async fn two_way() -> (TestApp, String) {
    let app = TestApp::start().await;
    app.hear_phones();
    let key = app.key(&[Scope::Prompts]).await;
    (app, key)
}

/// Opens a prompt, and waits until all who are asked have the question.
async fn ask(app: &TestApp, key: &str, body: &Value) -> String {
    let answer = app.anonymous(Method::POST, "/prompts").key(key).json(body).send().await;
    assert_eq!(answer.status, 202, "{}", answer.text);
    let opened = answer.json();
    assert_eq!(opened["status"], "open");
    for receiver in opened["receivers"].as_array().unwrap() {
        app.shown_when(&text(&receiver["message_id"]), "sent").await;
    }
    text(&opened["id"])
}

async fn prompt(app: &TestApp, key: &str, id: &str) -> Value {
    app.anonymous(Method::GET, &format!("/prompts/{id}")).key(key).send().await.json()
}

/// Waits until so many replies are kept with a prompt, and shows it.
async fn with_replies(app: &TestApp, key: &str, id: &str, replies: usize) -> Value {
    let has_them = async || {
        let shown = prompt(app, key, id).await;
        (shown["replies"].as_array().unwrap().len() == replies).then_some(shown)
    };
    wait_for(has_them, LONG).await.unwrap()
}

/// Somebody answers the last text on their phone.
async fn writes(app: &TestApp, number: &str, words: &str) {
    let before = app.public.count();
    let phone = app.sim.handset(number);
    let by_twilio = phone.last_text().unwrap().provider == Provider::Twilio;
    phone.reply(TWILIO_PHONE_NUMBER, words).await.unwrap();
    if by_twilio {
        let posts = app.public.wait_for(before + 1).await.unwrap();
        let incoming = posts.iter().rfind(|post| post.target.ends_with("/incoming")).unwrap();
        assert_eq!(app.pass_on(incoming).await.status, 200);
    }
}

#[tokio::test]
async fn twenty_five_chama_invitations_with_replies() {
    let (app, key) = two_way().await;
    let members: Vec<String> = (0..25).map(|n| format!("+2547120020{n:02}")).collect();
    let id = ask(
        &app,
        &key,
        &json!({
            "kind": "invite",
            "receivers": members,
            "template": "chama_invite",
            "variables": {"inviter": "Wanjiku", "chama": "Umoja"},
            "reference": "UMOJA-1",
            "policy": "all",
            "veto": false,
        }),
    )
    .await;
    let sms = app.sim.ledger().to(&members[0]).pop().unwrap();
    assert!(sms.body.starts_with("Wanjiku invites you to join the chama Umoja."), "{}", sms.body);

    // Twenty join, each in their own words; three do not; two say nothing.
    let yes = ["YES", "yes.", " Ndio ", "Ndiyo asante", "OK"];
    for (member, words) in members.iter().zip(yes.iter().cycle()).take(20) {
        writes(&app, member, words).await;
    }
    for (member, words) in members[20..23].iter().zip(["NO", "Hapana", "no thanks"]) {
        writes(&app, member, words).await;
    }
    let shown = with_replies(&app, &key, &id, 23).await;
    assert_eq!(
        shown["tally"],
        json!({"asked": 25, "needed": 25, "approved": 20, "rejected": 3, "silent": 2})
    );
    assert_eq!(shown["status"], "open");

    let close = app.anonymous(Method::POST, &format!("/prompts/{id}/close")).key(&key);
    assert_eq!(close.json(&json!({})).send().await.status, 200);
    let closed = prompt(&app, &key, &id).await;
    assert_eq!((&closed["status"], &closed["outcome"]), (&json!("closed"), &json!("canceled")));
    assert_eq!(closed["replies"].as_array().unwrap().len(), 23);
}

fn withdrawal(reference: &str, amount: u32) -> Value {
    json!({
        "kind": "approval",
        "receivers": [KENYAN, AMERICAN],
        "template": "withdrawal_request",
        "variables": {"member": "Otieno", "chama": "Umoja", "amount": amount, "reference": reference},
        "reference": reference,
        "policy": "all",
        "veto": true,
    })
}

#[tokio::test]
async fn a_withdrawal_approval_by_unanimity_and_one_by_veto_with_both_open_at_once() {
    let (app, key) = two_way().await;
    let first = ask(&app, &key, &withdrawal("WR-101", 50_000)).await;
    let second = ask(&app, &key, &withdrawal("WR-102", 90_000)).await;

    // A bare word could be meant for either: it counts for neither, and its sender is asked.
    let before = app.sim.handset(KENYAN).texts().len();
    writes(&app, KENYAN, "APPROVE").await;
    wait_until(|| app.sim.handset(KENYAN).texts().len() > before, LONG).await.unwrap();
    let question = app.sim.handset(KENYAN).last_text().unwrap().body;
    assert!(question.contains("WR-101") && question.contains("WR-102"), "{question}");
    for id in [&first, &second] {
        assert_eq!(prompt(&app, &key, id).await["tally"]["silent"], 2);
    }

    // Named, each counts for its own.
    writes(&app, KENYAN, "[approve] wr-101").await;
    with_replies(&app, &key, &first, 1).await;
    writes(&app, AMERICAN, "APPROVE WR-101 thank you").await;
    let approved = with_replies(&app, &key, &first, 2).await;
    assert_eq!((&approved["status"], &approved["outcome"]), (&json!("closed"), &json!("approved")));
    assert_eq!(prompt(&app, &key, &second).await["tally"]["silent"], 2);

    writes(&app, KENYAN, "KUBALI WR-102").await;
    with_replies(&app, &key, &second, 1).await;
    writes(&app, AMERICAN, "Reject WR-102").await;
    let rejected = with_replies(&app, &key, &second, 2).await;
    assert_eq!((&rejected["status"], &rejected["outcome"]), (&json!("closed"), &json!("rejected")));
    assert_eq!(rejected["replies"][1]["words"], "Reject WR-102");
    assert_eq!(prompt(&app, &key, &first).await["outcome"], "approved");
}

#[tokio::test]
async fn a_transaction_notice() {
    let app = TestApp::start().await;
    let reports = format!("http://{}/webhooks/africastalking/status/{CALLBACK_SECRET}", app.gateway.address);
    app.sim.set_callback_urls(CallbackUrls {
        africastalking_delivery: Some(reports),
        ..CallbackUrls::default()
    });
    let id = app
        .send(&json!({
            "receiver": KENYAN,
            "template": "transaction_received",
            "variables": {
                "amount": 10_000,
                "from": "Otieno",
                "transaction_id": "4f2b9c6a1d8e7f3052c4b6a89e1d0f7c3a5b8d6e2f1c9b07a4d3e8f6c5b2a190",
            },
        }))
        .await;

    let shown = app.shown_when(&id, "delivered").await;
    assert_eq!((&shown["scenario"], &shown["provider"]), (&json!("transaction"), &json!("africastalking")));
    assert_eq!(shown["template"]["name"], "transaction_received");
    let [sms] = app.sim.ledger().to(KENYAN).try_into().unwrap();
    assert_eq!(sms.body, "You received 10,000 sats from Otieno. Transaction ending in b2a190.");
}

#[tokio::test]
async fn a_security_alert_while_a_bulk_send_is_running() {
    let app = TestApp::start().await;
    // A hundred invitations: ten leave, and ten more each second.
    let receivers: Vec<String> = (0..100).map(|n| format!("+1415555{:04}", 1_000 + n)).collect();
    let bulk =
        json!({"receivers": receivers, "message": "Umoja meets on Friday.", "scenario": "chama_invite"});
    assert_eq!(app.post("/sms/bulk", &bulk).await.status, 202);
    let invited = || app.sim.ledger().entries_where(|sms| sms.body == "Umoja meets on Friday.").len();
    wait_until(|| invited() > 0, LONG).await.unwrap();

    let alert = json!({
        "receiver": AMERICAN,
        "template": "security_alert",
        "variables": {"event": "new phone signed in", "time": "24 Nov 08:30"},
    });
    let id = app.send(&alert).await;
    let shown = app.shown_when(&id, "sent").await;
    assert_eq!((&shown["priority"], &shown["scenario"]), (&json!("critical"), &json!("alert")));
    let waiting = receivers.len() - invited();
    assert!(waiting >= 50, "the alert waited for the bulk: {waiting} are left");
    let reached: BTreeSet<String> =
        app.sim.ledger().by(Provider::Twilio).into_iter().map(|sms| sms.to).collect();
    assert!(reached.contains(AMERICAN));
}
