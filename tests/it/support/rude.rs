//! Servers that misbehave, each in one way.

use std::io::{self, BufReader, Read, Write};
use std::iter;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use super::http::{Answer, Request};
use super::server::{Address, Connection, Server};
use super::wait::{Gate, SOON, wait_until};

/// What the server does with every client, after it has read the request (or where it says otherwise).
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rudeness {
    /// Points elsewhere.
    Redirect { status: u16, to: String },
    /// Sends a header field that grows by a byte now and then.
    HeaderDrip,
    /// Promises a body and sends a byte of it now and then.
    BodyDrip,
    /// Sends 200 MB for a body.
    HugeBody,
    /// Sends 50 MB of header fields before the blank line.
    HugeHeaders,
    /// Sends chunks for as long as somebody takes them.
    EndlessChunks,
    /// Accepts the connection and reads nothing.
    NeverReads,
    /// Resets the connection when the header of its 200 is out. For mails that fit into a socket buffer.
    ResetAfterHeader,
    /// Closes within the status line.
    HalfStatusLine,
    /// Says 200, and then what is no header.
    GarbageAfterStatus,
    /// Says 100 Continue, and nothing but that, for ever.
    ContinueFlood,
    /// Says 102 Processing and closes.
    OnlyInformational,
    /// Sends two 200s for the first request of a connection; each later one gets an honest 503.
    GluedResponses,
    /// Says 200, and closes the idle connection when the first byte of its next request arrives.
    ClosesOnReuse,
    /// Compresses a gigabyte of zeros into its 200.
    GzipBomb,
}

impl Rudeness {
    /// All but the redirects, which need a place to point to.
    pub const ALL: [Rudeness; 14] = [
        Rudeness::HeaderDrip,
        Rudeness::BodyDrip,
        Rudeness::HugeBody,
        Rudeness::HugeHeaders,
        Rudeness::EndlessChunks,
        Rudeness::NeverReads,
        Rudeness::ResetAfterHeader,
        Rudeness::HalfStatusLine,
        Rudeness::GarbageAfterStatus,
        Rudeness::ContinueFlood,
        Rudeness::OnlyInformational,
        Rudeness::GluedResponses,
        Rudeness::ClosesOnReuse,
        Rudeness::GzipBomb,
    ];

    /// In every manner that HTTP knows.
    pub fn redirects(to: &str) -> impl Iterator<Item = Rudeness> {
        [301, 302, 303, 307, 308].into_iter().map(move |status| Rudeness::Redirect { status, to: to.to_owned() })
    }

    /// Whether a client has the whole header of a 2xx for its request in spite of it all.
    pub fn accepts(&self) -> bool {
        use Rudeness::*;
        match self {
            BodyDrip | HugeBody | EndlessChunks | ResetAfterHeader | GluedResponses | ClosesOnReuse | GzipBomb => true,
            Redirect { .. }
            | HeaderDrip
            | HugeHeaders
            | NeverReads
            | HalfStatusLine
            | GarbageAfterStatus
            | ContinueFlood
            | OnlyInformational => false,
        }
    }
}

/// A misbehaving server for as long as it is kept.
pub struct Rude {
    server: Server,
    read: Arc<Mutex<Vec<Request>>>,
}

impl Rude {
    pub fn start(rudeness: Rudeness) -> Rude {
        let read = Arc::new(Mutex::new(Vec::new()));
        let server = Server::start(&Address::Port(0), {
            let read = read.clone();
            move |connection| {
                let mut scene = Scene { connection: &connection, read: &read };
                // How the client ends it is the client's affair.
                let _ = scene.play(&rudeness);
            }
        });
        Rude { server, read }
    }

    pub fn url(&self) -> String {
        self.server.address().url()
    }

    /// The requests that arrived whole and were read.
    pub fn requests(&self) -> Vec<Request> {
        self.read.lock().unwrap().clone()
    }

    pub fn count(&self) -> usize {
        self.read.lock().unwrap().len()
    }

    pub fn connections(&self) -> usize {
        self.server.connections()
    }

    #[track_caller]
    pub fn wait_for_connections(&self, count: usize) {
        wait_until(format!("{count} connections to the rude server"), SOON, || self.connections() >= count);
    }
}

const OK: &str = "HTTP/1.1 200 OK\r\n";
const MEGABYTE: usize = 1_000_000;

/// One connection to a rude server.
struct Scene<'a> {
    connection: &'a Connection,
    read: &'a Mutex<Vec<Request>>,
}

impl Scene<'_> {
    fn play(&mut self, rudeness: &Rudeness) -> io::Result<()> {
        match rudeness {
            Rudeness::NeverReads => {
                self.outstay();
                Ok(())
            }
            Rudeness::ResetAfterHeader => self.reset_after_header(),
            Rudeness::GluedResponses => self.glue(),
            Rudeness::ClosesOnReuse => self.close_on_reuse(),
            _ => {
                self.read_request()?;
                self.respond(rudeness)
            }
        }
    }

    fn respond(&mut self, rudeness: &Rudeness) -> io::Result<()> {
        match rudeness {
            Rudeness::Redirect { status, to } => {
                self.say(&Answer::status(*status).header("location", to).closing().to_bytes())
            }
            Rudeness::HeaderDrip => self.drip(&format!("{OK}x-drip: ")),
            Rudeness::BodyDrip => self.drip(&with_length(MEGABYTE)),
            Rudeness::HugeBody => self.pour(&with_length(200 * MEGABYTE), &vec![b'.'; MEGABYTE], 200),
            Rudeness::HugeHeaders => {
                self.pour(OK, header_field(MEGABYTE / 100).as_bytes(), 50 * 100)?;
                self.say(b"content-length: 0\r\n\r\n")
            }
            Rudeness::EndlessChunks => {
                let head = format!("{OK}transfer-encoding: chunked\r\n\r\n");
                self.pour(&head, b"10\r\n0123456789abcdef\r\n", usize::MAX)
            }
            Rudeness::HalfStatusLine => self.say(b"HTTP/1.1 2"),
            Rudeness::GarbageAfterStatus => self.say(b"HTTP/1.1 200\x00\x01\xff\xfe garbage\r\n\r\n"),
            Rudeness::ContinueFlood => self.pour("", b"HTTP/1.1 100 Continue\r\n\r\n", usize::MAX),
            Rudeness::OnlyInformational => self.say(b"HTTP/1.1 102 Processing\r\n\r\n"),
            Rudeness::GzipBomb => self.explode(),
            _ => unreachable!("{rudeness:?} has a scene of its own"),
        }
    }

    fn outstay(&self) {
        while !self.connection.stopping.opens_within(SOON) {}
    }

    /// The kernel answers a close with a reset while a received byte is unread, so one byte stays where it is.
    fn reset_after_header(&mut self) -> io::Result<()> {
        let mut input = BufReader::with_capacity(1, &*self.connection.stream);
        let Some(mut request) = Request::read_head(&mut input)? else {
            return Ok(());
        };
        request.body = vec![0; request.content_length()?.saturating_sub(1)];
        input.read_exact(&mut request.body)?;
        self.connection.stream.has_more()?;
        self.read.lock().unwrap().push(request);
        self.say(with_length(MEGABYTE).as_bytes())
    }

    fn glue(&mut self) -> io::Result<()> {
        self.read_request()?;
        let once = Answer::ok().to_bytes();
        self.say(&[once.as_slice(), &once].concat())?;
        while self.read_request()? {
            self.say(&Answer::status(503).to_bytes())?;
        }
        Ok(())
    }

    fn close_on_reuse(&mut self) -> io::Result<()> {
        self.read_request()?;
        self.say(&Answer::ok().to_bytes())?;
        self.connection.stream.has_more()?;
        Ok(())
    }

    /// False if the client has left.
    fn read_request(&mut self) -> io::Result<bool> {
        // Unbuffered beyond the request: what comes after it must stay in the kernel, see `close_on_reuse`.
        let mut input = BufReader::with_capacity(1, &*self.connection.stream);
        let request = Request::read(&mut input)?;
        let came = request.is_some();
        self.read.lock().unwrap().extend(request);
        Ok(came)
    }

    fn say(&mut self, bytes: &[u8]) -> io::Result<()> {
        (&*self.connection.stream).write_all(bytes)
    }

    fn pour(&mut self, head: &str, portion: &[u8], times: usize) -> io::Result<()> {
        self.say(head.as_bytes())?;
        iter::repeat_n(portion, times).try_for_each(|portion| self.say(portion))
    }

    fn drip(&mut self, head: &str) -> io::Result<()> {
        const PACE: Duration = Duration::from_millis(50);
        let stopping: &Gate = &self.connection.stopping;
        self.say(head.as_bytes())?;
        while !stopping.opens_within(PACE) {
            self.say(b".")?;
        }
        Ok(())
    }

    /// Deflate by hand: a zero, then "the same 258 bytes again" over and over, eight of them in 13 bytes.
    fn explode(&mut self) -> io::Result<()> {
        const HEADER: &[u8] = b"\x1f\x8b\x08\0\0\0\0\0\0\xff";
        const FIRST: &[u8] = b"\x63\x18\x05";
        const AGAIN: &[u8] = b"\xa3\x60\x14\x8c\x82\x51\x30\x0a\x46\xc1\x28\x18\x05";
        const TIMES: usize = 500_000;
        const END: &[u8] = b"\0";
        const CRC: u32 = 0x26ad_4b6c;
        const LENGTH: u32 = 1_032_000_259;

        let trailer = [CRC.to_le_bytes(), LENGTH.to_le_bytes()].concat();
        let bomb = [HEADER, FIRST, &AGAIN.repeat(TIMES), END, &trailer].concat();
        self.say(&Answer::ok().header("content-encoding", "gzip").body(bomb).closing().to_bytes())
    }
}

fn with_length(length: usize) -> String {
    format!("{OK}content-length: {length}\r\n\r\n")
}

/// A field of this many bytes.
fn header_field(size: usize) -> String {
    format!("x-huge: {}\r\n", "h".repeat(size - "x-huge: \r\n".len()))
}
