//! What holds for all routes.

use std::panic::AssertUnwindSafe;
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::Request;
use axum::response::{IntoResponse as _, Response};
use futures_util::FutureExt as _;
use http::{HeaderName, HeaderValue, Method, header};
use tower::Service as _;

use super::problem::{Code, Problem, ProblemBody, RETRY_AFTER_S};
use super::v1::prefer;

/// Marks a request that came over our own TLS.
#[derive(Debug, Clone, Copy)]
pub(crate) struct OverTls;

/// What browsers are told with every answer, in case one shows it: to take it for nothing but what it says it is, to put
/// it into no frame, and to tell nobody where it stood.
const GUARDS: [(HeaderName, &str); 3] = [
    (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
    (header::X_FRAME_OPTIONS, "DENY"),
    (header::REFERRER_POLICY, "no-referrer"),
];

/// An answer of the API is data: nothing in it may run, and nobody on the way may keep it.
const FOR_DATA: [(HeaderName, &str); 2] = [
    (header::CONTENT_SECURITY_POLICY, "default-src 'none'; frame-ancestors 'none'"),
    (header::CACHE_CONTROL, "no-store"),
];

/// The page of the description runs its own scripts, and asks this gateway only. Its styles are set where they apply.
const FOR_PAGES: [(HeaderName, &str); 1] = [(
    header::CONTENT_SECURITY_POLICY,
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; \
     connect-src 'self'; form-action 'none'; base-uri 'none'; frame-ancestors 'none'",
)];

/// Two years, as browsers ask for.
const HSTS: (HeaderName, &str) = (header::STRICT_TRANSPORT_SECURITY, "max-age=63072000");

/// What the headers of an answer depend on.
#[derive(Debug, Clone, Copy)]
pub(super) struct About {
    is_page: bool,
    is_tls: bool,
    is_head: bool,
}

impl About {
    pub(super) fn of(request: &Request) -> Self {
        let path = request.uri().path();
        Self {
            is_page: path == "/docs" || path.starts_with("/docs/"),
            is_tls: request.extensions().get::<OverTls>().is_some(),
            is_head: request.method() == Method::HEAD,
        }
    }

    /// Puts the headers on an answer, and takes the body from one to `HEAD`.
    pub(super) fn guard(self, mut response: Response) -> Response {
        let particular: &[_] = if self.is_page { &FOR_PAGES } else { &FOR_DATA };
        let all = GUARDS.iter().chain(particular).chain(self.is_tls.then_some(&HSTS));
        for (name, value) in all {
            response.headers_mut().insert(name, HeaderValue::from_static(value));
        }
        // The router sees to it for its own answers.
        if self.is_head { response.map(|_body| Body::empty()) } else { response }
    }
}

/// What a connection is told that is one too many: an answer as a whole, for nothing of it has been read.
pub(crate) fn full() -> Vec<u8> {
    let code = Code::TooManyConnections;
    let problem = Problem::new(code, "try again later, or keep connections and use them again");
    let body = serde_json::to_vec(&ProblemBody::from(problem)).unwrap_or_default();
    let headers: Vec<String> =
        GUARDS.iter().chain(&FOR_DATA).map(|(name, value)| format!("{name}: {value}\r\n")).collect();
    let head = format!(
        "HTTP/1.1 {}\r\ncontent-type: application/problem+json\r\ncontent-length: {}\r\nconnection: close\r\n\
         retry-after: {RETRY_AFTER_S}\r\n{}\r\n",
        code.status(),
        body.len(),
        headers.concat(),
    );
    [head.into_bytes(), body].concat()
}

pub(super) async fn not_found() -> Problem {
    Problem::new(Code::NotFound, "no such address; see /docs")
}

pub(super) async fn method_not_allowed() -> Problem {
    Problem::new(Code::MethodNotAllowed, "see /docs for the methods of this address")
}

/// Ends a request that takes too long. What it has stored by then stays stored.
pub(super) async fn timed(mut router: Router, limit: Duration, request: Request) -> Response {
    let waits = prefer::wait(request.headers()).ok().flatten().unwrap_or(Duration::ZERO);
    match tokio::time::timeout(limit + waits, router.call(request)).await {
        Ok(Ok(response)) => response,
        Ok(Err(never)) => match never {},
        Err(_elapsed) => {
            Problem::new(Code::Timeout, "try again with the same Idempotency-Key").into_response()
        }
    }
}

/// An answer also where a handler panics: a mistake of ours, and one that must not end the connection without a word.
pub(super) async fn caught(answering: impl Future<Output = Response>) -> Response {
    // What belongs to the request is dropped with it; what it has stored by then stays stored.
    let caught = AssertUnwindSafe(answering).catch_unwind().await;
    caught.unwrap_or_else(|panic| {
        // The payload may quote data: only its kind is logged.
        let known = panic.is::<String>() || panic.is::<&str>();
        tracing::error!(known, "a request handler panicked");
        Problem::new(Code::Internal, "the error was logged").into_response()
    })
}

#[cfg(test)]
mod tests {
    use http_body_util::BodyExt as _;

    use super::*;

    fn request(method: Method) -> Request {
        let mut request = Request::new(Body::empty());
        *request.method_mut() = method;
        request
    }

    #[tokio::test]
    async fn handler_that_panics_is_answered_without_a_word_of_the_panic() {
        let answer = caught(async { panic!("+254712345678") }).await;
        assert_eq!(answer.status(), http::StatusCode::INTERNAL_SERVER_ERROR);
        let body = answer.into_body().collect().await.unwrap().to_bytes();
        assert!(!String::from_utf8_lossy(&body).contains("254"), "{body:?}");
    }

    #[tokio::test]
    async fn answer_to_head_has_the_headers_and_no_body_also_where_time_ran_out() {
        let slow = || Router::new().fallback(std::future::pending::<()>);
        for (method, has_body) in [(Method::GET, true), (Method::HEAD, false)] {
            let request = request(method);
            let about = About::of(&request);
            let answer = about.guard(timed(slow(), Duration::ZERO, request).await);
            assert_eq!(answer.status(), Code::Timeout.status());
            assert_eq!(answer.headers()[header::X_CONTENT_TYPE_OPTIONS], "nosniff");
            let body = answer.into_body().collect().await.unwrap().to_bytes();
            assert_eq!(!body.is_empty(), has_body);
        }
    }
}
