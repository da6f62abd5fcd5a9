//! A plain client: for what is not maildirq's to do, such as to ask an application what it has got.

use std::io::{Read, Write};
use std::net::TcpStream;

use super::wait::SOON;

/// The status and the body.
pub type Said = (u16, Vec<u8>);

#[track_caller]
pub fn get(url: &str) -> Said {
    ask("GET", url, &[], b"")
}

#[track_caller]
pub fn get_with(url: &str, headers: &[(&str, &str)]) -> Said {
    ask("GET", url, headers, b"")
}

#[track_caller]
pub fn post(url: &str, headers: &[(&str, &str)], body: &[u8]) -> Said {
    ask("POST", url, headers, body)
}

/// In HTTP/1.0, where the answer ends with the connection.
#[track_caller]
fn ask(method: &str, url: &str, headers: &[(&str, &str)], body: &[u8]) -> Said {
    let (host, path) = url.strip_prefix("http://").and_then(|rest| rest.split_once('/')).expect("a plain URL");
    let mut head = format!("{method} /{path} HTTP/1.0\r\nhost: {host}\r\ncontent-length: {}\r\n", body.len());
    for (name, value) in headers {
        head.extend([name, ": ", value, "\r\n"]);
    }
    head += "\r\n";
    let mut stream = TcpStream::connect(host).unwrap();
    stream.set_read_timeout(Some(SOON)).unwrap();
    stream.write_all(&[head.as_bytes(), body].concat()).unwrap();
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer).unwrap();
    let end = answer.windows(4).position(|window| window == b"\r\n\r\n").expect("an answer has a head");
    let status = str::from_utf8(&answer[..end]).unwrap().split(' ').nth(1).and_then(|status| status.parse().ok());
    (status.expect("an answer has a status"), answer.split_off(end + 4))
}
