//! Clients: each asks again and again until told to stop, and compares every byte that it gets.

use crate::book::{Book, Outcome};
use crate::common::http::{head_length, header_values, status};
use crate::common::{BOUND, h2, pattern, tls};
use crate::slow;
use ringway::engine::driver::sim::random::Random;
use std::io::{ErrorKind, Read, Write};
use std::net::{Shutdown, TcpStream};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, LazyLock, Mutex};
use std::time::Duration;

#[derive(Clone, Copy, Debug)]
pub enum Kind {
    /// HTTP/1.1, up to 40 requests a connection.
    Keep,
    /// HTTP/1.1, a connection each.
    Short,
    /// HTTP/1.1 in pieces with pauses, the head perhaps byte by byte; read slowly out of a small window.
    Slow,
    /// Leaves in the middle, perhaps with a reset.
    Rude,
    /// Begins something and stays, until the proxy has had enough.
    Stalling,
    Tls,
    H2,
    H2OverTls,
    Tcp,
}

pub const ALL: [Kind; 17] = [
    Kind::Keep,
    Kind::Keep,
    Kind::Keep,
    Kind::Short,
    Kind::Short,
    Kind::Slow,
    Kind::Slow,
    Kind::Rude,
    Kind::Rude,
    Kind::Stalling,
    Kind::Stalling,
    Kind::Tls,
    Kind::H2,
    Kind::H2,
    Kind::H2OverTls,
    Kind::Tcp,
    Kind::Tcp,
];

/// Those who have a right to a whole answer.
pub const CALM: [Kind; 7] = [Kind::Keep, Kind::Short, Kind::Slow, Kind::Tls, Kind::H2, Kind::H2OverTls, Kind::Tcp];

/// Where the proxy listens, and what else clients need.
pub struct Place {
    pub http: u16,
    pub h2: u16,
    pub tls: u16,
    pub tcp: u16,
    /// Where those go who break off: plain and TLS.
    pub rude: [u16; 2],
    pub kinds: &'static [Kind],
    /// The process is told to reload: a connection that has had an answer may end where the next one would begin.
    pub reloads: bool,
    /// Without and with HTTP/2 in ALPN.
    pub settings: [Arc<rustls::ClientConfig>; 2],
    pub book: Book,
    pub stop: AtomicBool,
}

impl Place {
    /// `ports`: HTTP/1.1, HTTP/2, TLS and TCP.
    pub fn new(ports: [u16; 4], kinds: &'static [Kind], reloads: bool, authority: &tls::Authority) -> Place {
        let [http, h2, tls, tcp] = ports;
        let settings = [authority.client().build(), authority.client().alpn(&["h2"]).build()];
        let (book, stop) = (Book::default(), AtomicBool::new(false));
        Place { http, h2, tls, tcp, rude: [0; 2], kinds, reloads, settings, book, stop }
    }

    fn ends(&self) -> bool {
        self.stop.load(Ordering::Relaxed)
    }
}

pub struct Ask {
    id: u64,
    class: char,
    method: &'static str,
    pub size: usize,
    body: Vec<u8>,
}

impl Ask {
    pub fn random(book: &Book, random: &mut Random) -> Ask {
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

    pub fn encode(&self) -> Vec<u8> {
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
        for (index, kind) in place.kinds.iter().copied().enumerate() {
            let mut random = Random::new(seed + index as u64);
            scope.spawn(move || {
                while !place.ends() {
                    client(kind, place, &mut random);
                    pause(random.between(1, 8));
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

/// Between a client's connections, and between the requests of one.
fn pause(ms: u64) {
    static TIMES: LazyLock<u64> =
        LazyLock::new(|| std::env::var("RINGWAY_CHAOS_PAUSE").map_or(1, |v| v.parse().expect("a number")));
    std::thread::sleep(Duration::from_millis(ms * *TIMES));
}

fn client(kind: Kind, place: &Place, random: &mut Random) {
    let met = match kind {
        Kind::Rude | Kind::Stalling => None,
        Kind::Tcp => Some(&place.book.tcp_sessions),
        _ => Some(&place.book.connections),
    };
    if let Some(count) = met {
        count.fetch_add(1, Ordering::Relaxed);
    }
    match kind {
        Kind::Keep => requests(&mut dial(place.http), kind, place, random, 40),
        Kind::Short => requests(&mut dial(place.http), kind, place, random, 1),
        Kind::Slow => requests(&mut slow::dial_with_a_small_window(place.http), kind, place, random, 1),
        Kind::Rude => slow::leave(&mut dial(place.rude[0]), place, random),
        Kind::Stalling => slow::stall(place, random),
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

pub fn dial(port: u16) -> TcpStream {
    patient(TcpStream::connect(("127.0.0.1", port)).expect("the proxy takes connections"))
}

pub fn patient(stream: TcpStream) -> TcpStream {
    stream.set_nodelay(true).expect("nodelay");
    stream.set_read_timeout(Some(BOUND)).expect("a read timeout");
    stream.set_write_timeout(Some(BOUND)).expect("a write timeout");
    stream
}

fn requests<S: Read + Write>(stream: &mut S, kind: Kind, place: &Place, random: &mut Random, count: usize) {
    let mut buffer = Vec::new();
    for nth in 0..count {
        let ask = Ask::random(&place.book, random);
        let slow = matches!(kind, Kind::Slow);
        let mut out = &ask.encode()[..];
        if slow && random.chance(300) {
            let head;
            (head, out) = out.split_at(out.len() - ask.body.len());
            let _ = slow::trickle(stream, head);
        }
        for piece in out.chunks(if slow { out.len() / 4 + 1 } else { out.len().max(1) }) {
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
        match outcome {
            Outcome::Nothing if place.reloads && nth > 0 => place.book.note_farewell(ask.id),
            outcome => note(place, kind, &ask, outcome),
        }
        if !right || !goes_on || place.ends() {
            return;
        }
        pause(random.below(8));
    }
}

fn note(place: &Place, kind: Kind, ask: &Ask, outcome: Outcome) {
    place.book.requests.fetch_add(1, Ordering::Relaxed);
    place.book.note(ask.id, &format!("{kind:?} {} {}", ask.method, ask.class), outcome);
}

/// Reads an answer; whether the connection goes on after it.
fn answer<S: Read>(stream: &mut S, buffer: &mut Vec<u8>, ask: &Ask, slow: bool) -> (Outcome, bool) {
    let mut piece = [0; 32768];
    let most = if slow { 4096 } else { piece.len() };
    let mut late = false;
    let mut more = |buffer: &mut Vec<u8>| {
        if slow {
            std::thread::sleep(Duration::from_millis(2));
        }
        match stream.read(&mut piece[..most]) {
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

/// A few rounds of concurrent streams on one HTTP/2 connection.
fn streams<S: Read + Write>(client: &mut h2::H2Client<S>, kind: Kind, place: &Place, random: &mut Random) {
    for _ in 0..10 {
        let mut sent = Vec::new();
        let mut refuses = false;
        for _ in 0..random.between(1, 5) {
            let ask = Ask::random(&place.book, random);
            let length = ask.body.len().to_string();
            let fields: &[(&str, &str)] =
                if ask.method == "POST" { &[("content-length", length.as_str())] } else { &[] };
            let Some(id) = client.try_send(&h2::request(ask.method, &ask.path(), fields), &ask.body) else {
                // It was told that the connection ends.
                refuses = true;
                break;
            };
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
            match outcome {
                Outcome::Nothing if place.reloads && client.ended.is_some() => place.book.note_farewell(ask.id),
                outcome => note(place, kind, &ask, outcome),
            }
        }
        if refuses || client.ended.is_some() || place.ends() {
            return;
        }
        pause(random.below(8));
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
    let book = &place.book;
    book.tcp_bytes_least.fetch_add(received.len() as u64, Ordering::Relaxed);
    book.tcp_bytes_most.fetch_add(data.len() as u64, Ordering::Relaxed);
    if received == data {
        book.note(id, "Tcp", Outcome::Right);
    } else if data.starts_with(&received) {
        place.book.tcp_cut.fetch_add(1, Ordering::Relaxed);
    } else {
        place.book.wrong(format!("TCP session {id} brought other bytes"));
    }
}
