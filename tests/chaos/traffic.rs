//! Clients: each asks again and again until told to stop, and compares every byte that it gets.

use crate::book::{Book, Outcome};
use crate::common::http::{head_length, header_values, status};
use crate::common::{BOUND, h2, pattern, tls};
use ringway::engine::driver::sim::random::Random;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// HTTP/1.1, up to 40 requests a connection.
    Keep,
    /// HTTP/1.1, a connection each.
    Short,
    /// HTTP/1.1 in pieces with pauses, read slowly.
    Slow,
    /// Leaves in the middle, perhaps with a reset.
    Rude,
    Tls,
    H2,
    H2OverTls,
    Tcp,
}

pub const ALL: [Kind; 12] = [
    Kind::Keep,
    Kind::Keep,
    Kind::Keep,
    Kind::Short,
    Kind::Short,
    Kind::Slow,
    Kind::Rude,
    Kind::Tls,
    Kind::H2,
    Kind::H2,
    Kind::H2OverTls,
    Kind::Tcp,
];

/// Where the proxy listens, and what else clients need.
pub struct Place {
    pub http: u16,
    pub h2: u16,
    pub tls: u16,
    pub tcp: u16,
    /// Without and with HTTP/2 in ALPN.
    pub settings: [Arc<rustls::ClientConfig>; 2],
    pub book: Book,
    pub stop: AtomicBool,
}

struct Ask {
    id: u64,
    class: char,
    method: &'static str,
    size: usize,
    body: Vec<u8>,
}

impl Ask {
    fn random(book: &Book, random: &mut Random) -> Ask {
        let id = book.next_id();
        let size = match random.below(10) {
            0..=6 => random.below(3_000),
            7 | 8 => random.below(40_000),
            _ => random.below(300_000),
        };
        let post = random.chance(350);
        let length = if post { *random.pick(&[0, 100, 5_000, 60_000]) } else { 0 };
        Ask {
            id,
            // Half of them may be tried again whatever goes wrong (`r`), as long as they are no POST.
            class: *random.pick(&['n', 'r']),
            method: if post { "POST" } else { "GET" },
            size: size as usize,
            body: pattern(length, id + 1),
        }
    }

    fn path(&self) -> String {
        format!("/{}/{}/{}", self.class, self.id, self.size)
    }

    fn encode(&self) -> Vec<u8> {
        let mut out = format!(
            "{} {} HTTP/1.1\r\nHost: a\r\nContent-Length: {}\r\n\r\n",
            self.method,
            self.path(),
            self.body.len()
        )
        .into_bytes();
        out.extend_from_slice(&self.body);
        out
    }
}

/// Sends clients of all kinds in for a while; returns when the last has left.
pub fn run(place: &Place, seed: u64, meanwhile: impl FnOnce()) {
    place.stop.store(false, Ordering::Relaxed);
    std::thread::scope(|scope| {
        for (index, kind) in ALL.into_iter().enumerate() {
            let mut random = Random::new(seed + index as u64);
            scope.spawn(move || {
                while !place.stop.load(Ordering::Relaxed) {
                    client(kind, place, &mut random);
                    std::thread::sleep(Duration::from_millis(random.between(1, 8)));
                }
            });
        }
        // The clients stop even if what happens meanwhile fails.
        let _stop = Stop(&place.stop);
        meanwhile();
    });
}

/// One client with a few connections, one after the other.
pub fn run_calmly(place: &Place, seed: u64) {
    place.stop.store(false, Ordering::Relaxed);
    let mut random = Random::new(seed);
    for _ in 0..8 {
        client(Kind::Keep, place, &mut random);
    }
}

struct Stop<'a>(&'a AtomicBool);

impl Drop for Stop<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

fn client(kind: Kind, place: &Place, random: &mut Random) {
    match kind {
        Kind::Keep => requests(&mut dial(place.http), kind, place, random, 40),
        Kind::Short | Kind::Slow => requests(&mut dial(place.http), kind, place, random, 1),
        Kind::Rude => rude(&mut dial(place.http), place, random),
        Kind::Tls => match tls::connect(&place.settings[0], place.tls, "localhost") {
            Ok(mut stream) => requests(&mut stream, kind, place, random, 20),
            Err(error) => place.book.wrong(format!("no TLS: {error}")),
        },
        Kind::H2 => streams(&mut h2::H2Client::connect(place.h2), kind, place, random),
        Kind::H2OverTls => match tls::connect(&place.settings[1], place.tls, "localhost") {
            Ok(stream) => streams(&mut h2::H2Client::over(stream, true), kind, place, random),
            Err(error) => place.book.wrong(format!("no TLS: {error}")),
        },
        Kind::Tcp => session(&dial(place.tcp), place, random),
    }
}

fn dial(port: u16) -> TcpStream {
    let stream = TcpStream::connect(("127.0.0.1", port)).expect("the proxy takes connections");
    stream.set_nodelay(true).expect("nodelay");
    stream.set_read_timeout(Some(BOUND)).expect("a read timeout");
    stream.set_write_timeout(Some(BOUND)).expect("a write timeout");
    stream
}

fn requests<S: Read + Write>(stream: &mut S, kind: Kind, place: &Place, random: &mut Random, count: usize) {
    let mut buffer = Vec::new();
    for _ in 0..count {
        let ask = Ask::random(&place.book, random);
        let slow = matches!(kind, Kind::Slow);
        let out = ask.encode();
        for piece in out.chunks(if slow { out.len() / 4 + 1 } else { out.len() }) {
            // An answer may have come before the whole request was taken.
            if stream.write_all(piece).is_err() {
                break;
            }
            if slow {
                std::thread::sleep(Duration::from_millis(random.below(40)));
            }
        }
        let (outcome, goes_on) = answer(stream, &mut buffer, &ask, slow);
        let right = outcome == Outcome::Right;
        place.book.note(ask.id, &format!("{kind:?} {} {}", ask.method, ask.class), outcome);
        if !right || !goes_on || place.stop.load(Ordering::Relaxed) {
            return;
        }
        std::thread::sleep(Duration::from_millis(random.below(8)));
    }
}

/// Reads an answer; whether the connection goes on after it.
fn answer<S: Read>(stream: &mut S, buffer: &mut Vec<u8>, ask: &Ask, slow: bool) -> (Outcome, bool) {
    let mut piece = [0; 32768];
    let mut late = false;
    let mut more = |buffer: &mut Vec<u8>| {
        if slow {
            std::thread::sleep(Duration::from_millis(2));
        }
        match stream.read(&mut piece) {
            Ok(n) if n > 0 => {
                buffer.extend_from_slice(&piece[..n]);
                true
            }
            Err(error) if matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::TimedOut) => {
                late = true;
                false
            }
            _ => false,
        }
    };
    let head = loop {
        if let Some(length) = head_length(buffer) {
            break buffer.drain(..length).collect::<Vec<u8>>();
        }
        if !more(buffer) {
            let outcome = match (late, buffer.is_empty()) {
                (true, _) => Outcome::Wrong("no answer in time".into()),
                (false, true) => Outcome::Nothing,
                (false, false) => Outcome::Wrong("half a head".into()),
            };
            return (outcome, false);
        }
    };
    let one = |name| header_values(&head, name).first().and_then(|v| v.parse::<u64>().ok());
    let status = status(&head).unwrap_or(0);
    let Some(id) = one("x-id") else { return (Outcome::Own(status), false) };
    if (id, status, one("content-length")) != (ask.id, 200, Some(ask.size as u64)) {
        return (Outcome::Wrong(format!("the answer {}", String::from_utf8_lossy(&head))), false);
    }
    while buffer.len() < ask.size && more(buffer) {}
    let body: Vec<u8> = buffer.drain(..buffer.len().min(ask.size)).collect();
    let closes = header_values(&head, "connection").contains(&"close");
    let outcome = match () {
        () if body != pattern(ask.size, ask.id)[..body.len()] => Outcome::Wrong("another body".into()),
        () if body.len() == ask.size => Outcome::Right,
        () if late => Outcome::Wrong("a body that rests".into()),
        () => Outcome::Cut,
    };
    (outcome, !closes)
}

/// Half a request, or an answer not awaited.
fn rude(stream: &mut TcpStream, place: &Place, random: &mut Random) {
    let out = Ask::random(&place.book, random).encode();
    let length = if random.chance(500) { out.len() } else { random.below(out.len() as u64) as usize };
    let _ = stream.write_all(&out[..length]);
    std::thread::sleep(Duration::from_millis(random.below(30)));
    if random.chance(500) {
        let _ = socket2::SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
    }
}

/// A few rounds of concurrent streams on one HTTP/2 connection.
fn streams<S: Read + Write>(client: &mut h2::H2Client<S>, kind: Kind, place: &Place, random: &mut Random) {
    for _ in 0..10 {
        let mut sent = Vec::new();
        for _ in 0..random.between(1, 5) {
            let ask = Ask::random(&place.book, random);
            let length = ask.body.len().to_string();
            let fields: &[(&str, &str)] =
                if ask.method == "POST" { &[("content-length", length.as_str())] } else { &[] };
            let id = client.send(&h2::request(ask.method, &ask.path(), fields), &ask.body);
            sent.push((id, ask));
        }
        for (stream, ask) in sent {
            let answer = client.answer(stream);
            let whole = answer.end.as_deref() == Some("complete");
            let is_own = !answer.text.contains("x-id: ");
            let wrong = || Outcome::Wrong(format!("{:?} {}", answer.end, answer.text));
            let outcome = match () {
                () if answer.end.is_none() => Outcome::Wrong("no answer in time".into()),
                () if answer.status == 0 => Outcome::Nothing,
                () if is_own && whole => Outcome::Own(answer.status),
                () if !answer.text.contains(&format!("x-id: {}\n", ask.id)) || answer.status != 200 => wrong(),
                () if answer.body.len() > ask.size => wrong(),
                () if answer.body != pattern(ask.size, ask.id)[..answer.body.len()] => wrong(),
                () if whole && answer.body.len() == ask.size => Outcome::Right,
                () if whole => wrong(),
                () => Outcome::Cut,
            };
            place.book.note(ask.id, &format!("{kind:?} {} {}", ask.method, ask.class), outcome);
        }
        if client.ended.is_some() || place.stop.load(Ordering::Relaxed) {
            return;
        }
    }
}

/// Bytes to a server that sends them back.
fn session(stream: &TcpStream, place: &Place, random: &mut Random) {
    let id = place.book.next_id();
    let data = pattern(*random.pick(&[100, 20_000, 2_000_000]), id);
    let received = Mutex::new(Vec::with_capacity(data.len()));
    std::thread::scope(|scope| {
        scope.spawn(|| {
            let _ = (&mut &*stream).write_all(&data);
            let _ = stream.shutdown(Shutdown::Write);
        });
        let _ = (&mut &*stream).read_to_end(&mut received.lock().expect("received"));
        let _ = stream.shutdown(Shutdown::Both);
    });
    let received = received.into_inner().expect("received");
    if received == data {
        place.book.note(id, "Tcp", Outcome::Right);
    } else if data.starts_with(&received) {
        place.book.tcp_cut.fetch_add(1, Ordering::Relaxed);
    } else {
        place.book.wrong(format!("TCP session {id} brought other bytes"));
    }
}
