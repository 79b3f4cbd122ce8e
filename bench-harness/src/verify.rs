//! The pass before measuring: every body is compared by length and SHA-256 with what it must be, and what each proxy
//! does (headers it adds, connections it keeps, lines it logs, what it negotiates, whether it resumes) is observed
//! from outside. Two peers whose behaviour differs are not compared.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use aws_lc_rs::digest;
use rustls::{ClientConfig, ClientConnection, StreamOwned};

use crate::certs;
use crate::origin::body;
use crate::peer::{self, find};
use crate::scenario::{Resumption, Scenario, Shape, Tls};

/// What was observed, by name of the observation.
pub type Behaviour = BTreeMap<&'static str, String>;

/// What two peers do differently; empty when a comparison is fair.
pub fn differences(ours: &Behaviour, theirs: &Behaviour) -> Vec<String> {
    let names: BTreeSet<_> = ours.keys().chain(theirs.keys()).collect();
    let none = "nothing".to_owned();
    names
        .into_iter()
        .filter_map(|name| {
            let (a, b) = (ours.get(name).unwrap_or(&none), theirs.get(name).unwrap_or(&none));
            (a != b).then(|| format!("{name}: {a} | {b}"))
        })
        .collect()
}

/// Sends what the scenario sends, and a little more, and looks. `origin` answers `/count`.
pub fn observe(scenario: &Scenario, address: SocketAddr, origin: SocketAddr) -> Result<Behaviour, String> {
    let mut seen = Behaviour::new();
    match scenario.load.shape {
        Shape::PingPong => {
            seen.insert("echo", echo(address, scenario.load.bytes as usize)?);
        }
        Shape::Bulk => {
            seen.insert("transfer", bulk(address)?);
        }
        Shape::H2 | Shape::IdleH2 => {
            seen.insert("answer", h2(scenario, address)?);
        }
        _ => http(scenario, address, origin, &mut seen)?,
    }
    Ok(seen)
}

fn http(scenario: &Scenario, address: SocketAddr, origin: SocketAddr, seen: &mut Behaviour) -> Result<(), String> {
    let config = scenario.proxy.tls.map(certs::client_config).transpose()?;
    let mut client = Client::connect(address, config.as_ref())?;
    let headers = &scenario.load.headers;
    let paths = [scenario.load.path.as_str(), "/s/1000", "/c/10000", scenario.load.path.as_str()];
    let lines_before = count(origin, "log_lines")?;
    for path in paths {
        let answer = client.get(path, headers)?;
        let wanted = body::of_path(path).ok_or_else(|| format!("{path} has no known body"))?;
        expect(path, &answer, &wanted)?;
    }
    let answer = client.get(&scenario.load.path, headers)?;
    seen.insert("answer", format!("{} {} bytes", answer.status, answer.plain()?.len()));
    seen.insert("encoding", answer.header("content-encoding").unwrap_or("identity").to_owned());
    // Framing and the server's own name and clock may differ without making work.
    const FREE: [&str; 8] =
        ["date", "server", "connection", "keep-alive", "content-length", "transfer-encoding", "vary", "etag"];
    let names: BTreeSet<&str> = answer.headers.iter().map(|(name, _)| name.as_str()).collect();
    let names: Vec<&str> = names.into_iter().filter(|name| !FREE.contains(name)).collect();
    seen.insert("response headers", names.join(" "));
    let (first, second) = (client.get("/e", &[])?, client.get("/e", &[])?);
    let (first, second) = (Echo::of(&first.body)?, Echo::of(&second.body)?);
    let kept = if first.connection == second.connection { "kept" } else { "one a request" };
    seen.insert("server connections", kept.to_owned());
    seen.insert("request headers at the origin", first.headers.keys().cloned().collect::<Vec<_>>().join(" "));
    let forwarded = first.headers.get("x-forwarded-for").cloned().unwrap_or_default();
    seen.insert("forwarded for", forwarded);
    let requests = paths.len() as u64 + 3;
    let wanted = if scenario.proxy.log { requests } else { 0 };
    seen.insert("log lines a request", log_lines(origin, lines_before, wanted)?.to_string());
    if let (Some(tls), Some(config)) = (scenario.proxy.tls, config) {
        seen.insert("tls", client.negotiated());
        drop(client);
        seen.insert("second handshake", second_handshake(tls, &config, address)?);
    }
    Ok(())
}

/// Full or resumed, as the scenario wants; anything else is an error of its own.
fn second_handshake(tls: Tls, config: &Arc<ClientConfig>, address: SocketAddr) -> Result<String, String> {
    let mut again = Client::connect(address, Some(config))?;
    again.get("/s/1", &[])?;
    let kind = again.handshake();
    let resumed = kind.contains("Resumed");
    if (tls.resumption != Resumption::None) != resumed {
        return Err(format!("second handshake: wanted {:?}, got {kind}", tls.resumption));
    }
    Ok(kind)
}

/// Whole lines a request, once they have stopped coming.
fn log_lines(origin: SocketAddr, before: u64, wanted: u64) -> Result<u64, String> {
    let end = Instant::now() + Duration::from_millis(500);
    let mut lines = count(origin, "log_lines")? - before;
    while lines < wanted && Instant::now() < end {
        lines = count(origin, "log_lines")? - before;
    }
    match lines {
        0 => Ok(0),
        lines if lines == wanted => Ok(1),
        lines => Err(format!("{lines} log lines for {wanted} requests")),
    }
}

fn count(origin: SocketAddr, what: &str) -> Result<u64, String> {
    let answer = Client::connect(origin, None)?.get("/count", &[])?;
    let value: serde_json::Value = serde_json::from_slice(&answer.body).map_err(|error| error.to_string())?;
    Ok(value[what].as_u64().unwrap_or(0))
}

fn expect(path: &str, answer: &Answer, wanted: &[u8]) -> Result<(), String> {
    if answer.status != 200 {
        return Err(format!("{path}: status {}", answer.status));
    }
    let got = answer.plain()?;
    compare(path, &got, wanted)
}

fn compare(what: &str, got: &[u8], wanted: &[u8]) -> Result<(), String> {
    let hash = |bytes: &[u8]| digest::digest(&digest::SHA256, bytes);
    if got.len() == wanted.len() && hash(got).as_ref() == hash(wanted).as_ref() {
        return Ok(());
    }
    Err(format!("{what}: {} bytes {:?}, wanted {} bytes {:?}", got.len(), hash(got), wanted.len(), hash(wanted)))
}

fn tcp(address: SocketAddr) -> Result<TcpStream, String> {
    let stream = TcpStream::connect(address).map_err(|error| format!("connect: {error}"))?;
    let limit = Some(Duration::from_secs(5));
    let set = stream.set_read_timeout(limit).and_then(|()| stream.set_write_timeout(limit));
    set.and_then(|()| stream.set_nodelay(true)).map_err(|error| error.to_string())?;
    Ok(stream)
}

fn echo(address: SocketAddr, bytes: usize) -> Result<String, String> {
    let mut stream = tcp(address)?;
    for round in 0..3 {
        let sent = body::plain(bytes + round);
        let mut got = vec![0; sent.len()];
        stream.write_all(&sent).and_then(|()| stream.read_exact(&mut got)).map_err(|error| error.to_string())?;
        compare("echo", &got, &sent)?;
    }
    Ok(format!("{bytes} bytes"))
}

fn bulk(address: SocketAddr) -> Result<String, String> {
    const BYTES: usize = 5_000_001;
    let mut stream = tcp(address)?;
    let mut got = vec![0; BYTES];
    let count = (BYTES as u64).to_be_bytes();
    stream.write_all(&count).and_then(|()| stream.read_exact(&mut got)).map_err(|error| error.to_string())?;
    compare("bulk", &got, &vec![0x5a; BYTES])?;
    Ok(format!("{BYTES} bytes"))
}

/// By curl, whose HTTP/2 is not ours.
fn h2(scenario: &Scenario, address: SocketAddr) -> Result<String, String> {
    let program = find("curl").ok_or("curl is not installed; HTTP/2 cannot be verified")?;
    let path = &scenario.load.path;
    let scheme = if scenario.proxy.tls.is_some() { "https" } else { "http" };
    let mut curl = Command::new(program);
    let version = if scenario.proxy.tls.is_some() { "--http2" } else { "--http2-prior-knowledge" };
    curl.args(["-sk", "--max-time", "5", version, "-w", "%{stderr}%{http_version} %{http_code}"]);
    let output = curl.arg(format!("{scheme}://{address}{path}")).output().map_err(|error| error.to_string())?;
    let told = String::from_utf8_lossy(&output.stderr).trim().to_owned();
    let wanted = body::of_path(path).ok_or_else(|| format!("{path} has no known body"))?;
    if told != "2 200" {
        return Err(format!("wanted HTTP/2 and 200, got {told:?}"));
    }
    compare(path, &output.stdout, &wanted)?;
    Ok(format!("HTTP/{told} {} bytes", wanted.len()))
}

/// What the origin's `/e` says about a request.
struct Echo {
    connection: String,
    headers: BTreeMap<String, String>,
}

impl Echo {
    fn of(body: &[u8]) -> Result<Self, String> {
        let text = String::from_utf8_lossy(body);
        let mut lines = text.lines();
        let first = lines.next().unwrap_or("");
        let connection = first.split(' ').nth(1).ok_or_else(|| format!("echo: {first:?}"))?.to_owned();
        let fields = lines.skip(1).filter_map(|line| line.split_once(':'));
        let mut headers: BTreeMap<String, String> =
            fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        headers.remove("connection");
        Ok(Self { connection, headers })
    }
}

struct Answer {
    status: u16,
    headers: Vec<(String, String)>,
    body: Vec<u8>,
}

impl Answer {
    fn header(&self, name: &str) -> Option<&str> {
        self.headers.iter().find(|(key, _)| key == name).map(|(_, value)| value.as_str())
    }

    /// The body without its encoding.
    fn plain(&self) -> Result<Vec<u8>, String> {
        match self.header("content-encoding") {
            None => Ok(self.body.clone()),
            Some("gzip") => gunzip(&self.body),
            Some(other) => Err(format!("content-encoding {other}")),
        }
    }
}

/// RFC 1952, for streams without optional header fields, which is what servers send.
fn gunzip(bytes: &[u8]) -> Result<Vec<u8>, String> {
    match bytes {
        [0x1f, 0x8b, 8, 0, _, _, _, _, _, _, deflated @ .., _, _, _, _, _, _, _, _] => {
            miniz_oxide::inflate::decompress_to_vec(deflated).map_err(|error| format!("gzip: {error}"))
        }
        _ => Err("gzip: header".to_owned()),
    }
}

enum Stream {
    Plain(TcpStream),
    Tls(Box<StreamOwned<ClientConnection, TcpStream>>),
}

/// A blocking HTTP/1.1 client that keeps its connection.
struct Client {
    stream: Stream,
    host: String,
    rest: Vec<u8>,
}

impl Client {
    fn connect(address: SocketAddr, tls: Option<&Arc<ClientConfig>>) -> Result<Self, String> {
        let socket = tcp(address)?;
        let stream = match tls {
            Some(config) => {
                let session = ClientConnection::new(config.clone(), certs::server_name());
                Stream::Tls(Box::new(StreamOwned::new(session.map_err(|error| error.to_string())?, socket)))
            }
            None => Stream::Plain(socket),
        };
        Ok(Self { stream, host: address.to_string(), rest: Vec::new() })
    }

    fn get(&mut self, path: &str, headers: &[String]) -> Result<Answer, String> {
        let mut request = format!("GET {path} HTTP/1.1\r\nHost: {}\r\n", self.host);
        for header in headers {
            request.push_str(header);
            request.push_str("\r\n");
        }
        request.push_str("\r\n");
        let written = match &mut self.stream {
            Stream::Plain(stream) => stream.write_all(request.as_bytes()),
            Stream::Tls(stream) => stream.write_all(request.as_bytes()),
        };
        written.map_err(|error| format!("{path}: {error}"))?;
        self.answer().map_err(|error| format!("{path}: {error}"))
    }

    fn answer(&mut self) -> Result<Answer, String> {
        let head = self.until(b"\r\n\r\n")?;
        let text = String::from_utf8_lossy(&head).into_owned();
        let mut lines = text.split("\r\n");
        let status = lines.next().and_then(|line| line.split(' ').nth(1)).and_then(|word| word.parse().ok());
        let status = status.ok_or("no status")?;
        let fields = lines.filter_map(|line| line.split_once(':'));
        let headers: Vec<(String, String)> =
            fields.map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned())).collect();
        let mut answer = Answer { status, headers, body: Vec::new() };
        if answer.header("transfer-encoding") == Some("chunked") {
            loop {
                let line = self.until(b"\r\n")?;
                let digits = String::from_utf8_lossy(&line[..line.len() - 2]).into_owned();
                let size = usize::from_str_radix(digits.split(';').next().unwrap_or("").trim(), 16);
                let size = size.map_err(|_| format!("chunk size {digits:?}"))?;
                let chunk = self.exactly(size + 2)?;
                answer.body.extend_from_slice(&chunk[..size]);
                if size == 0 {
                    return Ok(answer);
                }
            }
        }
        let length = answer.header("content-length").ok_or("neither length nor chunks")?;
        let length = length.parse().map_err(|_| "content-length")?;
        answer.body = self.exactly(length)?;
        Ok(answer)
    }

    fn until(&mut self, mark: &[u8]) -> Result<Vec<u8>, String> {
        loop {
            if let Some(at) = self.rest.windows(mark.len()).position(|window| window == mark) {
                return Ok(self.rest.drain(..at + mark.len()).collect());
            }
            self.more()?;
        }
    }

    fn exactly(&mut self, bytes: usize) -> Result<Vec<u8>, String> {
        while self.rest.len() < bytes {
            self.more()?;
        }
        Ok(self.rest.drain(..bytes).collect())
    }

    fn more(&mut self) -> Result<(), String> {
        let mut buffer = [0; 16 << 10];
        let n = match &mut self.stream {
            Stream::Plain(stream) => stream.read(&mut buffer),
            Stream::Tls(stream) => stream.read(&mut buffer),
        }
        .map_err(|error| error.to_string())?;
        if n == 0 {
            return Err("closed early".to_owned());
        }
        self.rest.extend_from_slice(&buffer[..n]);
        Ok(())
    }

    fn negotiated(&self) -> String {
        let Stream::Tls(stream) = &self.stream else { return String::new() };
        let group = stream.conn.negotiated_key_exchange_group().map(|group| group.name());
        format!("{:?} {:?} {group:?}", stream.conn.protocol_version(), stream.conn.negotiated_cipher_suite())
    }

    fn handshake(&self) -> String {
        let Stream::Tls(stream) = &self.stream else { return String::new() };
        format!("{:?}", stream.conn.handshake_kind())
    }
}

/// The origin's plain address.
pub fn origin_address(port: u16) -> SocketAddr {
    peer::local(port)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_difference_names_both_sides() {
        let a = Behaviour::from([("tls", "1.3".to_owned()), ("encoding", "gzip".to_owned())]);
        let b = Behaviour::from([("tls", "1.3".to_owned())]);
        assert_eq!(differences(&a, &b), ["encoding: gzip | nothing"]);
        assert!(differences(&a, &a).is_empty());
    }

    #[test]
    fn a_wrong_body_is_told_by_length_and_hash() {
        assert!(compare("x", b"abc", b"abc").is_ok());
        let error = compare("x", b"abd", b"abc").unwrap_err();
        assert!(error.contains("3 bytes") && error.contains("SHA256"), "{error}");
    }

    #[test]
    fn gzip_is_inflated_independently() {
        let deflated = miniz_oxide::deflate::compress_to_vec(b"hello hello hello", 6);
        let mut stream = vec![0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 3];
        stream.extend_from_slice(&deflated);
        stream.extend_from_slice(&[0; 8]);
        assert_eq!(gunzip(&stream).unwrap(), b"hello hello hello");
        assert!(gunzip(b"plain text that is long enough").is_err());
    }
}
