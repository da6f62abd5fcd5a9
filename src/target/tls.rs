//! TLS: whom we believe, and who we are.

use anyhow::{Context, bail, ensure};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;
use rustls::{ClientConfig, InconsistentKeys, RootCertStore};
use std::fmt;
use std::sync::Arc;

/// What proves to a server who its client is (RFC 8446 section 4.4.2). Nothing of the key is ever shown.
#[derive(Clone, PartialEq, Eq)]
pub struct ClientCertificate {
    chain: Vec<CertificateDer<'static>>,
    key: Arc<PrivateKeyDer<'static>>,
}

impl ClientCertificate {
    /// Reads a certificate, with those that vouch for it behind it, and its key, both in PEM (RFC 7468).
    ///
    /// # Errors
    /// One of them cannot be read, or they do not belong together.
    pub fn read(chain: &[u8], key: &[u8]) -> anyhow::Result<Self> {
        let chain: Vec<_> =
            CertificateDer::pem_slice_iter(chain).collect::<Result<_, _>>().context("the certificate is not PEM")?;
        ensure!(!chain.is_empty(), "there is no certificate in it: PEM has a line BEGIN CERTIFICATE");
        let key = match PrivateKeyDer::from_pem_slice(key) {
            Ok(key) => key,
            Err(pem::Error::NoItemsFound) => bail!(
                "there is no key in it that can be used: PEM has a line BEGIN PRIVATE KEY, and not ENCRYPTED in it"
            ),
            // The error may repeat a line of the key.
            Err(_) => bail!("the key is not PEM"),
        };
        let provider = rustls::crypto::ring::default_provider();
        match CertifiedKey::from_der(chain.clone(), key.clone_key(), &provider) {
            Ok(_) => Ok(ClientCertificate { chain, key: key.into() }),
            Err(rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch)) => {
                bail!("the key is that of another certificate; the client's own stands first")
            }
            Err(error) => bail!("certificate and key cannot be used: {error}"),
        }
    }
}

impl fmt::Debug for ClientCertificate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ClientCertificate(••••)")
    }
}

/// The authorities that servers are verified by: those of the system.
pub(super) fn authorities() -> anyhow::Result<RootCertStore> {
    let found = rustls_native_certs::load_native_certs();
    let mut roots = RootCertStore::empty();
    let (usable, _) = roots.add_parsable_certificates(found.certs);
    let errors: Vec<_> = found.errors.iter().map(ToString::to_string).collect();
    ensure!(
        usable > 0,
        "there are no CA certificates to verify the server by {}\n  = try: install the package ca-certificates, or point SSL_CERT_FILE at a bundle",
        errors.join("; ")
    );
    Ok(roots)
}

/// How TLS is spoken, by a client who can prove who it is if there is a certificate.
pub(super) fn tls_config(certificate: Option<&ClientCertificate>) -> anyhow::Result<ClientConfig> {
    let roots = authorities()?;
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let builder = ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions()?;
    let builder = builder.with_root_certificates(roots);
    Ok(match certificate {
        Some(ClientCertificate { chain, key }) => builder.with_client_auth_cert(chain.clone(), key.clone_key())?,
        None => builder.with_no_client_auth(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::process::Command;

    /// A certificate and its key, as openssl(1) makes them.
    fn pair() -> (Vec<u8>, Vec<u8>) {
        let folder = tempfile::tempdir().unwrap();
        let words = "req -x509 -days 2 -subj /CN=client -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -keyout key -out pem";
        let made = Command::new("openssl").args(words.split(' ')).current_dir(&folder).output().unwrap();
        assert!(made.status.success(), "{made:?}");
        let read = |name: &str| std::fs::read(folder.path().join(name)).unwrap();
        (read("pem"), read("key"))
    }

    #[test]
    fn a_certificate_and_its_key_are_read_and_not_shown() {
        let (chain, key) = pair();
        let certificate = ClientCertificate::read(&chain, &key).unwrap();
        assert_eq!(certificate.chain.len(), 1);
        assert_eq!(format!("{certificate:?}"), "ClientCertificate(••••)");
        assert_eq!(certificate, certificate.clone());
    }

    #[test]
    fn what_does_not_fit_is_explained_without_the_key() {
        let ((chain, key), (_, other)) = (pair(), pair());
        let cut = &key[..key.len() / 2];
        for (chain, key, explained) in [
            (&b""[..], &*key, "no certificate in it"),
            (b"hunter2", &key, "no certificate in it"),
            (&key, &key, "no certificate in it"),
            (&chain, b"hunter2", "no key in it"),
            (&chain, &chain, "no key in it"),
            (
                &chain,
                b"-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n-----END ENCRYPTED PRIVATE KEY-----\n",
                "ENCRYPTED",
            ),
            (&chain, b"-----BEGIN PRIVATE KEY-----\nhunter2!\n-----END PRIVATE KEY-----\n", "not PEM"),
            (&chain, cut, "not PEM"),
            (&chain, &other, "that of another certificate"),
            (b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n", &key, "cannot be used"),
        ] {
            let error = format!("{:#}", ClientCertificate::read(chain, key).unwrap_err());
            assert!(error.contains(explained) && !error.contains("hunter2"), "{explained}: {error}");
        }
    }
}
