//! Callers with tokens: whose they are, what they may do, and which ones are refused.

use std::sync::Arc;
use std::time::Duration;

use domain::time::Clock as _;
use reqwest::{Method, StatusCode};
use serde_json::{Value, json};
use server::config::Config;
use testkit::clock::FakeClock;
use testkit::endpoint::Endpoint;

use crate::app::{AMERICAN, Setup, TestApp, text};
use crate::http::Answer;
use crate::issuer::{AUDIENCE, ISSUER, SECRET, Signer, claims, show};

/// A gateway that takes tokens of the issuer, under a clock that stands still.
fn setup(clock: &Arc<FakeClock>) -> Setup {
    TestApp::setup()
        .clock(Arc::clone(clock) as _)
        .set("TUMA_JWT__ISSUER", ISSUER)
        .set("TUMA_JWT__AUDIENCE", AUDIENCE)
        .set("TUMA_JWT__SCOPES", r#"{service = ["sms:send"], Auditor = ["sms:read"], boss = ["admin"]}"#)
}

/// The same with a secret that it shares with the issuer.
async fn with_secret() -> (Arc<FakeClock>, TestApp) {
    let clock = Arc::new(FakeClock::new());
    let app = setup(&clock).set("TUMA_JWT_SECRET", SECRET).start().await;
    (clock, app)
}

/// The same with an issuer that shows its keys.
async fn with_keys(keys: &[Value]) -> (Arc<FakeClock>, Endpoint, TestApp) {
    let (clock, issuer) = (Arc::new(FakeClock::new()), Endpoint::start().await.unwrap());
    show(&issuer, keys);
    let app = setup(&clock).set("TUMA_JWT__JWKS_URL", &issuer.url("/jwks.json")).start().await;
    (clock, issuer, app)
}

async fn list(app: &TestApp, token: &str) -> Answer {
    app.anonymous(Method::GET, "/sms").key(token).send().await
}

async fn send(app: &TestApp, token: &str, key: &str) -> Answer {
    let body = json!({"receiver": AMERICAN, "message": "Habari"});
    let request = app.anonymous(Method::POST, "/sms").key(token).header("idempotency-key", key);
    request.json(&body).send().await
}

#[tokio::test]
async fn a_user_sends_and_sees_with_any_of_its_tokens_what_it_sent() {
    let (clock, app) = with_secret().await;
    let token = |user: &str| Signer::secret().sign("k", &claims(user, &["service"], clock.now()));
    let first = token("user-7");
    let sent = send(&app, &first, "once").await;
    assert_eq!(sent.status, 202, "{}", sent.text);
    let id = text(&sent.json()["id"]);
    clock.advance(Duration::from_mins(10));
    let second = token("user-7");
    assert_ne!(first, second);
    let see =
        async |token: &str| app.anonymous(Method::GET, &format!("/sms/{id}")).key(token).send().await.status;
    assert_eq!([see(&first).await, see(&second).await], [200, 200]);
    assert_eq!(see(&token("user-8")).await, 404);
    // An idempotency key is its user's.
    assert_eq!(send(&app, &second, "once").await.json()["id"], json!(id));
    assert_ne!(send(&app, &token("user-8"), "once").await.json()["id"], json!(id));
    assert_eq!(app.count().await, 2);
}

#[tokio::test]
async fn a_number_is_a_subject_too_and_a_list_may_hold_our_audience() {
    let (clock, app) = with_secret().await;
    let mut claims = claims("", &["service"], clock.now());
    claims["user"]["id"] = json!(4_711);
    claims["aud"] = json!(["wallet", AUDIENCE]);
    assert_eq!(send(&app, &Signer::secret().sign("k", &claims), "k").await.status, 202);
}

#[tokio::test]
async fn roles_allow_what_the_settings_say_and_others_nothing() {
    let (clock, app) = with_secret().await;
    let may = async |roles: &[&str]| {
        let token = Signer::secret().sign("k", &claims("user-7", roles, clock.now()));
        let queue = app.anonymous(Method::GET, "/queue").key(&token).send().await;
        [send(&app, &token, "k").await.status, list(&app, &token).await.status, queue.status]
    };
    assert_eq!(may(&["service"]).await, [202, 200, 403]);
    assert_eq!(may(&["Auditor"]).await, [403, 200, 403]);
    assert_eq!(may(&["other", "service", "Auditor"]).await, [202, 200, 403]);
    assert_eq!(may(&["boss"]).await, [202, 200, 200]);
    for none in [&[][..], &["auditor"], &["sms:send"], &["admin"]] {
        assert_eq!(may(none).await, [403, 403, 403], "{none:?}");
    }
    let mut claims = claims("user-7", &[], clock.now());
    claims["user"]["roles"] = json!("service");
    assert_eq!(send(&app, &Signer::secret().sign("k", &claims), "k").await.status, 202);
}

/// Tokens that must not open anything, each with what is wrong with it.
fn forged(app_key: &Signer, now: domain::time::Timestamp) -> Vec<(&'static str, String)> {
    let (secret, good) = (Signer::secret(), claims("user-7", &["boss"], now));
    let with = |field: &str, value: Value| {
        let mut claims = good.clone();
        claims[field] = value;
        secret.sign("k", &claims)
    };
    let without = |field: &str| {
        let mut claims = good.clone();
        claims.as_object_mut().unwrap().remove(field);
        secret.sign("k", &claims)
    };
    let header = |header: Value| secret.sign_with(&header, &good);
    let seconds = now.as_millis() / 1_000;
    let valid = secret.sign("k", &good);
    let (signed, _) = valid.rsplit_once('.').unwrap();
    let jwk = app_key.jwk("public");
    let by_public_key = |text: String| {
        Signer::Hs256(text.into_bytes()).sign_with(&json!({"alg": "HS256", "kid": "public"}), &good)
    };
    let own_key = Signer::Hs256(vec![7; 32]);
    let with_own_key = json!({"alg": "HS256", "kid": "own", "jwk": own_key.jwk("own")});
    vec![
        ("signed by somebody else", Signer::Hs256(vec![7; 32]).sign("k", &good)),
        ("no algorithm", header(json!({"alg": "none"}))),
        (
            "no algorithm, no signature",
            format!("{}.", header(json!({"alg": "none"})).rsplit_once('.').unwrap().0),
        ),
        ("no signature", format!("{signed}.")),
        ("an algorithm of capitals", header(json!({"alg": "NONE"}))),
        ("another hash", header(json!({"alg": "HS512"}))),
        ("a secret taken for a public key", header(json!({"alg": "RS256", "kid": "public"}))),
        ("the public key taken for a secret", by_public_key(jwk.to_string())),
        ("its modulus taken for a secret", by_public_key(text(&jwk["n"]))),
        ("its own key in the token", own_key.sign_with(&with_own_key, &good)),
        ("something critical", header(json!({"alg": "HS256", "crit": ["exp"], "exp": 1}))),
        ("another issuer", with("iss", json!("https://elsewhere.example"))),
        ("no issuer", without("iss")),
        ("another audience", with("aud", json!("wallet"))),
        ("other audiences", with("aud", json!(["wallet", "shop"]))),
        ("no audience", without("aud")),
        ("no end", without("exp")),
        ("an end that is no time", with("exp", json!("tomorrow"))),
        ("expired", with("exp", json!(seconds - 60))),
        ("not yet", with("nbf", json!(seconds + 61))),
        ("a beginning that is no time", with("nbf", json!("now"))),
        ("no user", without("user")),
        ("a user without a name", with("user", json!({"id": "", "roles": ["boss"]}))),
        ("a list of users", with("user", json!({"id": ["a"], "roles": ["boss"]}))),
        ("too long", with("padding", json!("x".repeat(9_000)))),
        ("a part less", signed.to_owned()),
        ("a part more", format!("{valid}.x")),
        ("no token", "Habari".into()),
    ]
}

#[tokio::test]
async fn whatever_is_wrong_with_a_token_it_gets_one_answer() {
    let (clock, issuer) = (Arc::new(FakeClock::new()), Endpoint::start().await.unwrap());
    let rsa = Signer::rsa();
    show(&issuer, &[rsa.jwk("public")]);
    let setup = setup(&clock).set("TUMA_JWT_SECRET", SECRET).set("TUMA_JWT__JWKS_URL", &issuer.url("/"));
    // Each comes from an address of its own: guessing is slowed elsewhere.
    let app = setup.set("TUMA_HTTP__TRUSTED_PROXIES", r#"["127.0.0.1"]"#).start().await;
    let good = Signer::secret().sign("k", &claims("user-7", &["boss"], clock.now()));
    assert_eq!(list(&app, &good).await.status, 200);
    let mut bodies = Vec::new();
    for (place, (wrong, token)) in forged(&rsa, clock.now()).into_iter().enumerate() {
        let request = app.anonymous(Method::GET, "/sms").key(&token);
        let answer = request.header("x-forwarded-for", &format!("192.0.2.{place}")).send().await;
        assert_eq!(answer.status, 401, "{wrong}");
        assert_eq!(answer.problem(), "unauthenticated", "{wrong}");
        bodies.push(answer.text);
    }
    bodies.dedup();
    assert_eq!(bodies.len(), 1, "{bodies:?}");
}

#[tokio::test]
async fn a_token_ends_when_it_says_and_clocks_may_differ_by_the_leeway() {
    let (clock, app) = with_secret().await;
    let token = Signer::secret().sign("k", &claims("user-7", &["boss"], clock.now()));
    let mut early = claims("user-7", &["boss"], clock.now());
    early["nbf"] = json!(clock.now().as_millis() / 1_000 + 60);
    assert_eq!(list(&app, &Signer::secret().sign("k", &early)).await.status, 200);
    clock.advance(Duration::from_secs(3_659));
    assert_eq!(list(&app, &token).await.status, 200);
    clock.advance(Duration::from_secs(1));
    assert_eq!(list(&app, &token).await.status, 401);
    let metrics = app.metrics().await;
    assert!(metrics.contains(r#"tuma_auth_failures_total{reason="expired_token"} 1"#), "{metrics}");
}

#[tokio::test]
async fn tokens_of_all_kinds_of_public_keys_are_taken() {
    let signers = [Signer::rsa(), Signer::ecdsa(), Signer::ed25519()];
    let keys: Vec<_> = signers.iter().map(|signer| signer.jwk(signer.algorithm())).collect();
    let (clock, issuer, app) = with_keys(&keys).await;
    for signer in &signers {
        let claims = claims("user-7", &["service"], clock.now());
        let token = signer.sign(signer.algorithm(), &claims);
        assert_eq!(list(&app, &token).await.status, 200, "{}", signer.algorithm());
        // Without the name of a key those that fit are tried.
        let unnamed = signer.sign_with(&json!({"alg": signer.algorithm()}), &claims);
        assert_eq!(list(&app, &unnamed).await.status, 200, "{}", signer.algorithm());
    }
    assert_eq!(issuer.count(), 1, "they are kept");
    // The secret is not set, so there is nothing that such a token could be signed with.
    let by_secret = Signer::secret().sign("k", &claims("user-7", &["boss"], clock.now()));
    assert_eq!(list(&app, &by_secret).await.status, 401);
}

#[tokio::test]
async fn a_secret_among_the_public_keys_is_none() {
    let (clock, _issuer, app) = with_keys(&[Signer::secret().jwk("k"), Signer::rsa().jwk("r")]).await;
    let token = Signer::secret().sign("k", &claims("user-7", &["boss"], clock.now()));
    assert_eq!(list(&app, &token).await.status, 401);
}

#[tokio::test]
async fn an_issuer_may_change_its_keys_at_any_time() {
    let (old, new) = (Signer::ecdsa(), Signer::ecdsa());
    let (clock, issuer, app) = with_keys(&[old.jwk("old")]).await;
    let by = |signer: &Signer, id: &str| signer.sign(id, &claims("user-7", &["service"], clock.now()));
    let (by_old, by_new) = (by(&old, "old"), by(&new, "new"));
    assert_eq!(list(&app, &by_old).await.status, 200);
    show(&issuer, &[old.jwk("old"), new.jwk("new")]);
    // A moment after the last fetch it is not asked again, whatever tokens name.
    assert_eq!(list(&app, &by_new).await.status, 401);
    assert_eq!(issuer.count(), 1);
    clock.advance(Duration::from_secs(30));
    assert_eq!([list(&app, &by_new).await.status, list(&app, &by_old).await.status], [200, 200]);
    assert_eq!(issuer.count(), 2);
    // One that was withdrawn is taken until the keys are fetched anew.
    show(&issuer, &[new.jwk("new")]);
    clock.advance(Duration::from_mins(5));
    assert_eq!(list(&app, &by_new).await.status, 200);
    assert_eq!(issuer.count(), 3);
    assert_eq!(list(&app, &by_old).await.status, 401);
}

#[tokio::test]
async fn keys_stay_when_the_issuer_does_not_answer() {
    let signer = Signer::ed25519();
    let (clock, issuer, app) = with_keys(&[signer.jwk("k")]).await;
    let token = || signer.sign("k", &claims("user-7", &["service"], clock.now()));
    assert_eq!(list(&app, &token()).await.status, 200);
    issuer.answer(StatusCode::BAD_GATEWAY);
    clock.advance(Duration::from_hours(1));
    assert_eq!(list(&app, &token()).await.status, 200);
    issuer.answer(StatusCode::OK);
    issuer.answer_with("<html>");
    clock.advance(Duration::from_hours(1));
    assert_eq!(list(&app, &token()).await.status, 200);
    assert_eq!(issuer.count(), 3);
    drop(issuer);
    clock.advance(Duration::from_hours(1));
    assert_eq!(list(&app, &token()).await.status, 200);
}

#[tokio::test]
async fn tokens_of_an_issuer_that_never_answered_are_neither_taken_nor_held_against_anybody() {
    let signer = Signer::ed25519();
    let (clock, issuer, app) = with_keys(&[signer.jwk("k")]).await;
    issuer.answer(StatusCode::INTERNAL_SERVER_ERROR);
    let token = signer.sign("k", &claims("user-7", &["service"], clock.now()));
    for _ in 0..20 {
        let answer = list(&app, &token).await;
        assert_eq!((answer.status, answer.problem().as_str()), (503, "issuer_unavailable"));
    }
    assert_eq!(issuer.count(), 1);
    issuer.answer(StatusCode::OK);
    clock.advance(Duration::from_secs(30));
    assert_eq!(list(&app, &token).await.status, 200);
}

#[tokio::test]
async fn without_an_issuer_no_token_is_taken_and_keys_are_all_the_same() {
    let app = TestApp::start().await;
    let clock = gateway::SystemClock::new();
    let token = Signer::secret().sign("k", &claims("user-7", &["boss"], clock.now()));
    assert_eq!(list(&app, &token).await.status, 401);
    assert_eq!(list(&app, &app.key).await.status, 200);
}

#[test]
fn settings_that_would_let_strangers_in_are_refused() {
    let good = [
        ("TUMA_JWT_SECRET", SECRET),
        ("TUMA_JWT__ISSUER", ISSUER),
        ("TUMA_JWT__AUDIENCE", AUDIENCE),
        ("TUMA_JWT__SCOPES", r#"{service = ["sms:send"]}"#),
    ];
    let load = |changed: (&str, &str)| {
        let environment =
            good.iter().chain([&changed]).map(|(name, value)| ((*name).into(), (*value).into()));
        Config::load(None, environment).map(|_config| ()).map_err(|problem| problem.to_string())
    };
    assert_eq!(load(("TUMA_JWT__LEEWAY_S", "0")), Ok(()));
    assert_eq!(load(("TUMA_JWT__JWKS_URL", "https://users.example.co.ke/jwks.json")), Ok(()));
    for (variable, value, key) in [
        ("TUMA_JWT__SECRET", "hunter2-hunter2-hunter2-hunter2", "jwt.secret"),
        ("TUMA_JWT__ISSUER", "", "jwt.issuer"),
        ("TUMA_JWT__AUDIENCE", "", "jwt.audience"),
        ("TUMA_JWT__SCOPES", "{}", "jwt.scopes"),
        ("TUMA_JWT__SCOPES", r#"{service = ["hunter2"]}"#, "jwt.scopes"),
        ("TUMA_JWT__JWKS_URL", "http://hunter2.example/jwks.json", "jwt.jwks_url"),
        ("TUMA_JWT__SUBJECT", "hunter2", "jwt.subject"),
        ("TUMA_JWT__ROLES", "", "jwt.roles"),
        ("TUMA_JWT__LEEWAY_S", "601", "jwt.leeway_s"),
        ("TUMA_JWT__REFETCH_S", "0", "jwt.refetch_s"),
    ] {
        let problem = load((variable, value)).unwrap_err();
        assert!(problem.contains(key) && !problem.contains("hunter2"), "{variable}: {problem}");
    }
}
