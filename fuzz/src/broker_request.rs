//! Requests from the broker: a key that makes them repeatable, and a body.
//!
//! The first line is the key, the rest is the body.

use server::http::read_send;

/// Small, so that the bound is met.
const MAX_BYTES: usize = 1_024;

pub fn check(data: &[u8]) {
    let (key, body) = super::first_line(data);
    match read_send(body, key, MAX_BYTES) {
        Ok(request) => {
            assert!(body.len() <= MAX_BYTES, "a body beyond the bound was read");
            assert_eq!(request.idempotency_key.as_deref(), Some(key));
            let is_printable = key.bytes().all(|byte| matches!(byte, b'\t' | b' '..=b'~'));
            assert!((1..=255).contains(&key.len()) && is_printable, "a key that no header could hold");
        }
        Err(problem) => super::repeats_no_number(problem, data),
    }
}
