//! The public keys of an issuer of tokens, fetched from its address (RFC 7517) and kept.
//!
//! They are fetched when the first token comes, again when one names a key that is not known, and every few minutes so that a
//! key that was withdrawn is not taken for ever; each at most every few seconds. An issuer that does not answer changes
//! nothing: its keys of before stay.

use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use domain::time::{Clock, Timestamp};
use jsonwebtoken::jwk::{AlgorithmParameters, EllipticCurve, Jwk, KeyAlgorithm, KeyOperations, PublicKeyUse};
use jsonwebtoken::{Algorithm, DecodingKey};
use parking_lot::Mutex;
use serde::Deserialize;
use url::Url;

/// How long an answer may take. Requests wait for it.
const TIMEOUT: Duration = Duration::from_secs(3);
/// Bytes of an answer that are read. The largest issuers have some kilobytes.
const MAX_BYTES: usize = 256 * 1024;
/// Keys that are taken from an answer.
const MAX_KEYS: usize = 64;
/// After how long keys are fetched anew though all are known: how long one that was withdrawn is still taken.
const MAX_AGE: Duration = Duration::from_mins(5);

/// An issuer's keys.
pub(super) struct Jwks {
    url: Url,
    client: reqwest::Client,
    clock: Arc<dyn Clock>,
    between: Duration,
    kept: Mutex<Kept>,
    /// Whoever fetches. The others wait for it, or go on with what is known.
    turn: tokio::sync::Mutex<()>,
}

/// What is known.
#[derive(Clone, Default)]
struct Kept {
    keys: Arc<Vec<PublicKey>>,
    tried_at: Option<Timestamp>,
    fetched_at: Option<Timestamp>,
}

pub(super) struct PublicKey {
    id: Option<String>,
    algorithm: Algorithm,
    key: DecodingKey,
}

/// The issuer has never answered, so that nothing can be said about a token.
pub(super) struct NoKeys;

#[derive(Deserialize)]
struct Answer {
    keys: Vec<serde_json::Value>,
}

impl std::fmt::Debug for Jwks {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Jwks")
    }
}

impl Jwks {
    /// Asks at most once in `between`.
    pub(super) fn new(url: &Url, between: Duration, clock: Arc<dyn Clock>) -> anyhow::Result<Self> {
        let client = providers::client::plain(url, TIMEOUT).context("jwt.jwks_url can't be asked")?;
        let (kept, turn) = (Mutex::default(), tokio::sync::Mutex::default());
        Ok(Self { url: url.clone(), client, clock, between, kept, turn })
    }

    /// The keys that a token may be signed with: that of the id that it names, or else all that fit.
    pub(super) async fn find(
        &self,
        algorithm: Algorithm,
        id: Option<&str>,
    ) -> Result<Vec<DecodingKey>, NoKeys> {
        let kept = self.kept.lock().clone();
        let found = kept.fitting(algorithm, id);
        let is_old = kept.fetched_at.is_none_or(|at| self.clock.now().since(at) >= MAX_AGE);
        if found.is_empty() {
            let _turn = self.turn.lock().await;
            self.fetch().await;
        } else if is_old && let Ok(_turn) = self.turn.try_lock() {
            self.fetch().await;
        } else {
            return Ok(found);
        }
        let kept = self.kept.lock().clone();
        if kept.fetched_at.is_none() { Err(NoKeys) } else { Ok(kept.fitting(algorithm, id)) }
    }

    /// Fetches the keys, unless that was tried a moment ago.
    async fn fetch(&self) {
        let now = self.clock.now();
        {
            let mut kept = self.kept.lock();
            if kept.tried_at.is_some_and(|at| now.since(at) < self.between) {
                return;
            }
            // Before it is tried: a request that goes away meanwhile has tried too.
            kept.tried_at = Some(now);
        }
        match self.ask().await {
            Ok(keys) => {
                tracing::info!(keys = keys.len(), "the keys of the issuer of tokens were fetched");
                let mut kept = self.kept.lock();
                kept.keys = Arc::new(keys);
                kept.fetched_at = Some(now);
            }
            Err(problem) => {
                tracing::warn!(%problem, "the keys of the issuer of tokens can't be fetched: those of before stay");
            }
        }
    }

    pub(super) async fn ask(&self) -> anyhow::Result<Vec<PublicKey>> {
        let request = self.client.get(self.url.clone()).send().await;
        // Without the address: it is a setting, and may hold what nobody should read.
        let mut answer = request.map_err(reqwest::Error::without_url)?;
        anyhow::ensure!(answer.status().is_success(), "it answered {}", answer.status());
        let mut body = Vec::new();
        while let Some(chunk) = answer.chunk().await.map_err(reqwest::Error::without_url)? {
            anyhow::ensure!(body.len() + chunk.len() <= MAX_BYTES, "its answer is too large");
            body.extend_from_slice(&chunk);
        }
        read(&body).context("its answer is no set of keys")
    }
}

impl Kept {
    fn fitting(&self, algorithm: Algorithm, id: Option<&str>) -> Vec<DecodingKey> {
        let fits = |key: &&PublicKey| {
            key.algorithm == algorithm && id.is_none_or(|id| key.id.as_deref().is_none_or(|own| own == id))
        };
        self.keys.iter().filter(fits).map(|key| key.key.clone()).collect()
    }
}

/// The keys that we can use; others may stand among them.
fn read(body: &[u8]) -> Option<Vec<PublicKey>> {
    let answer: Answer = serde_json::from_slice(body).ok()?;
    let keys = answer.keys.into_iter().take(MAX_KEYS);
    Some(keys.filter_map(|key| public_key(&serde_json::from_value(key).ok()?)).collect())
}

fn public_key(jwk: &Jwk) -> Option<PublicKey> {
    // A secret key (`oct`) in a set that everybody may read is none.
    let algorithm = match &jwk.algorithm {
        AlgorithmParameters::RSA(_) => Algorithm::RS256,
        AlgorithmParameters::EllipticCurve(key) if key.curve == EllipticCurve::P256 => Algorithm::ES256,
        AlgorithmParameters::OctetKeyPair(key) if key.curve == EllipticCurve::Ed25519 => Algorithm::EdDSA,
        _ => return None,
    };
    let common = &jwk.common;
    let is_for_it = common.key_algorithm.is_none_or(|named| named == KeyAlgorithm::from(algorithm));
    let is_for_signatures = common.public_key_use.as_ref().is_none_or(|it| *it == PublicKeyUse::Signature);
    let may_verify =
        common.key_operations.as_ref().is_none_or(|operations| operations.contains(&KeyOperations::Verify));
    if !(is_for_it && is_for_signatures && may_verify) {
        return None;
    }
    let key = DecodingKey::from_jwk(jwk).ok()?;
    Some(PublicKey { id: common.key_id.clone(), algorithm, key })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The public key of RFC 8037, A.2, and other things that stand in such sets.
    #[test]
    fn only_keys_that_check_signatures_are_taken() {
        let ed25519 = r#""kty":"OKP","crv":"Ed25519","x":"11qYAYKxCrfVS_7TyWQHOg7hcvPapiMlrwIaaPcHURo""#;
        let set = [
            format!(r#"{{{ed25519},"kid":"a"}}"#),
            format!(r#"{{{ed25519},"kid":"b","use":"sig","alg":"EdDSA","key_ops":["verify"],"x5t":"?"}}"#),
            format!(r#"{{{ed25519},"kid":"c","use":"enc"}}"#),
            format!(r#"{{{ed25519},"kid":"d","alg":"RS256"}}"#),
            format!(r#"{{{ed25519},"kid":"e","key_ops":["encrypt"]}}"#),
            r#"{"kty":"oct","k":"c2VjcmV0","kid":"f","alg":"HS256"}"#.into(),
            r#"{"kty":"EC","crv":"P-521","x":"AA","y":"AA","kid":"g"}"#.into(),
            r#"{"kty":"novelty"}"#.into(),
            "7".into(),
        ];
        let keys = read(format!(r#"{{"keys":[{}]}}"#, set.join(",")).as_bytes()).unwrap();
        let ids: Vec<_> = keys.iter().map(|key| key.id.as_deref().unwrap()).collect();
        assert_eq!(ids, ["a", "b"]);
    }

    #[test]
    fn what_is_no_set_of_keys_is_refused_as_a_whole() {
        for body in ["", "[]", r#"{"keys":7}"#, "<html>"] {
            assert!(read(body.as_bytes()).is_none(), "{body}");
        }
    }
}
