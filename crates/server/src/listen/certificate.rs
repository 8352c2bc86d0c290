//! The certificate and its key, read again when their files change.
//!
//! Authorities give certificates for weeks, and whoever renews them writes files: nobody should have to restart for that.
//! A pair that can't be used, such as one of which only the first file is written so far, leaves the one before in use.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::Context as _;
use domain::time::{Clock, Timestamp};
use parking_lot::RwLock;
use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject as _};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;
use rustls::{InconsistentKeys, ServerConfig};
use sha2::{Digest as _, Sha256};
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio_util::sync::CancellationToken;
use x509_cert::der::Decode as _;

use crate::config::Http;

/// How often the files are looked at.
const EVERY: Duration = Duration::from_mins(1);

/// From when on it is said that a certificate ends.
const SOON: Duration = Duration::from_hours(14 * 24);

const DAY: Duration = Duration::from_hours(24);

const CERTIFICATE: &str = "http.tls_certificate_file";
const KEY: &str = "http.tls_key_file";

/// Why a pair can't be used. Names settings, never what stands in the files.
#[derive(Debug, thiserror::Error)]
pub(crate) enum CertificateError {
    /// A file can't be read.
    #[error("{setting}: the file can't be read: {error}")]
    Unreadable {
        /// The setting that names it.
        setting: &'static str,
        /// Why.
        error: std::io::Error,
    },
    /// No certificate in it.
    #[error("{CERTIFICATE}: holds no certificate in PEM form")]
    NoCertificate,
    /// What stands there is none.
    #[error("{CERTIFICATE}: holds something that is no certificate")]
    BadCertificate,
    /// No key in it.
    #[error("{KEY}: holds no private key in PEM form, or one that is encrypted")]
    NoKey,
    /// Of a kind that can't be used.
    #[error("{KEY}: holds a key that can't be used; RSA, P-256, P-384 and Ed25519 can")]
    BadKey,
    /// They are not of one pair.
    #[error("{KEY}: is not the key of the first certificate in {CERTIFICATE}")]
    Mismatch,
    /// It has ended, or not begun.
    #[error("{CERTIFICATE}: is valid from {from} to {to} only")]
    NotValid {
        /// When it begins.
        from: Timestamp,
        /// When it ends.
        to: Timestamp,
    },
}

/// Where a pair stands.
#[derive(Debug, Clone)]
pub(crate) struct Files {
    certificate: PathBuf,
    key: PathBuf,
}

/// A pair in use.
#[derive(Debug, Clone)]
pub(crate) struct Pair {
    key: Arc<CertifiedKey>,
    from: Timestamp,
    to: Timestamp,
    /// Of what stood in the files.
    mark: Mark,
}

/// What tells that the files have changed: a hash, so that no second copy of the key stays in memory.
type Mark = [u8; 32];

fn mark(certificate: &[u8], key: &[u8]) -> Mark {
    let hash = Sha256::new().chain_update((certificate.len() as u64).to_be_bytes());
    hash.chain_update(certificate).chain_update(key).finalize().into()
}

impl Files {
    /// The files that the settings name, if TLS is on.
    pub(crate) fn of(settings: &Http) -> Option<Self> {
        let (certificate, key) = (settings.tls_certificate_file.clone()?, settings.tls_key_file.clone()?);
        Some(Self { certificate, key })
    }

    fn read(&self) -> Result<(Vec<u8>, Vec<u8>), CertificateError> {
        let read = |path: &Path, setting| {
            std::fs::read(path).map_err(|error| CertificateError::Unreadable { setting, error })
        };
        Ok((read(&self.certificate, CERTIFICATE)?, read(&self.key, KEY)?))
    }

    /// Reads the pair. Whether it is valid now is for [`Pair::check`] to say.
    pub(crate) fn load(&self) -> Result<Pair, CertificateError> {
        let (certificate, key) = self.read()?;
        Pair::parse(&certificate, &key)
    }
}

impl Pair {
    fn parse(certificate: &[u8], key: &[u8]) -> Result<Self, CertificateError> {
        let mark = mark(certificate, key);
        let chain: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(certificate).collect();
        let chain = chain.map_err(|_not_pem| CertificateError::BadCertificate)?;
        let first = chain.first().ok_or(CertificateError::NoCertificate)?;
        let (from, to) = validity(first)?;
        let key = PrivateKeyDer::from_pem_slice(key).map_err(|problem| match problem {
            pem::Error::NoItemsFound => CertificateError::NoKey,
            _ => CertificateError::BadKey,
        })?;
        let made = CertifiedKey::from_der(chain, key, &provider());
        let key = made.map_err(|problem| match problem {
            rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => CertificateError::Mismatch,
            rustls::Error::InvalidCertificate(_) => CertificateError::BadCertificate,
            _ => CertificateError::BadKey,
        })?;
        Ok(Self { key: Arc::new(key), from, to, mark })
    }

    /// Whether it is valid now.
    pub(crate) fn check(&self, now: Timestamp) -> Result<(), CertificateError> {
        let is_valid = (self.from..self.to).contains(&now);
        if is_valid { Ok(()) } else { Err(CertificateError::NotValid { from: self.from, to: self.to }) }
    }

    /// When it ends, if that is soon.
    pub(crate) fn ends_soon(&self, now: Timestamp) -> Option<Timestamp> {
        (self.to.since(now) < SOON).then_some(self.to)
    }
}

fn validity(certificate: &CertificateDer<'_>) -> Result<(Timestamp, Timestamp), CertificateError> {
    let parsed = x509_cert::Certificate::from_der(certificate.as_ref())
        .map_err(|_not_one| CertificateError::BadCertificate)?;
    let validity = parsed.tbs_certificate.validity;
    let moment = |time: x509_cert::time::Time| Timestamp::from_micros(0).plus(time.to_unix_duration());
    Ok((moment(validity.not_before), moment(validity.not_after)))
}

fn provider() -> CryptoProvider {
    ring::default_provider()
}

/// The pair that is shown to callers now.
#[derive(Debug)]
pub(crate) struct Certificate {
    files: Files,
    pair: RwLock<Pair>,
}

impl ResolvesServerCert for Certificate {
    fn resolve(&self, _hello: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.pair.read().key))
    }
}

impl Certificate {
    /// Reads the pair for the first time. One that has ended is used all the same: callers who look will refuse it, and
    /// nothing is won by refusing those who do not.
    pub(super) fn load(files: Files, now: Timestamp) -> Result<Arc<Self>, CertificateError> {
        let pair = files.load()?;
        if let Err(problem) = pair.check(now) {
            tracing::error!(%problem, "callers will refuse the certificate");
        }
        Ok(Arc::new(Self { files, pair: RwLock::new(pair) }))
    }

    /// What TLS is agreed on with.
    pub(super) fn server(self: &Arc<Self>) -> anyhow::Result<Arc<ServerConfig>> {
        let builder = ServerConfig::builder_with_provider(Arc::new(provider()));
        let builder = builder.with_safe_default_protocol_versions().context("TLS can't be set up")?;
        let pair: Arc<dyn ResolvesServerCert> = Arc::clone(self) as _;
        let mut server = builder.with_no_client_auth().with_cert_resolver(pair);
        server.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
        Ok(Arc::new(server))
    }

    /// When it ends.
    pub(super) fn ends(&self) -> Timestamp {
        self.pair.read().to
    }

    /// Looks at the files again and again, until it is time to stop.
    pub(super) async fn keep_fresh(self: Arc<Self>, clock: Arc<dyn Clock>, stopping: CancellationToken) {
        let mut hangup = signal(SignalKind::hangup()).ok();
        let (mut failed, mut told) = (None, None);
        loop {
            self.tell_of_the_end(clock.now(), &mut told);
            tokio::select! {
                () = stopping.cancelled() => return,
                // Whoever asks is told again why it can't be.
                () = hung_up(&mut hangup) => failed = None,
                () = clock.sleep_until(clock.now().plus(EVERY)) => {}
            }
            self.renew(clock.now(), &mut failed).await;
        }
    }

    /// Once a day.
    fn tell_of_the_end(&self, now: Timestamp, told: &mut Option<Timestamp>) {
        let end = self.pair.read().ends_soon(now);
        if let Some(end) = end.filter(|_| told.is_none_or(|told| now.since(told) >= DAY)) {
            tracing::warn!(%end, "the certificate ends soon, and its files have no newer one");
            *told = Some(now);
        }
    }

    /// Takes the pair in the files if it is another one and can be used. One that can't is looked at again each time, for it
    /// may only not be valid yet; `failed` is what the log says of it already.
    async fn renew(&self, now: Timestamp, failed: &mut Option<String>) {
        let files = self.files.clone();
        let in_use = self.pair.read().mark;
        let look = move || match files.read() {
            Ok((certificate, key)) if mark(&certificate, &key) == in_use => Ok(None),
            Ok((certificate, key)) => Pair::parse(&certificate, &key).map(Some),
            Err(problem) => Err(problem),
        };
        let Ok(found) = tokio::task::spawn_blocking(look).await else { return };
        let valid = found.and_then(|pair| match pair {
            Some(pair) => pair.check(now).map(|()| Some(pair)),
            None => Ok(None),
        });
        match valid {
            Ok(None) => *failed = None,
            Ok(Some(pair)) => {
                tracing::info!(ends = %pair.to, "a new certificate is in use");
                *self.pair.write() = pair;
                *failed = None;
            }
            Err(problem) => {
                let problem = problem.to_string();
                if failed.as_ref() != Some(&problem) {
                    tracing::error!(%problem, "the certificate stays as it was; looking again each minute");
                }
                *failed = Some(problem);
            }
        }
    }
}

/// Returns when a SIGHUP comes.
async fn hung_up(hangup: &mut Option<Signal>) {
    match hangup {
        Some(hangup) => _ = hangup.recv().await,
        None => std::future::pending().await,
    }
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair, date_time_ymd};
    use tempfile::TempDir;

    use super::*;

    /// 2026-11-23T08:30:00Z.
    const NOW: Timestamp = Timestamp::from_micros(1_795_422_600_000_000);

    fn pair(to_year: i32) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(to_year, 1, 1));
        (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
    }

    fn parse((certificate, key): (&str, &str)) -> String {
        let parsed = Pair::parse(certificate.as_bytes(), key.as_bytes());
        parsed.map_or_else(|problem| problem.to_string(), |pair| format!("until {}", pair.to))
    }

    #[test]
    fn what_is_wrong_with_a_pair_is_said_without_showing_it() {
        let ((certificate, key), (_, other)) = (pair(2100), pair(2100));
        let broken = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
        let table = [
            (parse((&certificate, &key)), "until 2100-01-01T00:00:00.000Z"),
            (parse((&certificate, &other)), "http.tls_key_file: is not the key"),
            (parse(("", &key)), "http.tls_certificate_file: holds no certificate"),
            (parse((broken, &key)), "http.tls_certificate_file: holds something that is no certificate"),
            (parse((&certificate, "")), "http.tls_key_file: holds no private key"),
            (parse((&certificate, &certificate)), "http.tls_key_file: holds no private key"),
        ];
        for (said, expected) in table {
            assert!(said.starts_with(expected), "{expected}: {said}");
        }
    }

    #[tokio::test]
    async fn a_pair_that_can_not_be_used_leaves_the_one_before_in_use() {
        let folder = TempDir::new().unwrap();
        let files = Files { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
        let write = |certificate: &str, key: &str| {
            std::fs::write(&files.certificate, certificate).unwrap();
            std::fs::write(&files.key, key).unwrap();
        };
        let ((first, first_key), (second, second_key), (ended, ended_key)) =
            (pair(2100), pair(2101), pair(2021));
        write(&first, &first_key);
        let certificate = Certificate::load(files.clone(), NOW).unwrap();
        let end_after = async |certificate_file: &str, key_file: &str| {
            write(certificate_file, key_file);
            certificate.renew(NOW, &mut None).await;
            certificate.ends().to_string()
        };
        for (bad, bad_key) in [(&second, &first_key), (&ended, &ended_key), (&second, &String::new())] {
            assert!(end_after(bad, bad_key).await.starts_with("2100"));
        }
        assert!(end_after(&second, &second_key).await.starts_with("2101"));
    }
    #[tokio::test]
    async fn a_pair_that_could_not_be_used_is_used_as_soon_as_it_can_be() {
        let folder = TempDir::new().unwrap();
        let files = Files { certificate: folder.path().join("tls.crt"), key: folder.path().join("tls.key") };
        let write = |(certificate, key): (String, String)| {
            std::fs::write(&files.certificate, certificate).unwrap();
            std::fs::write(&files.key, key).unwrap();
        };
        write(pair(2100));
        let early = "2019-12-31T23:59:30Z".parse().unwrap();
        let certificate = Certificate::load(files.clone(), early).unwrap();
        // Not valid yet by a clock that is behind, and then it is: nobody touches the files meanwhile.
        write(pair(2101));
        let mut failed = None;
        certificate.renew(early, &mut failed).await;
        assert!(certificate.ends().to_string().starts_with("2100"));
        assert!(failed.as_ref().is_some_and(|said| said.contains("is valid from 2020-01-01")), "{failed:?}");
        certificate.renew(NOW, &mut failed).await;
        assert!(certificate.ends().to_string().starts_with("2101"));
        assert_eq!(failed, None);
    }
}
