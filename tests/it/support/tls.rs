//! Certificates, good and bad, as openssl(1) makes them.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;

use rustls::crypto::ring;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::{RootCertStore, ServerConfig};
use tempfile::TempDir;

const SETTINGS: &str = "\
[ca]
default_ca = authority
[authority]
database = index
new_certs_dir = .
rand_serial = yes
default_md = sha256
policy = any
copy_extensions = copy
unique_subject = no
[any]
commonName = supplied
";

/// Vouches for servers, to those who trust it.
pub struct Authority {
    home: TempDir,
}

impl Authority {
    /// `name` is what its certificates say of who has issued them.
    pub fn called(name: &str) -> Authority {
        let authority = Authority { home: TempDir::new().unwrap() };
        fs::write(authority.path("settings"), SETTINGS).unwrap();
        fs::write(authority.path("index"), "").unwrap();
        authority.openssl(&format!("req -x509 -days 2 -subj /CN={name} -keyout ca.key -out ca.pem"), NEW_KEY);
        authority
    }

    /// What `SSL_CERT_FILE` is to be for those who trust it.
    pub fn bundle(&self) -> PathBuf {
        self.path("ca.pem")
    }

    /// For the server at 127.0.0.1, good until 2049.
    pub fn certificate(&self) -> Certificate {
        self.certify("IP:127.0.0.1", &until(2049))
    }

    /// For the server at 127.0.0.1, and not for long.
    pub fn certificate_for_days(&self, days: u32) -> Certificate {
        self.certify("IP:127.0.0.1", &format!("-days {days}"))
    }

    /// For the server at 127.0.0.1, a few years too late.
    pub fn expired_certificate(&self) -> Certificate {
        self.certify("IP:127.0.0.1", &until(2021))
    }

    /// For another server than the one at 127.0.0.1.
    pub fn certificate_of_another(&self) -> Certificate {
        self.certify("DNS:other.example.org", &until(2049))
    }

    /// The same, for one that asks its clients for a certificate of this authority's.
    pub fn certificate_asking_for_one_of(&self, clients: &Authority) -> Certificate {
        self.certificate();
        let mut roots = RootCertStore::empty();
        roots.add(CertificateDer::from_pem_file(clients.bundle()).unwrap()).unwrap();
        let provider = Arc::new(ring::default_provider());
        let verifier = WebPkiClientVerifier::builder_with_provider(roots.into(), provider).build().unwrap();
        Certificate::demanding(&self.path("server.pem"), &self.path("server.key"), verifier)
    }

    /// A certificate for a client, and its key: their files.
    pub fn certify_client(&self) -> (PathBuf, PathBuf) {
        self.certify("DNS:client.example.org", &until(2049));
        (self.path("server.pem"), self.path("server.key"))
    }

    /// `host` is a subjectAltName, `span` what openssl is told of when the certificate is good.
    fn certify(&self, host: &str, span: &str) -> Certificate {
        self.openssl(
            &format!("req -new -subj /CN=server -addext subjectAltName={host} -keyout server.key -out server.csr"),
            NEW_KEY,
        );
        self.openssl(
            &format!("ca -batch -notext -config settings -cert ca.pem -keyfile ca.key {span}"),
            &["-in", "server.csr", "-out", "server.pem"],
        );
        Certificate::read(&self.path("server.pem"), &self.path("server.key"))
    }

    #[track_caller]
    fn openssl(&self, words: &str, more: &[&str]) {
        let mut openssl = Command::new("openssl");
        let said = openssl.args(words.split(' ')).args(more).current_dir(&self.home).output().expect("openssl runs");
        assert!(said.status.success(), "openssl {words}: {}", String::from_utf8_lossy(&said.stderr));
    }

    fn path(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }
}

/// From long ago to the year that is not any more covered.
fn until(year: u16) -> String {
    format!("-startdate 20200101000000Z -enddate {year}0101000000Z")
}

const NEW_KEY: &[&str] = &["-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];

/// What a server shows to its clients.
#[derive(Clone)]
pub struct Certificate(Arc<ServerConfig>);

impl Certificate {
    /// For the server at 127.0.0.1, by nobody's authority but its own.
    pub fn self_signed() -> Certificate {
        let lone = Authority { home: TempDir::new().unwrap() };
        let leaf = "req -x509 -days 2 -subj /CN=server -addext subjectAltName=IP:127.0.0.1 \
                    -addext basicConstraints=critical,CA:FALSE -keyout server.key -out server.pem";
        lone.openssl(leaf, NEW_KEY);
        Certificate::read(&lone.path("server.pem"), &lone.path("server.key"))
    }

    fn read(chain: &Path, key: &Path) -> Certificate {
        Certificate::demanding(chain, key, WebPkiClientVerifier::no_client_auth())
    }

    fn demanding(chain: &Path, key: &Path, verifier: Arc<dyn ClientCertVerifier>) -> Certificate {
        let chain = vec![CertificateDer::from_pem_file(chain).unwrap()];
        let key = PrivateKeyDer::from_pem_file(key).unwrap();
        let builder = ServerConfig::builder_with_provider(Arc::new(ring::default_provider()));
        let builder = builder.with_safe_default_protocol_versions().unwrap().with_client_cert_verifier(verifier);
        Certificate(Arc::new(builder.with_single_cert(chain, key).unwrap()))
    }
}

impl From<Certificate> for Arc<ServerConfig> {
    fn from(certificate: Certificate) -> Self {
        certificate.0
    }
}
