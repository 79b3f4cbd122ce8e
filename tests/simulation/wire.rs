//! HTTP/1.1 as the clients and origins of the simulation speak it: written anew here, so that it does not share the
//! product's mistakes. Strict where the product must be exact.

use ringway::base::buf::Block;
use ringway::engine::Conn;
use ringway::engine::driver::sim::random::Random;
use ringway::engine::task::sleep;
use std::sync::OnceLock;

/// Bodies are cut out of one long run of noise, at a place that depends on their number.
const PLACES: usize = 1 << 16;
const BODY_MAX: usize = 200_000;

fn noise() -> &'static [u8] {
    static NOISE: OnceLock<Vec<u8>> = OnceLock::new();
    NOISE.get_or_init(|| {
        let mut random = Random::new(1);
        (0..(PLACES + BODY_MAX) / 8).flat_map(|_| random.bits().to_le_bytes()).collect()
    })
}

fn of(id: u64, len: usize) -> &'static [u8] {
    let at = (id as usize).wrapping_mul(7919) % PLACES;
    &noise()[at..at + len]
}

pub fn body(id: u64, len: usize) -> Vec<u8> {
    of(id, len).to_vec()
}

/// Whether `got` is the beginning of body `id`.
pub fn is_prefix(id: u64, got: &[u8]) -> bool {
    got.len() <= BODY_MAX && got == of(id, got.len())
}

/// `data` as chunks of random sizes.
pub fn chunked(data: &[u8], random: &mut Random) -> Vec<u8> {
    let mut out = Vec::new();
    let mut rest = data;
    while !rest.is_empty() {
        let n = random.between(1, 5000).min(rest.len() as u64) as usize;
        out.extend_from_slice(format!("{n:x}\r\n").as_bytes());
        out.extend_from_slice(&rest[..n]);
        out.extend_from_slice(b"\r\n");
        rest = &rest[n..];
    }
    out.extend_from_slice(b"0\r\n\r\n");
    out
}

/// Sends bytes in one piece or several, perhaps with pauses. False when the connection broke.
pub async fn send(conn: &Conn, bytes: &[u8], random: &mut Random, slow: bool) -> bool {
    let mut rest = bytes;
    while !rest.is_empty() {
        let n = if slow { random.between(1, rest.len() as u64) as usize } else { rest.len().min(60_000) };
        if conn.send_all(Block::copy_of(&rest[..n])).await.is_err() {
            return false;
        }
        rest = &rest[n..];
        if slow && !rest.is_empty() {
            sleep(conn.rt(), random.below(30)).await;
        }
    }
    true
}

/// Why reading stopped.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stop {
    End,
    Broken,
    /// What came is not HTTP as it must be.
    Bad(&'static str),
}

/// Reads one connection.
pub struct Reader<'a> {
    pub conn: &'a Conn,
    pub buffer: Vec<u8>,
}

#[derive(Debug)]
pub struct Head {
    pub first: String,
    pub fields: Vec<(String, String)>,
}

impl Head {
    pub fn get(&self, name: &str) -> Option<&str> {
        self.fields.iter().find(|f| f.0 == name).map(|f| f.1.as_str())
    }

    pub fn number(&self, name: &str) -> Option<u64> {
        self.get(name)?.parse().ok()
    }

    pub fn says(&self, name: &str, token: &str) -> bool {
        self.get(name).is_some_and(|v| v.split(',').any(|t| t.trim().eq_ignore_ascii_case(token)))
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Framing {
    Nothing,
    Length(usize),
    Chunked,
    UntilClose,
}

impl Reader<'_> {
    pub fn new(conn: &Conn) -> Reader<'_> {
        Reader { conn, buffer: Vec::new() }
    }

    async fn more(&mut self) -> Result<(), Stop> {
        match self.conn.recv().await {
            Ok(Some(lease)) => {
                self.buffer.extend_from_slice(&lease);
                Ok(())
            }
            Ok(None) => Err(Stop::End),
            Err(_) => Err(Stop::Broken),
        }
    }

    pub async fn line(&mut self) -> Result<String, Stop> {
        let mut from = 0;
        loop {
            if let Some(at) = self.buffer[from..].iter().position(|b| *b == b'\n') {
                let line: Vec<u8> = self.buffer.drain(..=from + at).collect();
                let line = line.strip_suffix(b"\r\n").ok_or(Stop::Bad("bare line feed"))?;
                return String::from_utf8(line.to_vec()).map_err(|_| Stop::Bad("not text"));
            }
            from = self.buffer.len();
            self.more().await?;
        }
    }

    pub async fn head(&mut self) -> Result<Head, Stop> {
        let first = self.line().await?;
        let mut fields = Vec::new();
        loop {
            let line = self.line().await?;
            if line.is_empty() {
                return Ok(Head { first, fields });
            }
            let (name, value) = line.split_once(": ").ok_or(Stop::Bad("field line"))?;
            fields.push((name.to_ascii_lowercase(), value.trim().to_owned()));
        }
    }

    async fn exactly(&mut self, n: usize, into: &mut Vec<u8>) -> Result<(), Stop> {
        let mut left = n;
        loop {
            let take = left.min(self.buffer.len());
            into.extend(self.buffer.drain(..take));
            left -= take;
            if left == 0 {
                return Ok(());
            }
            self.more().await?;
        }
    }

    /// Reads a body into `into`, which also holds what came before a stop.
    pub async fn body(&mut self, framing: Framing, into: &mut Vec<u8>) -> Result<(), Stop> {
        match framing {
            Framing::Nothing => Ok(()),
            Framing::Length(n) => self.exactly(n, into).await,
            Framing::Chunked => loop {
                let line = self.line().await?;
                let n = usize::from_str_radix(&line, 16).map_err(|_| Stop::Bad("chunk size"))?;
                if n == 0 {
                    let last = self.line().await?;
                    return if last.is_empty() { Ok(()) } else { Err(Stop::Bad("trailer")) };
                }
                self.exactly(n, into).await?;
                if !self.line().await?.is_empty() {
                    return Err(Stop::Bad("chunk end"));
                }
            },
            Framing::UntilClose => loop {
                into.append(&mut self.buffer);
                match self.more().await {
                    Ok(()) => {}
                    Err(Stop::End) => return Ok(()),
                    Err(e) => return Err(e),
                }
            },
        }
    }
}
