//! A little name server: a zone that tests change while it serves, over UDP and TCP on one port.

use std::collections::BTreeMap;
use std::io::{Read, Write};
use std::net::{Ipv4Addr, Ipv6Addr, TcpListener, TcpStream, UdpSocket};
use std::sync::{Arc, Mutex};
use std::time::Duration;

pub const A: u16 = 1;
pub const CNAME: u16 = 5;
pub const AAAA: u16 = 28;
pub const SRV: u16 = 33;

/// How the server behaves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Mode {
    /// By the zone; a name that it lacks does not exist.
    Zone,
    /// This code for everything.
    Code(u8),
    Silent,
    /// Over UDP only the head of an answer, marked as cut.
    Cut,
    /// Answers under another id, and from another port.
    Forged,
}

struct State {
    zone: BTreeMap<(String, u16), Vec<String>>,
    mode: Mode,
    asked: Vec<(String, u16)>,
    over_tcp: usize,
}

pub struct Dns {
    pub port: u16,
    state: Arc<Mutex<State>>,
}

impl Dns {
    pub fn start() -> Dns {
        let (udp, tcp) = sockets();
        let port = udp.local_addr().expect("its address").port();
        let state = State { zone: BTreeMap::new(), mode: Mode::Zone, asked: Vec::new(), over_tcp: 0 };
        let state = Arc::new(Mutex::new(state));
        let (for_udp, for_tcp) = (state.clone(), state.clone());
        std::thread::spawn(move || serve_udp(&udp, &for_udp));
        std::thread::spawn(move || {
            for stream in tcp.incoming().flatten() {
                let state = for_tcp.clone();
                std::thread::spawn(move || serve_tcp(stream, &state));
            }
        });
        Dns { port, state }
    }

    /// Records of a name: addresses, a name for CNAME, `weight port target` for SRV. None takes the type away; the name
    /// itself stays.
    pub fn set(&self, name: &str, kind: u16, values: &[&str]) {
        let values = values.iter().map(|v| (*v).to_owned()).collect();
        self.state.lock().expect("state").zone.insert((name.to_owned(), kind), values);
    }

    pub fn mode(&self, mode: Mode) {
        self.state.lock().expect("state").mode = mode;
    }

    /// How often a name was asked for.
    pub fn asked(&self, name: &str, kind: u16) -> usize {
        self.state.lock().expect("state").asked.iter().filter(|(n, k)| n == name && *k == kind).count()
    }

    pub fn over_tcp(&self) -> usize {
        self.state.lock().expect("state").over_tcp
    }
}

/// Both kinds of socket on one port.
fn sockets() -> (UdpSocket, TcpListener) {
    for _ in 0..100 {
        let udp = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a UDP socket");
        let port = udp.local_addr().expect("its address").port();
        if let Ok(tcp) = TcpListener::bind((Ipv4Addr::LOCALHOST, port)) {
            return (udp, tcp);
        }
    }
    panic!("no port that is free for UDP and TCP");
}

fn serve_udp(socket: &UdpSocket, state: &Mutex<State>) {
    let mut buffer = [0; 4096];
    while let Ok((length, from)) = socket.recv_from(&mut buffer) {
        let question = &buffer[..length];
        let mode = state.lock().expect("state").mode;
        let Some(mut answer) = answer(question, state) else { continue };
        match mode {
            Mode::Silent => continue,
            Mode::Cut => {
                answer.truncate(question.len().min(answer.len()));
                answer[2] |= 0x02;
                answer[6..12].fill(0);
            }
            Mode::Forged => {
                let stranger = UdpSocket::bind((Ipv4Addr::LOCALHOST, 0)).expect("a UDP socket");
                let _ = stranger.send_to(&answer, from);
                answer[0] ^= 0xff;
            }
            Mode::Zone | Mode::Code(_) => {}
        }
        let _ = socket.send_to(&answer, from);
    }
}

fn serve_tcp(mut stream: TcpStream, state: &Mutex<State>) {
    let _ = stream.set_read_timeout(Some(Duration::from_secs(10)));
    let mut length = [0; 2];
    while stream.read_exact(&mut length).is_ok() {
        let mut question = vec![0; u16::from_be_bytes(length).into()];
        if stream.read_exact(&mut question).is_err() {
            return;
        }
        state.lock().expect("state").over_tcp += 1;
        let Some(answer) = answer(&question, state) else { return };
        let framed = [&(answer.len() as u16).to_be_bytes()[..], &answer].concat();
        // In two pieces: a reader must put them together.
        let (first, second) = framed.split_at(framed.len() / 2);
        if stream.write_all(first).and_then(|()| stream.write_all(second)).is_err() {
            return;
        }
    }
}

fn answer(question: &[u8], state: &Mutex<State>) -> Option<Vec<u8>> {
    let (mut at, mut labels) = (12, Vec::new());
    while *question.get(at)? != 0 {
        let end = at + 1 + usize::from(question[at]);
        labels.push(String::from_utf8_lossy(question.get(at + 1..end)?).to_lowercase());
        at = end;
    }
    let name = labels.join(".");
    let kind = u16::from_be_bytes([*question.get(at + 1)?, *question.get(at + 2)?]);
    let mut state = state.lock().expect("state");
    state.asked.push((name.clone(), kind));
    let (mut answers, mut additional, mut owner) = (Vec::new(), Vec::new(), name.clone());
    let mut code = 0;
    if let Mode::Code(fixed) = state.mode {
        code = fixed;
    } else if !state.zone.keys().any(|(n, _)| *n == name) {
        code = 3;
    } else {
        while let Some(target) = state.zone.get(&(owner.clone(), CNAME)).and_then(|v| v.first()) {
            answers.push(record(&owner, CNAME, &wire(target)));
            owner = target.clone();
        }
        for value in state.zone.get(&(owner.clone(), kind)).into_iter().flatten() {
            answers.push(record(&owner, kind, &data(kind, value)));
            let target = value.rsplit(' ').next().unwrap_or_default();
            if kind == SRV {
                let known = state.zone.get(&(target.to_owned(), A)).into_iter().flatten();
                additional.extend(known.map(|ip| record(target, A, &data(A, ip))));
            }
        }
    }
    let mut out = question[..2].to_vec();
    out.extend([0x84, code, 0, 1, 0, answers.len() as u8, 0, 0, 0, additional.len() as u8]);
    out.extend_from_slice(&question[12..at + 5]);
    answers.into_iter().chain(additional).for_each(|r| out.extend(r));
    Some(out)
}

fn wire(name: &str) -> Vec<u8> {
    name.split('.').flat_map(|l| [&[l.len() as u8], l.as_bytes()].concat()).chain([0]).collect()
}

fn data(kind: u16, value: &str) -> Vec<u8> {
    match kind {
        A => value.parse::<Ipv4Addr>().expect("an address").octets().to_vec(),
        AAAA => value.parse::<Ipv6Addr>().expect("an address").octets().to_vec(),
        _ => {
            let mut words = value.split(' ');
            let mut number = || words.next().and_then(|w| w.parse::<u16>().ok()).expect("weight and port");
            let (weight, port) = (number(), number());
            [&[0, 1], &weight.to_be_bytes()[..], &port.to_be_bytes(), &wire(words.next().expect("a target"))].concat()
        }
    }
}

fn record(name: &str, kind: u16, data: &[u8]) -> Vec<u8> {
    let head = [&kind.to_be_bytes()[..], &[0, 1, 0, 0, 0, 1], &(data.len() as u16).to_be_bytes()].concat();
    [&wire(name)[..], &head, data].concat()
}
