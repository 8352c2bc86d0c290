//! Bodies of `POST /sms/bulk`, by the reader of the handler.

use gateway::BulkRequest;
use serde_json::{Value, json};
use server::http::read_bulk;

/// As `http.max_body_bytes`.
const MAX_BYTES: usize = 262_144;

pub fn check(data: &[u8]) {
    let request = match read_bulk(data, "key", MAX_BYTES) {
        Ok(request) => request,
        Err(problem) => return super::repeats_no_number(problem, data),
    };
    let once = written(&request);
    let again = read_bulk(once.as_bytes(), "key", MAX_BYTES).unwrap();
    // What was read can be read again. Texts are compared, because times are written to the millisecond.
    assert_eq!(written(&again), once);
}

fn written(request: &BulkRequest) -> String {
    let mut fields = super::written(&request.content, request.idempotency_key.as_deref());
    let mut own = request.own.iter();
    let receivers = request.receivers.iter().map(|receiver| match own.next() {
        Some(own) => json!({ "receiver": receiver, "variables": own.variables, "locale": own.locale }),
        None => receiver.clone().into(),
    });
    fields.insert("receivers".into(), receivers.collect::<Vec<Value>>().into());
    Value::Object(fields).to_string()
}
