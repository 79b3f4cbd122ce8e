//! Origins that speak TLS, with another implementation's state machine: rustls's buffered one. What the proxy says of
//! itself in each handshake is kept with the requests that come; each is answered with the same bytes.

use super::BOUND;
use super::client::End;
use super::http::{Extent, request_extent};
use super::tls::{Authority, Issued};
use rustls::server::WebPkiClientVerifier;
use rustls::{HandshakeKind, ServerConfig, ServerConnection, StreamOwned, SupportedProtocolVersion};
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpStream};
use std::sync::{Arc, Condvar, Mutex};
use std::time::Instant;

/// What an origin does after an answer.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum After {
    AwaitMore,
    /// Ends with close_notify.
    Close,
    /// Ends without.
    Cut,
}

/// How an origin speaks.
pub struct Settings<'a> {
    pub identity: &'a Issued,
    pub versions: &'a [&'static SupportedProtocolVersion],
    pub alpn: &'a [&'a str],
    /// Who issues clients' certificates; and whether one is required.
    pub clients: Option<(&'a Authority, bool)>,
    /// A line of the PROXY protocol precedes the handshake.
    pub proxy_line: bool,
    pub answer: &'a str,
    pub after: After,
}

impl<'a> Settings<'a> {
    pub fn new(identity: &'a Issued, answer: &'a str) -> Settings<'a> {
        Settings {
            identity,
            versions: rustls::ALL_VERSIONS,
            alpn: &[],
            clients: None,
            proxy_line: false,
            answer,
            after: After::AwaitMore,
        }
    }
}

/// What one connection brought.
#[derive(Clone, Default)]
pub struct Met {
    /// What was agreed on in the handshake, or why nothing was; empty until it is over.
    pub handshake: String,
    /// Bytes in the clear before the handshake.
    pub before: Vec<u8>,
    pub bytes: Vec<u8>,
    /// How the proxy ended it.
    pub end: Option<End>,
}

#[derive(Default)]
struct Shared {
    met: Mutex<Vec<Met>>,
    changed: Condvar,
    stopped: Mutex<bool>,
}

impl Shared {
    fn note(&self, index: usize, change: impl FnOnce(&mut Met)) {
        change(&mut self.met.lock().expect("connections")[index]);
        self.changed.notify_all();
    }
}

pub struct TlsOrigin {
    pub port: u16,
    shared: Arc<Shared>,
    listener: Arc<socket2::Socket>,
    acceptor: Option<std::thread::JoinHandle<()>>,
}

impl TlsOrigin {
    pub fn start(settings: Settings<'_>) -> TlsOrigin {
        let listener = socket2::Socket::new(socket2::Domain::IPV4, socket2::Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from(([127, 0, 0, 1], 0)).into()).expect("an origin's port");
        listener.listen(128).expect("listen");
        let port = listener.local_addr().expect("address").as_socket().expect("internet").port();
        let (listener, shared) = (Arc::new(listener), Arc::new(Shared::default()));
        let config = config(&settings);
        let (proxy_line, answer, after) = (settings.proxy_line, settings.answer.as_bytes().to_vec(), settings.after);
        let (accepting, state) = (listener.clone(), shared.clone());
        let acceptor = std::thread::spawn(move || {
            loop {
                let accepted = accepting.accept();
                if *state.stopped.lock().expect("state") {
                    return;
                }
                let Ok((socket, _)) = accepted else { continue };
                let index = {
                    let mut met = state.met.lock().expect("connections");
                    met.push(Met::default());
                    met.len() - 1
                };
                let connection = Connection { shared: state.clone(), index };
                let (config, answer) = (config.clone(), answer.clone());
                std::thread::spawn(move || connection.serve(socket.into(), config, proxy_line, &answer, after));
            }
        });
        TlsOrigin { port, shared, listener, acceptor: Some(acceptor) }
    }

    /// All connections so far, once the handshake of each is over.
    pub fn met(&self) -> Vec<Met> {
        self.wait_for("the end of handshakes", |met| met.iter().all(|m| !m.handshake.is_empty()))
    }

    /// Waits until the connections satisfy something.
    pub fn wait_for(&self, what: &str, ready: impl Fn(&[Met]) -> bool) -> Vec<Met> {
        let end = Instant::now() + BOUND;
        let mut met = self.shared.met.lock().expect("connections");
        while !ready(&met) {
            let left = end.saturating_duration_since(Instant::now());
            let seen: Vec<_> = met.iter().map(|m| &m.handshake).collect();
            assert!(!left.is_zero(), "the origin waits in vain for {what}; it has met {seen:#?}");
            met = self.shared.changed.wait_timeout(met, left).expect("connections").0;
        }
        met.clone()
    }
}

impl Drop for TlsOrigin {
    fn drop(&mut self) {
        *self.shared.stopped.lock().expect("state") = true;
        let _ = self.listener.shutdown(Shutdown::Both);
        if let Some(acceptor) = self.acceptor.take() {
            let _ = acceptor.join();
        }
    }
}

fn config(settings: &Settings<'_>) -> Arc<ServerConfig> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let builder = ServerConfig::builder_with_provider(provider.clone());
    let builder = builder.with_protocol_versions(settings.versions).expect("versions");
    let builder = match settings.clients {
        None => builder.with_no_client_auth(),
        Some((authority, required)) => {
            let verifier = WebPkiClientVerifier::builder_with_provider(Arc::new(authority.roots()), provider);
            let verifier = if required { verifier } else { verifier.allow_unauthenticated() };
            builder.with_client_cert_verifier(verifier.build().expect("a verifier"))
        }
    };
    let (chain, key) = settings.identity.identity();
    let mut config = builder.with_single_cert(chain, key).expect("an identity");
    config.alpn_protocols = settings.alpn.iter().map(|name| name.as_bytes().to_vec()).collect();
    Arc::new(config)
}

struct Connection {
    shared: Arc<Shared>,
    index: usize,
}

impl Connection {
    fn serve(&self, mut tcp: TcpStream, config: Arc<ServerConfig>, proxy_line: bool, answer: &[u8], after: After) {
        let _ = tcp.set_nodelay(true);
        let _ = tcp.set_read_timeout(Some(BOUND));
        let mut before = Vec::new();
        while proxy_line && !before.ends_with(b"\r\n") {
            let mut byte = [0];
            match tcp.read(&mut byte) {
                Ok(1) => before.push(byte[0]),
                _ => break,
            }
        }
        self.shared.note(self.index, |met| met.before = before);
        let mut connection = ServerConnection::new(config).expect("a connection");
        while connection.is_handshaking() {
            if let Err(error) = connection.complete_io(&mut tcp) {
                // An alert may be left to send.
                let _ = connection.write_tls(&mut tcp);
                let text = match error.kind() {
                    ErrorKind::UnexpectedEof | ErrorKind::ConnectionReset => "cut off".to_owned(),
                    _ => error.to_string(),
                };
                return self.shared.note(self.index, |met| met.handshake = format!("refused: {text}"));
            }
        }
        self.shared.note(self.index, |met| met.handshake = agreed(&connection));
        self.exchange(StreamOwned::new(connection, tcp), answer, after);
    }

    fn exchange(&self, mut stream: StreamOwned<ServerConnection, TcpStream>, answer: &[u8], after: After) {
        let (mut received, mut buffer) = (Vec::new(), vec![0; 65536]);
        let end = loop {
            match stream.read(&mut buffer) {
                Ok(0) => break End::Closed,
                Ok(n) => {
                    received.extend_from_slice(&buffer[..n]);
                    self.shared.note(self.index, |met| met.bytes.extend_from_slice(&buffer[..n]));
                }
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(_) => break End::Reset,
            }
            while let Extent::Complete(length) = request_extent(&received) {
                received.drain(..length);
                let _ = stream.write_all(answer);
                match after {
                    After::AwaitMore => {}
                    After::Close => {
                        stream.conn.send_close_notify();
                        let _ = stream.flush();
                        return;
                    }
                    After::Cut => {
                        let _ = stream.flush();
                        return;
                    }
                }
            }
        };
        self.shared.note(self.index, |met| met.end = Some(end));
    }
}

/// What a server knows of its client after the handshake.
fn agreed(connection: &ServerConnection) -> String {
    let alpn = connection.alpn_protocol().map_or("-".into(), String::from_utf8_lossy);
    let certificate = connection.peer_certificates().map_or("-".to_owned(), |chain| super::tls::subject(&chain[0]));
    format!(
        "{:?} {:?} sni {} alpn {alpn} certificate {certificate}{}",
        connection.protocol_version().expect("a version"),
        connection.negotiated_cipher_suite().expect("a suite").suite(),
        connection.server_name().unwrap_or("-"),
        if connection.handshake_kind() == Some(HandshakeKind::Resumed) { " resumed" } else { "" },
    )
}
