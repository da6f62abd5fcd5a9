//! One accept loop for every server of the tests, a thread for each connection.

use std::io::{self, Read, Write};
use std::net::{Shutdown, TcpListener, TcpStream};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, Weak};
use std::thread::{self, JoinHandle};
use std::{fs, mem};

use rustls::{ServerConfig, ServerConnection, StreamOwned};

use super::wait::{Gate, SOON, wait_for};

/// Where a server can be reached, again after a restart.
#[derive(Clone, Debug)]
pub enum Address {
    /// On 127.0.0.1; port 0 lets the kernel choose.
    Port(u16),
    /// The same, with TLS.
    Tls(u16, Arc<ServerConfig>),
    Socket(PathBuf),
}

impl Address {
    pub fn url(&self) -> String {
        match self {
            Address::Port(port) => format!("http://127.0.0.1:{port}/mail"),
            Address::Tls(port, _) => format!("https://127.0.0.1:{port}/mail"),
            Address::Socket(path) => format!("unix:{}", path.display()),
        }
    }
}

/// Accepts until it is dropped, which also ends every connection.
pub struct Server {
    address: Address,
    shared: Arc<Shared>,
    acceptor: Option<JoinHandle<()>>,
}

#[derive(Default)]
struct Shared {
    stopping: Gate,
    accepted: AtomicUsize,
    streams: Mutex<Vec<Weak<Stream>>>,
}

/// One client, for as long as the handler keeps this.
pub struct Connection {
    pub number: usize,
    pub stream: Arc<Stream>,
    /// Opens when the server ends.
    pub stopping: Gate,
}

impl Server {
    /// Each connection is handled in a thread of its own, and closed when `handle` returns.
    pub fn start(at: &Address, handle: impl Fn(Connection) + Send + Sync + 'static) -> Server {
        let listener = wait_for(format!("listening at {at:?}"), SOON, || Listener::bind(at).ok());
        let address = listener.address();
        let shared = Arc::new(Shared::default());
        let acceptor = thread::spawn({
            let shared = shared.clone();
            move || shared.accept_all(&listener, &Arc::new(handle))
        });
        Server { address, shared, acceptor: Some(acceptor) }
    }

    pub fn address(&self) -> &Address {
        &self.address
    }

    pub fn connections(&self) -> usize {
        self.shared.accepted.load(Ordering::Relaxed)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.shared.stopping.open();
        // A blocked accept() notices nothing but a connection.
        let _ = Stream::connect(&self.address);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

impl Shared {
    fn accept_all<H>(&self, listener: &Listener, handle: &Arc<H>)
    where
        H: Fn(Connection) + Send + Sync + 'static,
    {
        let mut handlers: Vec<JoinHandle<()>> = Vec::new();
        loop {
            let stream = listener.accept();
            if self.stopping.is_open() {
                break;
            }
            // A client that is gone before it was accepted is no reason to stop.
            let Ok(stream) = stream else { continue };
            let connection = self.admit(stream);
            let handle = handle.clone();
            handlers.retain(|handler| !handler.is_finished());
            handlers.push(thread::spawn(move || handle(connection)));
        }
        self.hang_up();
        for handler in handlers {
            let _ = handler.join();
        }
    }

    fn admit(&self, stream: Stream) -> Connection {
        let stream = Arc::new(stream);
        let mut streams = self.streams.lock().unwrap();
        streams.retain(|known| known.strong_count() > 0);
        streams.push(Arc::downgrade(&stream));
        let number = self.accepted.fetch_add(1, Ordering::Relaxed);
        Connection { number, stream, stopping: self.stopping.clone() }
    }

    fn hang_up(&self) {
        for stream in mem::take(&mut *self.streams.lock().unwrap()) {
            if let Some(stream) = stream.upgrade() {
                stream.shutdown();
            }
        }
    }
}

enum Listener {
    Tcp(TcpListener),
    Tls(TcpListener, Arc<ServerConfig>),
    Unix(UnixListener, PathBuf),
}

impl Listener {
    fn bind(at: &Address) -> io::Result<Listener> {
        match at {
            Address::Port(port) => TcpListener::bind(("127.0.0.1", *port)).map(Listener::Tcp),
            Address::Tls(port, tls) => {
                TcpListener::bind(("127.0.0.1", *port)).map(|listener| Listener::Tls(listener, tls.clone()))
            }
            Address::Socket(path) => UnixListener::bind(path).map(|listener| Listener::Unix(listener, path.clone())),
        }
    }

    fn address(&self) -> Address {
        match self {
            Listener::Tcp(listener) => Address::Port(listener.local_addr().unwrap().port()),
            Listener::Tls(listener, tls) => Address::Tls(listener.local_addr().unwrap().port(), tls.clone()),
            Listener::Unix(_, path) => Address::Socket(path.clone()),
        }
    }

    fn accept(&self) -> io::Result<Stream> {
        match self {
            Listener::Tcp(listener) => accept_tcp(listener).map(Stream::Tcp),
            Listener::Tls(listener, tls) => {
                let socket = accept_tcp(listener)?;
                let session = ServerConnection::new(tls.clone()).expect("the certificate is in order");
                let session = StreamOwned::new(session, socket.try_clone()?);
                Ok(Stream::Tls(Box::new(Mutex::new(session)), socket))
            }
            Listener::Unix(listener, _) => listener.accept().map(|(stream, _)| Stream::Unix(stream)),
        }
    }
}

fn accept_tcp(listener: &TcpListener) -> io::Result<TcpStream> {
    let (stream, _) = listener.accept()?;
    stream.set_nodelay(true)?;
    Ok(stream)
}

impl Drop for Listener {
    fn drop(&mut self) {
        if let Listener::Unix(_, path) = self {
            let _ = fs::remove_file(path);
        }
    }
}

pub enum Stream {
    Tcp(TcpStream),
    /// The session belongs to its one handler; the bare socket is there to end it from outside.
    Tls(Box<Mutex<StreamOwned<ServerConnection, TcpStream>>>, TcpStream),
    Unix(UnixStream),
}

impl Stream {
    fn connect(to: &Address) -> io::Result<Stream> {
        match to {
            Address::Port(port) | Address::Tls(port, _) => TcpStream::connect(("127.0.0.1", *port)).map(Stream::Tcp),
            Address::Socket(path) => UnixStream::connect(path).map(Stream::Unix),
        }
    }

    /// Waits for a byte and leaves it where it is; false at the end of the stream.
    pub fn has_more(&self) -> io::Result<bool> {
        match self {
            Stream::Tcp(stream) => stream.peek(&mut [0]).map(|count| count > 0),
            Stream::Tls(..) | Stream::Unix(_) => Err(io::ErrorKind::Unsupported.into()),
        }
    }

    fn shutdown(&self) {
        let _ = match self {
            Stream::Tcp(stream) | Stream::Tls(_, stream) => stream.shutdown(Shutdown::Both),
            Stream::Unix(stream) => stream.shutdown(Shutdown::Both),
        };
    }
}

impl Read for &Stream {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&mut &*stream).read(into),
            Stream::Tls(session, _) => session.lock().unwrap().read(into),
            Stream::Unix(stream) => (&mut &*stream).read(into),
        }
    }
}

impl Write for &Stream {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        match self {
            Stream::Tcp(stream) => (&mut &*stream).write(bytes),
            Stream::Tls(session, _) => session.lock().unwrap().write(bytes),
            Stream::Unix(stream) => (&mut &*stream).write(bytes),
        }
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
