//! Log sinks: a UNIX or UDP datagram socket whose lines a test waits for.

use super::BOUND;
use std::net::UdpSocket;
use std::os::unix::net::UnixDatagram;
use std::time::{Duration, Instant};

enum Sink {
    Unix(UnixDatagram),
    Udp(UdpSocket),
}

pub struct Syslog {
    sink: Sink,
    /// What `log` takes: a path, or an address with a port.
    pub address: String,
}

impl Syslog {
    pub fn unix(path: &str) -> Syslog {
        let socket = UnixDatagram::bind(path).expect("a UNIX datagram socket");
        Syslog { sink: Sink::Unix(socket), address: path.to_string() }
    }

    pub fn udp() -> Syslog {
        let socket = UdpSocket::bind("127.0.0.1:0").expect("a UDP socket");
        let address = socket.local_addr().expect("its address").to_string();
        Syslog { sink: Sink::Udp(socket), address }
    }

    /// The next datagram, or None when none comes in time.
    pub fn next(&self, within: Duration) -> Option<String> {
        let mut buffer = [0; 65536];
        let within = within.max(Duration::from_millis(1));
        let received = match &self.sink {
            Sink::Unix(socket) => {
                socket.set_read_timeout(Some(within)).expect("a read timeout");
                socket.recv(&mut buffer)
            }
            Sink::Udp(socket) => {
                socket.set_read_timeout(Some(within)).expect("a read timeout");
                socket.recv(&mut buffer)
            }
        };
        received.ok().map(|length| String::from_utf8_lossy(&buffer[..length]).into_owned())
    }

    /// The next line, which must come.
    pub fn line(&self) -> String {
        self.next(BOUND).expect("a log line in time")
    }

    /// Waits for a line that contains all these words; lines before it are dropped.
    pub fn line_with(&self, words: &[&str]) -> String {
        let end = Instant::now() + BOUND;
        let mut seen = Vec::new();
        while let Some(line) = self.next(end.saturating_duration_since(Instant::now())) {
            if words.iter().all(|word| line.contains(word)) {
                return line;
            }
            seen.push(line);
            if Instant::now() >= end {
                break;
            }
        }
        panic!("no log line with {words:?}, but {seen:#?}");
    }
}
