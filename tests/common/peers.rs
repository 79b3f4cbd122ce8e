//! A peer played by a test: it says hello, tells what it is given and hears what it is told.

use super::BOUND;
use ringway::proto::peers::definition::Definition;
use ringway::proto::peers::dictionary::{Received, Sent};
use ringway::proto::peers::entry::{self, Update, Value};
use ringway::proto::peers::handshake::{Hello, Status};
use ringway::proto::peers::message::{self, Control, Kind, Message};
use std::collections::HashMap;
use std::io::{ErrorKind, Read, Write};
use std::net::TcpStream;
use std::time::{Duration, Instant};

pub struct Peer {
    stream: TcpStream,
    input: Vec<u8>,
    output: Vec<u8>,
    definition: Option<Definition>,
    heard: HashMap<u64, Definition>,
    current: Option<u64>,
    last: HashMap<u64, u32>,
    words: Received,
    alive_at: Instant,
}

/// An update that was heard.
#[derive(Debug, Clone)]
pub struct Told {
    pub table: u64,
    pub number: u32,
    pub left_ms: Option<u32>,
    pub key: Vec<u8>,
}

impl Peer {
    /// Connects and says hello; the error is the status that it is refused with.
    pub fn connect(port: u16, to: &str, from: &str) -> Result<Peer, Status> {
        let mut stream = TcpStream::connect(("127.0.0.1", port)).expect("it listens");
        stream.set_read_timeout(Some(BOUND)).expect("a read timeout");
        let mut bytes = Vec::new();
        Hello { to: to.into(), from: from.into(), pid: 1 }.write(&mut bytes);
        stream.write_all(&bytes).expect("a hello");
        let mut input = Vec::new();
        let (status, used) = loop {
            if let Some(read) = Status::read(&input).expect("a status") {
                break read;
            }
            let mut piece = [0; 512];
            let n = stream.read(&mut piece).expect("a status");
            assert!(n > 0, "closed without a status");
            input.extend_from_slice(&piece[..n]);
        };
        if status != Status::Succeeded {
            return Err(status);
        }
        input.drain(..used);
        Ok(Peer {
            stream,
            input,
            output: Vec::new(),
            definition: None,
            heard: HashMap::new(),
            current: None,
            last: HashMap::new(),
            words: Received::default(),
            alive_at: Instant::now(),
        })
    }

    pub fn define(&mut self, definition: &Definition) {
        let mut data = Vec::new();
        definition.write(&mut data);
        message::definition(&data, &mut self.output);
        self.definition = Some(definition.clone());
    }

    /// An entry of the table defined last: a number for each value, three for a rate.
    pub fn tell(&mut self, number: u32, left_ms: Option<u32>, key: &[u8], numbers: &[u64]) {
        let key_type = self.definition.as_ref().expect("a definition").key;
        let mut data = Vec::new();
        entry::write_head(key_type, &Update { number: Some(number), left_ms, key }, &mut data);
        for n in numbers {
            entry::write_value(Value::Number(*n), &mut Sent::default(), &mut data);
        }
        message::update(Kind { incremental: false, timed: left_ms.is_some() }, &data, &mut self.output);
    }

    pub fn ack(&mut self, table: u64, number: u32) {
        message::ack(table, number, &mut self.output);
        self.flush();
    }

    pub fn control(&mut self, control: Control) {
        message::control(control, &mut self.output);
    }

    pub fn raw(&mut self, bytes: &[u8]) {
        self.output.extend_from_slice(bytes);
    }

    /// Sends what was prepared. A connection that was closed meanwhile is no failure: see [`Peer::is_closed`].
    pub fn flush(&mut self) {
        let _ = self.stream.write_all(&self.output);
        self.output.clear();
    }

    /// Gives a sign of life now and then, and takes what has come.
    pub fn keep_alive(&mut self) {
        if self.alive_at.elapsed() > Duration::from_secs(1) {
            self.alive_at = Instant::now();
            self.control(Control::Heartbeat);
            self.flush();
        }
        self.stream.set_nonblocking(true).expect("no blocking");
        let mut piece = [0; 65536];
        while let Ok(1..) = self.stream.read(&mut piece) {}
        self.stream.set_nonblocking(false).expect("blocking");
    }

    pub fn is_closed(&mut self) -> bool {
        self.stream.set_nonblocking(true).expect("no blocking");
        let mut piece = [0; 4096];
        let closed = loop {
            match self.stream.read(&mut piece) {
                Ok(0) => break true,
                Ok(_) => {}
                Err(e) => break e.kind() != ErrorKind::WouldBlock,
            }
        };
        self.stream.set_nonblocking(false).expect("blocking");
        closed
    }

    /// The next updates that are told.
    pub fn updates(&mut self, count: usize) -> Vec<Told> {
        let mut list = Vec::new();
        let end = Instant::now() + BOUND;
        while list.len() < count {
            assert!(Instant::now() < end, "only {} updates: {list:?}", list.len());
            while let Some((message, used)) = Message::read(&self.input).expect("a message") {
                match message {
                    Message::Definition(data) => {
                        let definition = Definition::read(data).expect("a definition");
                        self.current = Some(definition.id);
                        self.heard.insert(definition.id, definition);
                    }
                    Message::Update(kind, data) => {
                        let id = self.current.expect("a definition before the updates");
                        let update = entry::read(&self.heard[&id], kind, data, &mut self.words, |_, _, _| {});
                        let update = update.expect("an update");
                        let before = self.last.get(&id).copied().unwrap_or(0);
                        let number = update.number.unwrap_or(before + 1);
                        self.last.insert(id, number);
                        list.push(Told { table: id, number, left_ms: update.left_ms, key: update.key.to_vec() });
                    }
                    _ => {}
                }
                self.input.drain(..used);
                if list.len() == count {
                    return list;
                }
            }
            let mut piece = [0; 4096];
            let n = self.stream.read(&mut piece).expect("more");
            assert!(n > 0, "closed after {list:?}");
            self.input.extend_from_slice(&piece[..n]);
        }
        list
    }
}
