//! What a file says of an HTTP endpoint.

use super::answers::{self, Answers};
use super::format;
use super::item::{Item, duration};
use super::keys::{
    AUTH, BASIC, BEARER, CLIENT_CERTIFICATE, CLIENT_KEY, CONNECT_TIMEOUT, HEADERS, IDLE_TIMEOUT, MAX_CONNECTION_AGE,
    PASSWORD, PROXY, Place, SIGN,
};
use super::remark::Note;
use super::secrets::{Resolved, contents_of, resolve, resolve_secret, tell_of_plain_text, user};
use super::walk::Table;
use crate::engine::text::printable;
use crate::secret::Secret;
use crate::target::{Address, Auth, ClientCertificate, UrlConfig, is_own_header, signing_key};
use reqwest::Url;
use reqwest::header::{AUTHORIZATION, HeaderName, HeaderValue};
use std::path::Path;
use std::time::Duration;

/// The settings of a `url` target.
pub(super) fn read(table: &Table<'_>, item: &Item<'_>, timeout: Duration) -> Option<UrlConfig> {
    let url = address(item);
    let auth_item = table.item(&AUTH);
    let auth = auth_item.as_ref().and_then(|item| item.table(Place::Auth)).and_then(|table| auth(&table));
    if let (Some(auth), Some((_, true))) = (&auth_item, &url) {
        let text = "`auth` beside a url that has a user: which of them?";
        item.walk.note(Note::error(text).at(auth.name.clone()).help("take the user out of the url"));
    }
    let format = format::read(table);
    let config = UrlConfig {
        timeout,
        connect_timeout: table.setting(&CONNECT_TIMEOUT, duration),
        idle_timeout: table.setting(&IDLE_TIMEOUT, duration),
        max_connection_age: table.setting(&MAX_CONNECTION_AGE, duration),
        proxy: table.optional(&PROXY, proxy),
        headers: headers(table, auth_item.is_some()),
        sign: signing_keys(table),
        client_certificate: client_certificate(table, url.as_ref().map(|(url, _)| url)),
        answers: answers::read(table, Answers::Statuses),
        auth,
        format: format?,
        ..UrlConfig::new(url?.0)
    };
    Some(config)
}

/// A URL, and whether it has a user. Of one that comes from elsewhere nothing is repeated.
fn address(item: &Item<'_>) -> Option<(Address, bool)> {
    let Resolved { text, is_reference } = resolve(item)?;
    let address = match text.parse::<Address>() {
        Ok(address) if is_reference => address.secret(),
        Ok(address) => address,
        Err(_) if is_reference => {
            return item.refuse("what the reference leads to is not a URL (http://…, https://… or unix:/…)");
        }
        Err(error) => return item.refuse(error),
    };
    let url = Url::parse(&text).ok();
    let has_user = url.as_ref().is_some_and(|url| !url.username().is_empty() || url.password().is_some());
    if !is_reference && url.is_some_and(|url| url.password().is_some()) {
        tell_of_plain_text(item);
    }
    Some((address, has_user))
}

fn proxy(item: &Item<'_>) -> Option<Address> {
    let (address, _) = address(item)?;
    if address.is_socket() { item.refuse("a proxy is http://… or https://…") } else { Some(address) }
}

fn auth(table: &Table<'_>) -> Option<Auth> {
    let password = table.item(&PASSWORD);
    match (table.item(&BASIC), table.item(&BEARER)) {
        (Some(_), None) => {
            let user = user(table, &BASIC);
            let Some(password) = password else {
                table.lacks("`basic` without a `password`", format!("password = {}", PASSWORD.example));
                return None;
            };
            let secret = resolve_secret(&password);
            Some(Auth::Basic { user: user?, password: Secret::new(secret?) })
        }
        (None, Some(bearer)) => {
            if let Some(password) = password {
                password.refuse::<()>("there is no password beside a `bearer`");
            }
            let token = resolve_secret(&bearer)?;
            // RFC 6750 section 2.1 allows even less.
            if token.is_empty() || !token.bytes().all(|byte| byte.is_ascii_graphic()) {
                return bearer.refuse("a token is visible ASCII without spaces");
            }
            Some(Auth::Bearer(Secret::new(token)))
        }
        (Some(_), Some(bearer)) => bearer.refuse("either `basic` or `bearer`"),
        (None, None) => {
            table.lacks(
                "`auth` says neither `basic` nor `bearer`",
                format!("auth = {} or {{ bearer = {} }}", AUTH.example, BEARER.example),
            );
            None
        }
    }
}

/// The keys of Standard Webhooks.
fn signing_keys(table: &Table<'_>) -> Vec<Secret> {
    let Some(item) = table.item(&SIGN) else { return Vec::new() };
    let items = if item.is_table() { vec![item] } else { item.one_or_more().unwrap_or_default() };
    let key = |item: &Item<'_>| {
        let text = resolve_secret(item)?;
        match signing_key(&text) {
            Ok(_) => Some(Secret::new(text)),
            Err(_) if !item.walk.world.has_secrets() => None,
            Err(error) => item.refuse(error),
        }
    };
    items.iter().filter_map(key).collect()
}

fn client_certificate(table: &Table<'_>, url: Option<&Address>) -> Option<ClientCertificate> {
    let (chain, key) = match (table.item(&CLIENT_CERTIFICATE), table.item(&CLIENT_KEY)) {
        (None, None) => return None,
        (Some(chain), Some(key)) => (chain, key),
        (Some(one), None) => return one.refuse(format_args!("a certificate without `{}`", CLIENT_KEY.name)),
        (None, Some(one)) => return one.refuse(format_args!("a key without `{}`", CLIENT_CERTIFICATE.name)),
    };
    if url.is_some_and(|url| !url.is_tls()) {
        return chain.refuse("it is shown to https:// servers only, and this is none");
    }
    let (certificates, pem) =
        (contents_of(&chain, Path::new(chain.text()?), false), contents_of(&key, Path::new(key.text()?), true));
    match ClientCertificate::read(&certificates?, &pem?) {
        Ok(certificate) => Some(certificate),
        Err(_) if !key.walk.world.has_secrets() => None,
        Err(error) => key.refuse(format_args!("{error:#}")),
    }
}

fn headers(table: &Table<'_>, has_auth: bool) -> Vec<(HeaderName, Secret)> {
    let mut headers: Vec<(HeaderName, Secret)> = Vec::new();
    for (name, item) in table.items_of(&HEADERS) {
        let refuse = |why: &str| {
            let text = format!("the header `{}` cannot be set", printable(name.as_bytes()));
            table.walk.note(Note::error(text).at(item.name.clone()).label(why));
        };
        let value = header_value(&item);
        match HeaderName::from_bytes(name.as_bytes()) {
            Err(_) => refuse("this is no name of an HTTP header"),
            Ok(name) if is_own_header(&name) => refuse("maildirq sets it itself"),
            Ok(name) if name == AUTHORIZATION && has_auth => refuse("`auth` sets it"),
            Ok(name) if headers.iter().any(|(other, _)| *other == name) => refuse("it is here twice"),
            Ok(name) => headers.extend(value.map(|value| (name, value))),
        }
    }
    headers
}

fn header_value(item: &Item<'_>) -> Option<Secret> {
    let Resolved { text, .. } = resolve(item)?;
    match HeaderValue::from_str(&text) {
        Ok(_) => Some(Secret::new(text)),
        Err(_) => item.refuse("the value of an HTTP header is visible ASCII"),
    }
}
