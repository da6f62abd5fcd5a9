//! The address of an HTTP endpoint, as people write it.

use crate::engine::text::printable;
use reqwest::Url;
use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;

/// The address of an HTTP endpoint: `http://…`, `https://…`, or `unix:/SOCKET[:/PATH]`. Shown
/// without user, password and query; one that is a [secret](Address::secret), without its path.
#[derive(Clone, PartialEq, Eq)]
pub struct Address {
    pub(super) url: Url,
    pub(super) socket: Option<PathBuf>,
    is_secret: bool,
}

/// Why an address is none.
#[derive(Debug, thiserror::Error)]
pub enum UrlError {
    /// It does not read as a URL.
    #[error("not a URL ({0}); it looks like \"https://app.example.com/inbound\" or \"unix:/run/app.sock\"")]
    Syntax(String),
    /// Only HTTP is spoken.
    #[error("a URL begins with http://, https:// or unix:/, not \"{0}:\"")]
    Scheme(String),
}

impl FromStr for Address {
    type Err = UrlError;

    fn from_str(text: &str) -> Result<Self, UrlError> {
        if let Some(rest) = text.strip_prefix("unix:") {
            let (socket, path) = rest.split_once(":/").map_or((rest, ""), |(socket, path)| (socket, path));
            if !socket.starts_with('/') {
                return Err(UrlError::Syntax("the path of a socket begins with /".into()));
            }
            let url =
                Url::parse(&format!("http://localhost/{path}")).map_err(|error| UrlError::Syntax(error.to_string()))?;
            return Ok(Address { url, socket: Some(socket.into()), is_secret: false });
        }
        let url = Url::parse(text).map_err(|error| UrlError::Syntax(error.to_string()))?;
        match url.scheme() {
            "http" | "https" => Ok(Address { url, socket: None, is_secret: false }),
            other => Err(UrlError::Scheme(printable(other.as_bytes()))),
        }
    }
}

impl Address {
    /// The same, of which only the host is ever shown: the path of many a webhook is its password.
    #[must_use]
    pub fn secret(self) -> Self {
        Address { is_secret: true, ..self }
    }

    /// Whether mail goes out of this machine without encryption.
    pub fn is_exposed(&self) -> bool {
        let host = self.url.host_str().unwrap_or_default();
        let is_local = host == "localhost" || host == "[::1]" || host.starts_with("127.");
        self.socket.is_none() && self.url.scheme() == "http" && !is_local
    }

    /// Whether it leads to a socket of this machine.
    pub fn is_socket(&self) -> bool {
        self.socket.is_some()
    }

    /// The words by which curl(1) finds it. None for one of which something must not be shown.
    pub fn to_shell(&self) -> Option<Vec<String>> {
        let has_secrets = self.is_secret || self.url.query().is_some() || !self.url.username().is_empty();
        if has_secrets || self.url.password().is_some() {
            return None;
        }
        let socket = self.socket.as_ref().map(|socket| ["--unix-socket".to_owned(), socket.display().to_string()]);
        Some(socket.into_iter().flatten().chain([self.url.to_string()]).collect())
    }

    /// What a request says in its `Host` header: host, and port where that is not the usual one.
    pub(super) fn host(&self) -> String {
        let port = self.url.port().map(|port| format!(":{port}")).unwrap_or_default();
        format!("{}{port}", self.url.host_str().unwrap_or_default())
    }

    /// What a request asks for, once the connection is there.
    pub(super) fn path_and_query(&self) -> String {
        let query = self.url.query().map(|query| format!("?{query}")).unwrap_or_default();
        format!("{}{query}", self.url.path())
    }

    /// Whether it is spoken to over TLS.
    pub fn is_tls(&self) -> bool {
        self.url.scheme() == "https"
    }
}

impl fmt::Display for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let path = if self.is_secret { "/…" } else { self.url.path() };
        if let Some(socket) = &self.socket {
            return write!(f, "unix:{}:{path}", socket.display());
        }
        write!(f, "{}://{}{path}", self.url.scheme(), self.host())
    }
}

impl fmt::Debug for Address {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{self}")
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read_and_shown_without_secrets() {
        for (text, shown, is_exposed) in [
            ("http://127.0.0.1:3000/in", "http://127.0.0.1:3000/in", false),
            ("http://localhost/", "http://localhost/", false),
            ("http://app.internal/in", "http://app.internal/in", true),
            ("https://user:secret@app.example.com/in?key=secret", "https://app.example.com/in", false),
            ("unix:/run/app.sock", "unix:/run/app.sock:/", false),
            ("unix:/run/app.sock:/inbound", "unix:/run/app.sock:/inbound", false),
        ] {
            let address: Address = text.parse().unwrap();
            assert_eq!((address.to_string().as_str(), address.is_exposed()), (shown, is_exposed), "{text}");
            assert!(!format!("{address:?}").contains("secret"));
        }
    }

    #[test]
    fn of_a_secret_address_only_the_host_is_shown() {
        for (text, shown) in [
            ("https://hooks.example.com/services/hunter2", "https://hooks.example.com/…"),
            ("http://127.0.0.1:3000/", "http://127.0.0.1:3000/…"),
            ("unix:/run/app.sock:/hunter2", "unix:/run/app.sock:/…"),
        ] {
            assert_eq!(text.parse::<Address>().unwrap().secret().to_string(), shown);
        }
    }

    #[test]
    fn what_is_no_address_is_explained() {
        for (text, explained) in [
            ("app.example.com", "not a URL"),
            ("", "not a URL"),
            ("http://", "not a URL"),
            ("unix:run/app.sock", "begins with /"),
            ("ftp://example.com/", "not \"ftp:\""),
            ("file:///etc/passwd", "not \"file:\""),
        ] {
            let error = text.parse::<Address>().unwrap_err().to_string();
            assert!(error.contains(explained), "{text}: {error}");
        }
    }
}
