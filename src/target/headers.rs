//! The headers that are the same in every request of a `url` target.

use super::url::UrlConfig;
use crate::secret::Secret;
use anyhow::{Context, ensure};
use data_encoding::BASE64;
use reqwest::header::{AUTHORIZATION, HeaderMap, HeaderName, HeaderValue};

/// What a request says of itself; nobody else may. Without the ids an application could not tell a
/// message that it has already, and the framing must be right for anything to arrive.
const OWN: &[&str] = &[
    "connection",
    "content-encoding",
    "content-length",
    "content-type",
    "expect",
    "idempotency-key",
    "maildirq-attempt",
    "te",
    "trailer",
    "transfer-encoding",
    "upgrade",
    "user-agent",
    "webhook-id",
    "webhook-signature",
    "webhook-timestamp",
];

/// How a request proves whose it is.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Auth {
    /// RFC 7617.
    Basic {
        /// The user's name.
        user: String,
        /// The user's password.
        password: Secret,
    },
    /// RFC 6750.
    Bearer(Secret),
}

/// Whether a header is set by maildirq itself, and so is not for the configuration to set.
pub fn is_own_header(name: &HeaderName) -> bool {
    OWN.contains(&name.as_str())
}

/// The headers that do not depend on the message. What is configured is never shown, not even by
/// `Debug`.
pub(super) fn fixed_headers(config: &UrlConfig) -> anyhow::Result<HeaderMap> {
    let mut headers = HeaderMap::new();
    if let Some(auth) = &config.auth {
        headers.insert(AUTHORIZATION, hidden(&authorization(auth)?).context("`auth` does not fit into a header")?);
    }
    for (name, value) in &config.headers {
        ensure!(
            !is_own_header(name),
            "the header {name} is set by maildirq itself\n  = try: leave it out of `headers`"
        );
        ensure!(
            name != AUTHORIZATION || config.auth.is_none(),
            "the header {name} is set twice, by `auth` and by `headers`\n  = try: leave out one of them"
        );
        let value = hidden(value.reveal()).with_context(|| format!("the header {name} cannot be sent"))?;
        headers.append(name.clone(), value);
    }
    Ok(headers)
}

/// All secrets that a request with these headers carries, as they stand in it and as they were given.
/// What is so short that it stands in any text hides nothing.
pub(super) fn secrets(config: &UrlConfig, headers: &HeaderMap) -> Vec<Secret> {
    const SHORT: usize = 4;
    let sent = headers.values().filter(|value| value.is_sensitive()).filter_map(|value| value.to_str().ok());
    let sent = sent.map(|value| value.strip_prefix("Basic ").or(value.strip_prefix("Bearer ")).unwrap_or(value));
    let given = match &config.auth {
        Some(Auth::Basic { password, .. }) => Some(password.reveal()),
        _ => None,
    };
    let keys = config.sign.iter().map(|key| key.reveal().strip_prefix("whsec_").unwrap_or(key.reveal()));
    let of_format = config.format.secrets().into_iter().map(Secret::reveal);
    let all = sent.chain(given).chain(config.url.url.password()).chain(keys).chain(of_format);
    all.filter(|secret| secret.len() >= SHORT).map(Secret::new).collect()
}

fn authorization(auth: &Auth) -> anyhow::Result<String> {
    Ok(match auth {
        Auth::Basic { user, password } => {
            ensure!(!user.contains(':'), "a user name for basic authentication has no colon (RFC 7617)");
            format!("Basic {}", BASE64.encode(format!("{user}:{}", password.reveal()).as_bytes()))
        }
        Auth::Bearer(token) => format!("Bearer {}", token.reveal()),
    })
}

fn hidden(text: &str) -> anyhow::Result<HeaderValue> {
    let mut value = HeaderValue::from_bytes(text.as_bytes()).context("it has a line break or a control character")?;
    value.set_sensitive(true);
    Ok(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn config(auth: Option<Auth>, headers: &[(&str, &str)]) -> UrlConfig {
        let header = |(name, value): &(&str, &str)| (name.parse().unwrap(), Secret::new(*value));
        UrlConfig {
            auth,
            headers: headers.iter().map(header).collect(),
            ..UrlConfig::new("http://127.0.0.1/in".parse().unwrap())
        }
    }

    fn basic(user: &str, password: &str) -> Auth {
        Auth::Basic { user: user.into(), password: Secret::new(password) }
    }

    #[test]
    fn a_request_proves_whose_it_is() {
        // The first is the example of RFC 7617 section 2.
        for (auth, expected) in [
            (basic("Aladdin", "open sesame"), "Basic QWxhZGRpbjpvcGVuIHNlc2FtZQ=="),
            (basic("test", "123\u{a3}"), "Basic dGVzdDoxMjPCow=="),
            (basic("", ":"), "Basic Ojo="),
            (Auth::Bearer(Secret::new("mF_9.B5f-4.1JqM")), "Bearer mF_9.B5f-4.1JqM"),
        ] {
            let headers = fixed_headers(&config(Some(auth), &[])).unwrap();
            assert_eq!(headers[AUTHORIZATION], expected);
        }
    }

    #[test]
    fn configured_headers_are_sent_but_never_shown() {
        let given = [("x-key", "hunter2"), ("x-key", "hunter3"), ("host", "hunter.example"), ("x-name", "hunt\u{e9}r")];
        let headers = fixed_headers(&config(Some(Auth::Bearer(Secret::new("hunter1"))), &given)).unwrap();
        assert_eq!(headers.get_all("x-key").iter().collect::<Vec<_>>(), ["hunter2", "hunter3"]);
        assert_eq!(
            (headers["host"].as_bytes(), headers["x-name"].as_bytes()),
            (&b"hunter.example"[..], "hunt\u{e9}r".as_bytes())
        );
        assert!(!format!("{headers:?}").contains("hunt"), "{headers:?}");
    }

    #[test]
    fn what_cannot_be_sent_is_explained_without_its_value() {
        let token = Some(Auth::Bearer(Secret::new("hunter")));
        for (config, explained) in [
            (config(None, &[("x-key", "hunter\r\nx-other: 1")]), "the header x-key cannot be sent"),
            (config(None, &[("x-key", "hunter\0")]), "line break or a control character"),
            (config(Some(Auth::Bearer(Secret::new("hunter\n"))), &[]), "`auth` does not fit"),
            (config(Some(basic("hunter:", "x")), &[]), "no colon"),
            (config(token, &[("Authorization", "Token hunter")]), "set twice"),
            (config(None, &[("Webhook-Id", "hunter")]), "webhook-id is set by maildirq itself"),
            (config(None, &[("Content-Length", "7")]), "content-length is set by maildirq itself"),
        ] {
            let error = format!("{:#}", fixed_headers(&config).unwrap_err());
            assert!(error.contains(explained) && !error.contains("hunter"), "{error}");
        }
    }
}
