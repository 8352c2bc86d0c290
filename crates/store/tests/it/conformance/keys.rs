//! API keys.

use std::sync::Arc;

use domain::ids::KeyId;
use store::port::keys::ApiKey;
use store::port::messages::{Accept, Accepted, Filter};
use tokio::task::JoinSet;

use crate::support::{Bench, DAY, Fixture, HOUR, MINUTE, NOW, SECOND, caller, entropy, message, operator};

fn key(n: u8) -> ApiKey {
    let created_at = NOW.plus(SECOND * n.into());
    ApiKey {
        id: KeyId::new(created_at, entropy(n.into())),
        name: format!("wallet {n}"),
        hash: [n; 32],
        scopes: vec!["sms:send".into(), "sms:read".into()],
        created_at,
        expires_at: None,
        revoked_at: None,
    }
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
        ApiKey { scopes: vec!["admin".into()], ..key(3) },
    ];
    for key in &keys {
        assert_eq!(bench.create_key(key.clone(), operator(NOW)).await, Ok(()));
    }
    for key in &keys {
        assert_eq!(bench.find_key(key.hash).await, Ok(Some(key.clone())));
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
    assert_eq!(bench.find_key(key(1).hash).await, Ok(Some(revoked.clone())));
    assert_eq!(bench.keys().await, Ok(vec![revoked, key(2)]));
}

pub(crate) async fn first_revocation_stands<F: Fixture>(bench: Bench<F>) {
    bench.create_key(key(1), operator(NOW)).await.unwrap();
    assert_eq!(bench.revoke_key(key(1).id, operator(NOW.plus(MINUTE))).await, Ok(true));
    assert_eq!(bench.revoke_key(key(1).id, operator(NOW.plus(HOUR))).await, Ok(true));
    let found = bench.find_key(key(1).hash).await.unwrap().unwrap();
    assert_eq!(found.revoked_at, Some(NOW.plus(MINUTE)));
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
