//! The application that receives the mail, and remembers everything it was told.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::io::{self, BufReader, Write};
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};
use std::time::Duration;

use super::delivery::Delivery;
use super::http::{Answer, Request};
use super::server::{Address, Connection, Server};
use super::tls::Certificate;
use super::wait::{Gate, SOON, wait_until};

type Script = dyn Fn(&Request) -> Answer + Send + Sync;

/// A server for as long as it is kept; its memory outlives [`App::stop`].
pub struct App {
    address: Address,
    desk: Arc<Desk>,
    server: Option<Server>,
}

impl App {
    /// Says 200 to everything.
    pub fn accepting() -> App {
        App::answering(|_| Answer::ok())
    }

    /// Keeps everybody waiting until the gate opens.
    pub fn slow() -> (App, Gate) {
        let gate = Gate::closed();
        let app = App::answering({
            let gate = gate.clone();
            move |_| Answer::ok().through(&gate)
        });
        (app, gate)
    }

    /// The script decides about each request. It does not block: an [`Answer`] can wait.
    pub fn answering(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> App {
        Plan::new(script).start()
    }

    /// For more than a script on a port.
    pub fn plan(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Plan {
        Plan::new(script)
    }

    pub fn url(&self) -> String {
        self.address.url()
    }

    /// Another script from the next request on.
    pub fn answer_with(&self, script: impl Fn(&Request) -> Answer + Send + Sync + 'static) {
        *self.desk.script.lock().unwrap() = Arc::new(script);
    }

    /// Ends every connection and refuses new ones.
    pub fn stop(&mut self) {
        self.server = None;
    }

    /// Listens at the same address again.
    pub fn restart(&mut self) {
        self.stop();
        let desk = self.desk.clone();
        self.server = Some(Server::start(&self.address, move |connection| desk.serve(&connection)));
    }
}

/// What the app remembers.
impl App {
    pub fn deliveries(&self) -> Vec<Delivery> {
        self.desk.book().deliveries.clone()
    }

    /// Empty where the plan was to forget them.
    pub fn requests(&self) -> Vec<Request> {
        self.desk.book().requests.clone()
    }

    /// Requests that arrived whole, whatever was answered.
    pub fn count(&self) -> usize {
        self.desk.book().deliveries.len()
    }

    /// The messages that were answered with a 2xx.
    pub fn accepted(&self) -> BTreeSet<String> {
        self.desk.book().accepted.clone()
    }

    /// Connections since the last start.
    pub fn connections(&self) -> usize {
        self.server.as_ref().map_or(0, Server::connections)
    }

    /// The largest number of requests that waited for their answers at one time.
    pub fn most_at_once(&self) -> usize {
        self.desk.book().most_at_once
    }

    /// The requests that wait for their answers now.
    pub fn in_hand(&self) -> usize {
        self.desk.book().in_hand.values().sum()
    }

    /// Messages that came again while an earlier request for them still waited; a killed client counts as waiting.
    pub fn overlaps(&self) -> BTreeSet<String> {
        self.desk.book().overlaps.clone()
    }

    /// What went wrong with requests that did not arrive whole.
    pub fn complaints(&self) -> Vec<String> {
        self.desk.book().complaints.clone()
    }

    #[track_caller]
    pub fn wait_for_requests(&self, count: usize) {
        let what = format!("{count} requests at the app, whose complaints are {:?}", self.complaints());
        wait_until(what, SOON, || self.count() >= count);
    }

    #[track_caller]
    pub fn wait_for_accepted(&self, count: usize) {
        self.wait_for_accepted_within(count, SOON);
    }

    #[track_caller]
    pub fn wait_for_accepted_within(&self, count: usize, deadline: Duration) {
        let what = format!("{count} messages accepted by the app");
        wait_until(what, deadline, || self.desk.book().accepted.len() >= count);
    }
}

/// An app that does not run yet.
pub struct Plan {
    address: Address,
    desk: Desk,
}

impl Plan {
    fn new(script: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Plan {
        let script: Arc<Script> = Arc::new(script);
        let desk = Desk { script: Mutex::new(script), book: Mutex::default(), log: None, forgets: false };
        Plan { address: Address::Port(0), desk }
    }

    /// Speaks TLS, as the server that this certificate makes it.
    pub fn with_certificate(mut self, certificate: Certificate) -> Plan {
        self.address = Address::Tls(0, certificate.into());
        self
    }

    pub fn on_socket(mut self, path: impl AsRef<Path>) -> Plan {
        self.address = Address::Socket(path.as_ref().to_owned());
        self
    }

    /// Writes each delivery to this file, safe on disk before the answer; see [`read_log`](super::delivery::read_log).
    pub fn logging_to(mut self, path: impl AsRef<Path>) -> Plan {
        self.desk.log = Some(File::options().create(true).append(true).open(path).unwrap());
        self
    }

    /// Keeps the deliveries, not the requests themselves: for many mails, or large ones.
    pub fn forgetting(mut self) -> Plan {
        self.desk.forgets = true;
        self
    }

    pub fn start(self) -> App {
        let mut app = App { address: self.address, desk: Arc::new(self.desk), server: None };
        app.restart();
        app.address = app.server.as_ref().expect("it was just started").address().clone();
        app
    }
}

/// Where requests are answered, through all restarts.
struct Desk {
    script: Mutex<Arc<Script>>,
    book: Mutex<Book>,
    log: Option<File>,
    forgets: bool,
}

#[derive(Default)]
struct Book {
    deliveries: Vec<Delivery>,
    requests: Vec<Request>,
    accepted: BTreeSet<String>,
    complaints: Vec<String>,
    in_hand: BTreeMap<String, usize>,
    most_at_once: usize,
    overlaps: BTreeSet<String>,
}

impl Desk {
    fn serve(&self, connection: &Connection) {
        let mut input = BufReader::new(&*connection.stream);
        loop {
            match Request::read(&mut input) {
                Ok(Some(request)) => match self.answer(request, connection) {
                    Ok(true) => {}
                    Ok(false) | Err(_) => return,
                },
                Ok(None) => return,
                Err(error) => return self.complain(&error, connection),
            }
        }
    }

    fn answer(&self, request: Request, connection: &Connection) -> io::Result<bool> {
        let script = self.script.lock().unwrap().clone();
        let answer = script(&request);
        let delivery = Delivery::new(&request, answer.status, connection.number);
        self.book().take_in_hand(&delivery.id);
        let _done = Handed { desk: self, id: delivery.id.clone() };
        self.record(delivery, request)?;
        if !hold(&answer, &connection.stopping) {
            return Ok(false);
        }
        answer.write(&*connection.stream)
    }

    fn record(&self, delivery: Delivery, request: Request) -> io::Result<()> {
        if let Some(mut log) = self.log.as_ref() {
            // One write for the whole line: appends of several threads do not mix.
            log.write_all(format!("{}\n", delivery.to_json()).as_bytes())?;
            log.sync_data()?;
        }
        let mut book = self.book();
        if delivery.is_accepted() {
            book.accepted.insert(delivery.id.clone());
        }
        book.deliveries.push(delivery);
        if !self.forgets {
            book.requests.push(request);
        }
        Ok(())
    }

    /// A client that was killed in mid-sentence has done nothing wrong.
    fn complain(&self, error: &io::Error, connection: &Connection) {
        if error.kind() == io::ErrorKind::InvalidData {
            self.book().complaints.push(error.to_string());
            let _ = Answer::status(400).closing().write(&*connection.stream);
        }
    }

    fn book(&self) -> MutexGuard<'_, Book> {
        self.book.lock().unwrap()
    }
}

impl Book {
    fn take_in_hand(&mut self, id: &str) {
        let same = self.in_hand.entry(id.to_owned()).or_default();
        *same += 1;
        if *same > 1 {
            self.overlaps.insert(id.to_owned());
        }
        self.most_at_once = self.most_at_once.max(self.in_hand.values().sum());
    }

    fn put_down(&mut self, id: &str) {
        if let Some(same) = self.in_hand.get_mut(id) {
            *same -= 1;
        }
        self.in_hand.retain(|_, requests| *requests > 0);
    }
}

/// A request that waits for its answer.
struct Handed<'a> {
    desk: &'a Desk,
    id: String,
}

impl Drop for Handed<'_> {
    fn drop(&mut self) {
        self.desk.book().put_down(&self.id);
    }
}

/// Makes the client wait as the answer says; false if the server ended meanwhile.
fn hold(answer: &Answer, stopping: &Gate) -> bool {
    const GLANCE: Duration = Duration::from_millis(5);
    if let Some(gate) = &answer.gate {
        while !gate.opens_within(GLANCE) {
            if stopping.is_open() {
                return false;
            }
        }
    }
    !stopping.opens_within(answer.delay)
}
