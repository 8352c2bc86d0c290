//! API keys.

use std::sync::Arc;

use domain::audit::Actor;
use domain::ids::KeyId;
use domain::time::Timestamp;
use store::port::keys::{ApiKey, FoundKey, KeyUse, Only, Rotation};
use store::port::messages::{Accept, Accepted, Filter};
use tokio::task::JoinSet;

use crate::support::{Bench, DAY, Fixture, HOUR, MINUTE, NOW, SECOND, caller, entropy, message, operator};

fn key(n: u8) -> ApiKey {
    let created_at = NOW.plus(SECOND * n.into());
    let id = KeyId::new(created_at, entropy(n.into()));
    ApiKey {
        scopes: vec!["sms:send".into(), "sms:read".into()],
        ..ApiKey::new(id, format!("wallet {n}"), [n; 32], created_at)
    }
}

/// What is found by the secret in force.
fn found(key: ApiKey) -> FoundKey {
    FoundKey { key, secret_ends_at: None }
}

/// Another secret for the first key, with those of before until a time.
fn rotation(hash: u8, others_end_at: Timestamp, now: Timestamp) -> Rotation {
    Rotation { id: key(1).id, hash: [hash; 32], others_end_at, by: Actor::Operator, now }
}

pub(crate) async fn created_key_is_found_by_its_hash_with_every_field<F: Fixture>(mut bench: Bench<F>) {
    let keys = [
        ApiKey {
            name: "wallet 'é' 🏦".into(),
            expires_at: Some(NOW.plus(DAY)),
            revoked_at: Some(NOW.plus(HOUR)),
            ..key(1)
        },
        ApiKey { name: String::new(), scopes: Vec::new(), ..key(2) },
        ApiKey {
            scopes: vec!["admin".into()],
            only: Only {
                scenarios: vec!["otp".into(), "alert".into()],
                countries: vec!["KE".into()],
                senders: vec!["CHAMA 7".into(), "+254700000000".into()],
            },
            ..key(3)
        },
    ];
    for key in &keys {
        assert_eq!(bench.create_key(key.clone(), operator(NOW)).await, Ok(()));
    }
    for key in &keys {
        assert_eq!(bench.find_key(key.hash).await, Ok(Some(found(key.clone()))));
    }
    bench.reopen().await;
    assert_eq!(bench.keys().await.unwrap(), keys);
}

pub(crate) async fn unknown_hash_finds_no_key<F: Fixture>(bench: Bench<F>) {
    assert_eq!(bench.find_key([1; 32]).await, Ok(None));
    bench.create_key(key(1), operator(NOW)).await.unwrap();
    assert_eq!(bench.find_key([2; 32]).await, Ok(None));
}

pub(crate) async fn keys_are_listed_oldest_first<F: Fixture>(bench: Bench<F>) {
    assert_eq!(bench.keys().await, Ok(Vec::new()));
    for n in [2, 3, 1] {
        bench.create_key(key(n), operator(NOW)).await.unwrap();
    }
    assert_eq!(bench.keys().await, Ok(vec![key(1), key(2), key(3)]));
}

pub(crate) async fn revoked_key_is_still_found_with_the_time_it_ended<F: Fixture>(bench: Bench<F>) {
    bench.create_key(key(1), operator(NOW)).await.unwrap();
    bench.create_key(key(2), operator(NOW)).await.unwrap();
    assert_eq!(bench.revoke_key(key(1).id, operator(NOW.plus(HOUR))).await, Ok(true));
    let revoked = ApiKey { revoked_at: Some(NOW.plus(HOUR)), ..key(1) };
    assert_eq!(bench.find_key(key(1).hash).await, Ok(Some(found(revoked.clone()))));
    assert_eq!(bench.keys().await, Ok(vec![revoked, key(2)]));
}

pub(crate) async fn first_revocation_stands<F: Fixture>(bench: Bench<F>) {
    bench.create_key(key(1), operator(NOW)).await.unwrap();
    assert_eq!(bench.revoke_key(key(1).id, operator(NOW.plus(MINUTE))).await, Ok(true));
    assert_eq!(bench.revoke_key(key(1).id, operator(NOW.plus(HOUR))).await, Ok(true));
    let found = bench.find_key(key(1).hash).await.unwrap().unwrap();
    assert_eq!(found.key.revoked_at, Some(NOW.plus(MINUTE)));
}

pub(crate) async fn unknown_key_is_not_revoked<F: Fixture>(bench: Bench<F>) {
    bench.create_key(key(1), operator(NOW)).await.unwrap();
    assert_eq!(bench.revoke_key(caller(99), operator(NOW)).await, Ok(false));
}

pub(crate) async fn key_with_a_hash_or_id_in_use_is_refused<F: Fixture>(bench: Bench<F>) {
    bench.create_key(key(1), operator(NOW)).await.unwrap();
    assert!(bench.create_key(ApiKey { hash: key(1).hash, ..key(2) }, operator(NOW)).await.is_err());
    assert!(bench.create_key(ApiKey { id: key(1).id, ..key(2) }, operator(NOW)).await.is_err());
    assert_eq!(bench.keys().await, Ok(vec![key(1)]));
}

pub(crate) async fn refused_key_does_not_harm_what_is_written_beside_it<F: Fixture>(bench: Bench<F>) {
    bench.create_key(key(1), operator(NOW)).await.unwrap();
    let mut tasks = JoinSet::new();
    for n in 0..30_u8 {
        let store = Arc::clone(&bench.store);
        tasks.spawn(async move {
            let accept =
                Accept { messages: vec![message(n.into())], idempotency: None, no_repeats_since: None };
            assert_eq!(store.accept(accept).await, Ok(Accepted::Stored));
        });
        let store = Arc::clone(&bench.store);
        tasks.spawn(async move {
            let refused = store.create_key(ApiKey { hash: key(1).hash, ..key(100 + n) }, operator(NOW)).await;
            assert!(refused.is_err());
        });
        let store = Arc::clone(&bench.store);
        tasks.spawn(async move { assert_eq!(store.create_key(key(10 + n), operator(NOW)).await, Ok(())) });
    }
    tasks.join_all().await;
    assert_eq!(bench.list(Filter::default()).await.len(), 30);
    assert_eq!(bench.keys().await.unwrap().len(), 31);
}

pub(crate) async fn after_a_rotation_both_secrets_find_the_key_and_the_old_one_says_when_it_ends<
    F: Fixture,
>(
    mut bench: Bench<F>,
) {
    bench.create_key(key(1), operator(NOW)).await.unwrap();
    bench.create_key(key(2), operator(NOW)).await.unwrap();
    let (now, end) = (NOW.plus(HOUR), NOW.plus(7 * DAY));
    assert_eq!(bench.rotate_key(rotation(9, end, now)).await, Ok(true));
    bench.reopen().await;
    let rotated = ApiKey { hash: [9; 32], former_secret_ends_at: Some(end), ..key(1) };
    assert_eq!(bench.find_key([9; 32]).await, Ok(Some(found(rotated.clone()))));
    let by_the_old = FoundKey { key: rotated.clone(), secret_ends_at: Some(end) };
    assert_eq!(bench.find_key([1; 32]).await, Ok(Some(by_the_old)));
    assert_eq!(bench.keys().await, Ok(vec![rotated, key(2)]));
}

pub(crate) async fn repeated_rotation_takes_no_secret_before_its_time<F: Fixture>(bench: Bench<F>) {
    bench.create_key(key(1), operator(NOW)).await.unwrap();
    let end = NOW.plus(DAY);
    let end_of = async |hash: u8| bench.find_key([hash; 32]).await.unwrap().map(|found| found.secret_ends_at);
    bench.rotate_key(rotation(8, end, NOW)).await.unwrap();
    bench.rotate_key(rotation(9, end.plus(HOUR), NOW.plus(HOUR))).await.unwrap();
    assert_eq!([end_of(1).await, end_of(8).await], [Some(Some(end)), Some(Some(end.plus(HOUR)))]);
    assert_eq!(end_of(9).await, Some(None));
    // A shorter overlap ends all that came before sooner; what has ended is forgotten.
    bench.rotate_key(rotation(10, NOW.plus(3 * HOUR), NOW.plus(2 * HOUR))).await.unwrap();
    assert_eq!([end_of(1).await, end_of(9).await], [Some(Some(NOW.plus(3 * HOUR))); 2]);
    bench.rotate_key(rotation(11, NOW.plus(4 * HOUR), NOW.plus(4 * HOUR))).await.unwrap();
    for gone in [1, 8, 9, 10] {
        assert_eq!(end_of(gone).await, None, "{gone}");
    }
    assert_eq!(bench.find_key([11; 32]).await.unwrap().unwrap().key.former_secret_ends_at, None);
}

pub(crate) async fn key_that_has_ended_or_is_not_there_gets_no_other_secret<F: Fixture>(bench: Bench<F>) {
    let expires = ApiKey { expires_at: Some(NOW.plus(HOUR)), ..key(1) };
    bench.create_key(expires.clone(), operator(NOW)).await.unwrap();
    bench.create_key(key(2), operator(NOW)).await.unwrap();
    bench.revoke_key(key(2).id, operator(NOW)).await.unwrap();
    let rotate = |id| bench.rotate_key(Rotation { id, ..rotation(9, NOW.plus(DAY), NOW.plus(HOUR)) });
    for id in [key(1).id, key(2).id, caller(99)] {
        assert_eq!(rotate(id).await, Ok(false));
    }
    assert_eq!(bench.find_key([9; 32]).await, Ok(None));
    assert_eq!(bench.find_key([1; 32]).await, Ok(Some(found(expires))));
}

pub(crate) async fn first_key_is_made_only_where_there_is_none<F: Fixture>(bench: Bench<F>) {
    let mut tasks = JoinSet::new();
    for n in 1..=10 {
        let store = Arc::clone(&bench.store);
        tasks.spawn(async move { store.create_first_key(key(n), operator(NOW)).await.unwrap() });
    }
    assert_eq!(tasks.join_all().await.into_iter().filter(|made| *made).count(), 1);
    let made = bench.keys().await.unwrap();
    assert_eq!(made.len(), 1);
    // One that was revoked was there.
    bench.revoke_key(made[0].id, operator(NOW)).await.unwrap();
    assert_eq!(bench.create_first_key(key(20), operator(NOW)).await, Ok(false));
}

pub(crate) async fn latest_use_of_a_key_stands<F: Fixture>(bench: Bench<F>) {
    bench.create_key(key(1), operator(NOW)).await.unwrap();
    bench.create_key(key(2), operator(NOW)).await.unwrap();
    let used = |n, at| KeyUse { id: key(n).id, at };
    let (early, late) = (NOW.plus(HOUR), NOW.plus(2 * HOUR));
    bench
        .note_key_uses(vec![used(2, late), used(1, early), KeyUse { id: caller(99), at: late }])
        .await
        .unwrap();
    bench.note_key_uses(vec![used(2, early), used(1, late)]).await.unwrap();
    let keys = bench.keys().await.unwrap();
    assert_eq!(keys.iter().map(|key| key.last_used_at).collect::<Vec<_>>(), [Some(late), Some(late)]);
}
