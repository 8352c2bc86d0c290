//! An issuer of tokens: it signs them, and shows its public keys.

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use domain::time::Timestamp;
use ring::hmac;
use ring::rand::SystemRandom;
use ring::rsa::{KeyPair as RsaKeyPair, PublicKeyComponents};
use ring::signature::{
    ECDSA_P256_SHA256_FIXED_SIGNING, EcdsaKeyPair, Ed25519KeyPair, KeyPair as _, RSA_PKCS1_SHA256,
};
use serde_json::{Value, json};
use testkit::endpoint::Endpoint;

/// Made by `openssl genpkey` for these tests, and for nothing else: ring can't make such keys.
const RSA_KEY: &str = include_str!("../vectors/jwt_rsa_key.txt");

/// What these tokens are for, and by whom.
pub(crate) const ISSUER: &str = "https://users.example.co.ke";
pub(crate) const AUDIENCE: &str = "sms";

/// As long as a secret must be.
pub(crate) const SECRET: &str = concat!("a-secret-that-", "is-known-to-the-issuer-and-to-us");

/// What a token is signed with.
pub(crate) enum Signer {
    Hs256(Vec<u8>),
    Rs256(RsaKeyPair),
    Es256(EcdsaKeyPair),
    EdDsa(Ed25519KeyPair),
}

impl Signer {
    pub(crate) fn secret() -> Self {
        Self::Hs256(SECRET.into())
    }

    pub(crate) fn rsa() -> Self {
        let der = STANDARD.decode(RSA_KEY.replace('\n', "")).unwrap();
        Self::Rs256(RsaKeyPair::from_der(&der).unwrap())
    }

    /// Another one each time.
    pub(crate) fn ecdsa() -> Self {
        let (random, kind) = (SystemRandom::new(), &ECDSA_P256_SHA256_FIXED_SIGNING);
        let made = EcdsaKeyPair::generate_pkcs8(kind, &random).unwrap();
        Self::Es256(EcdsaKeyPair::from_pkcs8(kind, made.as_ref(), &random).unwrap())
    }

    /// Another one each time.
    pub(crate) fn ed25519() -> Self {
        let made = Ed25519KeyPair::generate_pkcs8(&SystemRandom::new()).unwrap();
        Self::EdDsa(Ed25519KeyPair::from_pkcs8(made.as_ref()).unwrap())
    }

    pub(crate) fn algorithm(&self) -> &'static str {
        match self {
            Self::Hs256(_) => "HS256",
            Self::Rs256(_) => "RS256",
            Self::Es256(_) => "ES256",
            Self::EdDsa(_) => "EdDSA",
        }
    }

    /// A token with these claims, whose header names a key.
    pub(crate) fn sign(&self, id: &str, claims: &Value) -> String {
        self.sign_with(&json!({"alg": self.algorithm(), "typ": "JWT", "kid": id}), claims)
    }

    /// A token with any header.
    pub(crate) fn sign_with(&self, header: &Value, claims: &Value) -> String {
        let part = |value: &Value| URL_SAFE_NO_PAD.encode(value.to_string());
        let message = format!("{}.{}", part(header), part(claims));
        let signature = self.signature(message.as_bytes());
        format!("{message}.{}", URL_SAFE_NO_PAD.encode(signature))
    }

    fn signature(&self, message: &[u8]) -> Vec<u8> {
        let random = SystemRandom::new();
        match self {
            Self::Hs256(secret) => {
                hmac::sign(&hmac::Key::new(hmac::HMAC_SHA256, secret), message).as_ref().to_vec()
            }
            Self::Rs256(key) => {
                let mut signature = vec![0; key.public().modulus_len()];
                key.sign(&RSA_PKCS1_SHA256, &random, message, &mut signature).unwrap();
                signature
            }
            Self::Es256(key) => key.sign(&random, message).unwrap().as_ref().to_vec(),
            Self::EdDsa(key) => key.sign(message).as_ref().to_vec(),
        }
    }

    /// The public key, as an issuer shows it.
    pub(crate) fn jwk(&self, id: &str) -> Value {
        let text = |bytes: &[u8]| URL_SAFE_NO_PAD.encode(bytes);
        match self {
            Self::Hs256(secret) => json!({"kty": "oct", "kid": id, "k": text(secret)}),
            Self::Rs256(key) => {
                let key: PublicKeyComponents<Vec<u8>> = key.public().into();
                json!({"kty": "RSA", "kid": id, "use": "sig", "alg": "RS256", "n": text(&key.n), "e": text(&key.e)})
            }
            Self::Es256(key) => {
                let point = key.public_key().as_ref();
                let (x, y) = (text(&point[1..33]), text(&point[33..]));
                json!({"kty": "EC", "kid": id, "crv": "P-256", "x": x, "y": y})
            }
            Self::EdDsa(key) => {
                json!({"kty": "OKP", "kid": id, "crv": "Ed25519", "x": text(key.public_key().as_ref())})
            }
        }
    }
}

/// What a token says of this user: valid for an hour.
pub(crate) fn claims(user: &str, roles: &[&str], now: Timestamp) -> Value {
    let now = now.as_millis() / 1_000;
    json!({
        "user": {"id": user, "roles": roles}, "iss": ISSUER, "aud": AUDIENCE, "iat": now, "exp": now + 3_600,
    })
}

/// Shows these keys from now on.
pub(crate) fn show(endpoint: &Endpoint, keys: &[Value]) {
    endpoint.answer_with(json!({"keys": keys}).to_string());
}
