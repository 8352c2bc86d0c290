//! A provider in its place: what is under way keeps its credentials, callbacks of before are taken for a while.

use std::sync::Arc;
use std::time::Duration;

use domain::attempt::OutcomeKind;
use futures_util::FutureExt as _;
use providers::provider::CallbackError;
use providers::{Renewable, SmsProvider};
use serde_json::{Value, json};
use tokio::sync::Notify;

use crate::fixture::{AMINA, Callback, NOW, PUBLIC_URL, africastalking, submission};
use crate::support::{Reply, Server};

const OLD: &str = "0123456789-the-old-one";
const NEW: &str = "0123456789-the-new-one";

fn place(provider: Arc<dyn SmsProvider>) -> (Renewable, Arc<Notify>) {
    let refused = Arc::new(Notify::new());
    (Renewable::new(provider, Arc::clone(&refused)), refused)
}

fn taken() -> Reply {
    let recipient = json!({"number": AMINA, "status": "Success", "statusCode": 101, "messageId": "ATXid_1", "cost": "KES 0.8000"});
    let body = json!({"SMSMessageData": {"Message": "Sent to 1/1", "Recipients": [recipient]}});
    Reply::json(201, body.to_string())
}

fn with_secret(secret: &str) -> Arc<dyn SmsProvider> {
    africastalking("http://127.0.0.1:1", json!({"callback_secret": secret}))
}

#[tokio::test]
async fn the_next_message_goes_with_the_new_credentials() {
    let server = Server::start([taken(), taken()]).await;
    let key = |key: &str| africastalking(&server.base(), json!({"api_key": key}));
    let (place, refused) = place(key("old"));
    assert_eq!(place.send_sms(&submission(AMINA, "Habari")).await.kind(), OutcomeKind::Accepted);
    place.renew(key("new"), NOW);
    assert_eq!(place.send_sms(&submission(AMINA, "Habari")).await.kind(), OutcomeKind::Accepted);
    let keys: Vec<_> =
        server.recorded().iter().map(|request| request.header("apikey").map(str::to_owned)).collect();
    assert_eq!(keys, [Some("old".to_owned()), Some("new".to_owned())]);
    assert!(refused.notified().now_or_never().is_none());
}

#[tokio::test]
async fn a_refusal_of_credentials_is_told() {
    let server =
        Server::start([Reply::of(401, "text/plain", "The supplied authentication is invalid")]).await;
    let (place, refused) = place(africastalking(&server.base(), json!({})));
    let outcome = place.send_sms(&submission(AMINA, "Habari")).await;
    assert_eq!(outcome.kind(), OutcomeKind::Rejected);
    assert!(refused.notified().now_or_never().is_some());
}

#[test]
fn callbacks_of_before_are_taken_for_a_while() {
    let (place, _refused) = place(with_secret(OLD));
    let parse = |secret: &str| {
        let url = format!("{PUBLIC_URL}/webhooks/africastalking/status/{secret}");
        let mut callback = Callback::form(&url, "id=ATXid_1&status=Success&phoneNumber=%2B254712345678");
        callback.token = Some(secret.to_owned());
        place.parse_callback(&callback.request()).map(|receipts| receipts.len())
    };
    let forged = Err(CallbackError::Forged("wrong secret in the URL"));
    assert_eq!((parse(OLD), parse(NEW)), (Ok(1), forged));
    place.renew(with_secret(NEW), NOW);
    assert_eq!((parse(OLD), parse(NEW)), (Ok(1), Ok(1)));
    assert_eq!(parse("0123456789-of-nobody"), forged);
    place.renew(with_secret(NEW), NOW.minus(Duration::from_secs(1)));
    assert_eq!((parse(OLD), parse(NEW)), (forged, Ok(1)));
    // One that was given back is good again.
    place.renew(with_secret(OLD), NOW);
    assert_eq!((parse(OLD), parse(NEW)), (Ok(1), Ok(1)));
}

#[test]
fn nothing_of_it_is_shown() {
    let (place, _refused) = place(africastalking("http://127.0.0.1:1", json!({"api_key": "hunter2"})));
    let shown = Value::from(format!("{place:?}"));
    assert_eq!(shown, "Renewable(africastalking)");
}
