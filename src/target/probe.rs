//! Finding out whether an endpoint can be reached, without a request to it.

use super::address::Address;
use super::tls::{ClientCertificate, authorities, tls_config};
use super::url::UrlConfig;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{ServerName, UnixTime};
use rustls::{ClientConnection, RootCertStore};
use std::net::TcpStream;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::thread;
use std::time::{Duration, Instant, SystemTime};

/// Nobody asks whether a certificate is valid for longer, in days.
const FURTHEST: u64 = 100 * 365;
const DAY: Duration = Duration::from_hours(24);

/// A connection that could be made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Probe {
    /// Where to: the endpoint, or its proxy.
    pub address: String,
    /// How long it took to look up the name and to connect.
    pub connected: Duration,
    /// What TLS has shown, where it was spoken.
    pub tls: Option<Tls>,
}

/// What TLS has shown.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tls {
    /// "TLS 1.3".
    pub version: String,
    /// How many whole days the server's certificates stay valid.
    pub days: u64,
}

/// Connects to the endpoint as an attempt would, TLS included, and sends nothing. Through a proxy it is only
/// the proxy that is connected to.
///
/// # Errors
/// It cannot be reached, or not in time: the text says where and why.
pub fn probe(config: &UrlConfig) -> Result<Probe, String> {
    let (tell, told) = mpsc::channel();
    let limit = config.connect_timeout;
    let config = config.clone();
    let to = config.proxy.as_ref().unwrap_or(&config.url).to_string();
    // A look-up of a name knows no time-out, so nobody waits for the end of this thread.
    let probing = move || {
        let reached = connect(&config);
        // Whoever has given up does not want to know any more.
        let _ = tell.send(reached);
    };
    let cannot = |error: std::io::Error| format!("cannot find out whether {to} can be reached: {error}");
    let started = thread::Builder::new().name("probe".into()).spawn(probing).map_err(cannot)?;
    match told.recv_timeout(limit) {
        Ok(reached) => reached.map_err(|why| format!("cannot connect to {to}: {why}")),
        Err(RecvTimeoutError::Timeout) => {
            Err(format!("cannot connect to {to}: not within {}", humantime::format_duration(limit)))
        }
        Err(RecvTimeoutError::Disconnected) => match started.join() {
            Err(panic) => std::panic::resume_unwind(panic),
            Ok(()) => unreachable!("the thread tells before it ends"),
        },
    }
}

fn connect(config: &UrlConfig) -> Result<Probe, String> {
    let began = Instant::now();
    if let Some(socket) = &config.url.socket {
        UnixStream::connect(socket).map_err(|error| error.to_string())?;
        return Ok(Probe { address: config.url.to_string(), connected: began.elapsed(), tls: None });
    }
    let address = config.proxy.as_ref().unwrap_or(&config.url);
    let stream = connect_tcp(address, config.connect_timeout)?;
    let connected = began.elapsed();
    let is_tls = config.proxy.is_none() && address.is_tls();
    let certificate = config.client_certificate.as_ref();
    let tls = is_tls.then(|| shake_hands(address, stream, certificate, config.connect_timeout)).transpose()?;
    Ok(Probe { address: address.to_string(), connected, tls })
}

fn connect_tcp(address: &Address, limit: Duration) -> Result<TcpStream, String> {
    let found = address.url.socket_addrs(|| None).map_err(|error| format!("the name is not known: {error}"))?;
    let is_one = found.len() == 1;
    let mut why = "the name has no address".to_owned();
    for address in found {
        match TcpStream::connect_timeout(&address, limit) {
            Ok(stream) => return Ok(stream),
            Err(error) if is_one => why = error.to_string(),
            Err(error) => why = format!("{address}: {error}"),
        }
    }
    Err(why)
}

fn shake_hands(
    address: &Address,
    mut stream: TcpStream,
    certificate: Option<&ClientCertificate>,
    limit: Duration,
) -> Result<Tls, String> {
    let host = address.url.host_str().unwrap_or_default().trim_matches(['[', ']']).to_owned();
    let name = ServerName::try_from(host).map_err(|error| error.to_string())?;
    let tls = tls_config(certificate).map_err(|error| error.to_string())?;
    let mut session = ClientConnection::new(Arc::new(tls), name.clone()).map_err(|error| error.to_string())?;
    stream
        .set_read_timeout(Some(limit))
        .and_then(|()| stream.set_write_timeout(Some(limit)))
        .and_then(|()| session.complete_io(&mut stream))
        .map_err(|error| format!("TLS: {error}"))?;
    let version = session.protocol_version().and_then(|version| version.as_str().map(str::to_owned));
    let version = version.unwrap_or_default().replace("TLSv", "TLS ").replace('_', ".");
    let roots = authorities().map_err(|error| error.to_string())?;
    Ok(Tls { version, days: days_left(&session, roots, &name)? })
}

/// How long the certificates that the server has shown are to be trusted yet. They are verified for later days,
/// as that is what will happen then.
fn days_left(session: &ClientConnection, roots: RootCertStore, name: &ServerName<'_>) -> Result<u64, String> {
    let Some((certificate, others)) = session.peer_certificates().and_then(<[_]>::split_first) else {
        return Err("TLS: the server has shown no certificate".into());
    };
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider).build();
    let verifier = verifier.map_err(|error| error.to_string())?;
    let now = SystemTime::now().duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default();
    let is_valid_in = |days: u64| {
        let then = UnixTime::since_unix_epoch(now + DAY * u32::try_from(days).unwrap_or(u32::MAX));
        verifier.verify_server_cert(certificate, others, name, &[], then).is_ok()
    };
    let (mut valid, mut too_late) = (0, FURTHEST);
    while too_late - valid > 1 {
        let middle = valid.midpoint(too_late);
        if is_valid_in(middle) { valid = middle } else { too_late = middle }
    }
    Ok(valid)
}
