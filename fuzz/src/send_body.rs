//! Bodies of `POST /sms` and `POST /sms/explain`, which are the same, by the reader of the handlers.

use gateway::SendRequest;
use serde_json::Value;
use server::http::read_send;

/// As `http.max_body_bytes`.
const MAX_BYTES: usize = 262_144;

pub fn check(data: &[u8]) {
    let request = match read_send(data, "key", MAX_BYTES) {
        Ok(request) => request,
        Err(problem) => return super::repeats_no_number(problem, data),
    };
    let once = written(&request);
    let again = read_send(once.as_bytes(), "key", MAX_BYTES).unwrap();
    // What was read can be read again. Texts are compared, because times are written to the millisecond.
    assert_eq!(written(&again), once);
}

fn written(request: &SendRequest) -> String {
    let mut fields = super::written(&request.content, request.idempotency_key.as_deref());
    fields.insert("receiver".into(), request.receiver.clone().into());
    Value::Object(fields).to_string()
}
