//! HTTP clients: connections with requests one after the other or all at once, bodies both ways, slow parts; some leave
//! whenever they like. Each response is compared with the one its request asked for.

use crate::house::{Book, Front};
use crate::origin::Wanted;
use crate::wire::{self, Framing, Head, Reader, Stop};
use ringway::engine::driver::ConnectOptions;
use ringway::engine::driver::sim::random::Random;
use ringway::engine::task::{before, join, sleep};
use ringway::engine::{Conn, Rt};
use std::cell::Cell;
use std::collections::VecDeque;
use std::rc::Rc;

#[derive(Clone, Debug)]
pub struct Request {
    pub wanted: Wanted,
    pub method: &'static str,
    /// `None`: no body; else length and whether it is chunked.
    pub body: Option<(usize, bool)>,
    pub slow: bool,
    pub close: bool,
    pub old: bool,
    /// The body waits for `100 Continue`.
    pub expects: bool,
}

impl Request {
    pub fn random(id: u64, random: &mut Random, plain: bool) -> Request {
        let size = |r: &mut Random| match r.below(10) {
            0 => 0,
            1..=5 => r.below(300) as usize,
            6..=8 => r.below(6_000) as usize,
            _ => r.below(90_000) as usize,
        };
        let method =
            if plain { *random.pick(&["GET", "GET", "HEAD"]) } else { *random.pick(&["GET", "POST", "PUT", "HEAD"]) };
        let body = (!plain && matches!(method, "POST" | "PUT")).then(|| (size(random), random.chance(500)));
        let wanted = Wanted {
            id,
            framing: if plain { *random.pick(&['l', 'c']) } else { *random.pick(&['l', 'l', 'c', 'c', 's', 'k']) },
            len: size(random),
            status: *random.pick(&[200, 200, 200, 200, 404, 204, 304, 500, 503]),
            shape: *random.pick(&['n', 'n', 'n', 's', 'e', 'i']),
        };
        let mut wanted = wanted;
        let (mut method, mut body) = (method, body);
        let expects = body.is_some_and(|b| b.0 > 0) && random.chance(150);
        if expects {
            wanted.shape = 'x';
        } else if !plain && random.chance(60) {
            // A tunnel: `len` bytes down, half as many up.
            (wanted.shape, wanted.status, method, body) = ('u', 101, "GET", None);
            return Request { wanted, method, body, slow: false, close: false, old: false, expects };
        }
        Request {
            expects,
            wanted,
            method,
            body,
            slow: random.chance(150),
            close: !plain && random.chance(80),
            old: !plain && !expects && body.is_none_or(|b| !b.1) && random.chance(50),
        }
    }

    pub fn encode(&self, random: &mut Random) -> Vec<u8> {
        let version = if self.old { "HTTP/1.0" } else { "HTTP/1.1" };
        let mut out = format!("{} {} {version}\r\nHost: example\r\n", self.method, self.wanted.path()).into_bytes();
        let len = self.body.map_or(0, |b| b.0);
        out.extend_from_slice(format!("X-Body: {len}\r\n").as_bytes());
        if self.wanted.shape == 'u' {
            out.extend_from_slice(b"Connection: Upgrade\r\nUpgrade: echo\r\n");
        }
        if self.expects {
            out.extend_from_slice(b"Expect: 100-continue\r\n");
        }
        if self.close {
            out.extend_from_slice(b"Connection: close\r\n");
        }
        let data = wire::body(self.wanted.id + 1, len);
        match self.body {
            None => out.extend_from_slice(b"\r\n"),
            Some((n, false)) => {
                out.extend_from_slice(format!("Content-Length: {n}\r\n\r\n").as_bytes());
                out.extend_from_slice(&data);
            }
            Some((_, true)) => {
                out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
                out.extend_from_slice(&wire::chunked(&data, random));
            }
        }
        out
    }
}

/// How an answer ended.
#[derive(Debug)]
enum Answer {
    /// It was right; the connection goes on.
    Right,
    /// It was right and the last.
    RightAndLast,
    /// An answer of the proxy's own, allowed where faults are.
    Refused,
    /// The connection ended before or in it.
    Cut(Stop),
}

/// One client: `count` requests over as many connections as it takes.
pub async fn run(rt: Rt, front: Rc<Front>, book: Rc<Book>, mut random: Random, count: u64) {
    sleep(&rt, random.below(200)).await;
    let pipelines = random.chance(250);
    let rude = front.rude_allowed && random.chance(200);
    let mut todo: VecDeque<Request> =
        (0..count).map(|_| Request::random(book.next_id(), &mut random, pipelines)).collect();
    let mut attempts = 0;
    while !todo.is_empty() {
        attempts += 1;
        if attempts > count * 3 + 5 {
            if !front.forgives(&book) {
                book.wrong(format!("a client of {} gives up: {:?}", front.port, todo.front()));
            }
            return;
        }
        let conn = match Conn::connect(&rt, &front.address, &ConnectOptions::default()).await {
            Ok(conn) => conn,
            Err(_) if book.stopped.get() => return,
            Err(e) => {
                book.wrong(format!("no connection to the proxy: {e}"));
                return;
            }
        };
        if rude {
            let soon = rt.now().mono.plus(random.below(120));
            let _ = before(&rt, soon, connection(&conn, &front, &book, &mut random, &mut todo, pipelines)).await;
            match random.below(3) {
                0 => conn.reset_on_close(),
                1 => conn.shutdown_write(),
                _ => {}
            }
            // What was in the making is not asked for again.
            todo.pop_front();
            continue;
        }
        connection(&conn, &front, &book, &mut random, &mut todo, pipelines).await;
    }
}

/// Requests on one connection until it ends.
async fn connection(
    conn: &Conn,
    front: &Front,
    book: &Book,
    random: &mut Random,
    todo: &mut VecDeque<Request>,
    pipelines: bool,
) {
    let mut reader = Reader::new(conn);
    if pipelines {
        let mut out = Vec::new();
        for request in todo.iter() {
            out.extend_from_slice(&request.encode(random));
        }
        let slow = random.chance(300);
        let mut r = Random::new(random.bits());
        let sending = async { wire::send(conn, &out, &mut r, slow).await };
        let reading = async {
            while let Some(request) = todo.front() {
                let answer = response(&mut reader, request, front, book, &Cell::new(true)).await;
                if !judge(answer, front, book, todo) {
                    break;
                }
            }
        };
        let _ = join(sending, reading).await;
        return;
    }
    while let Some(request) = todo.front() {
        let out = request.encode(random);
        let mut r = Random::new(random.bits());
        let asked = conn.rt().now().mono;
        let go = Cell::new(!request.expects);
        let sending = async {
            let head = out.windows(4).position(|w| w == b"\r\n\r\n").map_or(0, |at| at + 4);
            let first = if request.expects { head } else { 0 };
            if !wire::send(conn, &out[..first], &mut r, request.slow).await {
                return false;
            }
            while !go.get() {
                sleep(conn.rt(), 3).await;
            }
            wire::send(conn, &out[first..], &mut r, request.slow).await
        };
        let reading = async {
            let answer = response(&mut reader, request, front, book, &go).await;
            go.set(true);
            answer
        };
        let (sent, answer) = join(sending, reading).await;
        let took = conn.rt().now().mono.since(asked);
        if took > front.long_ms() {
            book.wrong(format!("front {}: {took} ms for {request:?}", front.port));
        }
        let whole = matches!(answer, Answer::Right);
        if !judge(answer, front, book, todo) {
            return;
        }
        if whole && !sent {
            return;
        }
        if random.chance(200) {
            sleep(conn.rt(), random.below(400)).await;
        }
        if !todo.is_empty() && random.chance(100) {
            return;
        }
    }
}

/// Books an answer; true when the connection goes on.
fn judge(answer: Answer, front: &Front, book: &Book, todo: &mut VecDeque<Request>) -> bool {
    let request = todo.front().cloned();
    match answer {
        Answer::Right | Answer::RightAndLast => {
            book.right.set(book.right.get() + 1);
            todo.pop_front();
            matches!(answer, Answer::Right)
        }
        Answer::Refused => {
            book.refused.set(book.refused.get() + 1);
            if !front.forgives(book) {
                book.wrong(format!("front {} refused {request:?}", front.port));
            }
            todo.pop_front();
            false
        }
        Answer::Cut(Stop::Bad(why)) => {
            book.wrong(format!("front {}: {why} in answer to {request:?}", front.port));
            todo.pop_front();
            false
        }
        Answer::Cut(stop) => {
            book.cut.set(book.cut.get() + 1);
            // An early answer ends the connection while the request still comes: the close may destroy it (RFC 9112 9.6).
            let early = request.as_ref().is_some_and(|r| r.wanted.shape == 'e' && r.body.is_some());
            if !front.forgives(book) && !early {
                book.wrong(format!("front {}: {stop:?} in answer to {request:?}", front.port));
            }
            todo.pop_front();
            false
        }
    }
}

async fn response(reader: &mut Reader<'_>, request: &Request, front: &Front, book: &Book, go: &Cell<bool>) -> Answer {
    let wanted = &request.wanted;
    let head = loop {
        match reader.head().await {
            Ok(head) if head.first.starts_with("HTTP/1.1 103") => {
                if wanted.shape != 'i' || request.old {
                    return Answer::Cut(Stop::Bad("an interim response nobody asked for"));
                }
            }
            Ok(head) if head.first.starts_with("HTTP/1.1 100") => {
                if !request.expects || go.replace(true) {
                    return Answer::Cut(Stop::Bad("a 100 nobody asked for"));
                }
            }
            Ok(head) => break head,
            Err(stop) => return Answer::Cut(stop),
        }
    };
    let status: u16 = head.first.split(' ').nth(1).and_then(|s| s.parse().ok()).unwrap_or(0);
    let Some(id) = head.number("x-id") else {
        let own = matches!(status, 400 | 408 | 500 | 502 | 503 | 504);
        if !own || !front.forgives(book) {
            book.wrong(format!("front {} answered {} itself: {request:?}", front.port, head.first));
        }
        return Answer::Refused;
    };
    if id != wanted.id || status != wanted.status {
        return Answer::Cut(Stop::Bad("the answer to another request"));
    }
    if status == 101 {
        return tunnel(reader, wanted).await;
    }
    let framing = match framing(&head, request) {
        Ok(framing) => framing,
        Err(why) => return Answer::Cut(Stop::Bad(why)),
    };
    let mut got = Vec::new();
    let read = reader.body(framing, &mut got).await;
    let expected = if wanted.has_no_body(request.method) { 0 } else { wanted.len };
    if !wire::is_prefix(wanted.id, &got) || got.len() > expected {
        return Answer::Cut(Stop::Bad("response body corrupted"));
    }
    match read {
        Err(stop) => return Answer::Cut(stop),
        // The end of a body without framing can't be told from a cut.
        Ok(()) if got.len() < expected && framing == Framing::UntilClose && front.forgives(book) => {
            return Answer::Cut(Stop::End);
        }
        Ok(()) if got.len() < expected => return Answer::Cut(Stop::Bad("response body cut")),
        Ok(()) => {}
    }
    let last = head.says("connection", "close")
        || framing == Framing::UntilClose
        || (request.old && !head.says("connection", "keep-alive"));
    if last { Answer::RightAndLast } else { Answer::Right }
}

/// Both ways at once, as far as the origin was told.
async fn tunnel(reader: &mut Reader<'_>, wanted: &Wanted) -> Answer {
    let conn = reader.conn;
    let data = wire::body(wanted.id + 1, wanted.len / 2);
    let mut got = Vec::new();
    let (sent, read) = join(
        async {
            let sent = wire::send(conn, &data, &mut Random::new(wanted.id), false).await;
            conn.shutdown_write();
            sent
        },
        reader.body(Framing::UntilClose, &mut got),
    )
    .await;
    if !wire::is_prefix(wanted.id, &got) || got.len() > wanted.len {
        return Answer::Cut(Stop::Bad("tunnel corrupted"));
    }
    match read {
        Err(stop) => Answer::Cut(stop),
        Ok(()) if got.len() < wanted.len || !sent => Answer::Cut(Stop::End),
        Ok(()) => Answer::RightAndLast,
    }
}

fn framing(head: &Head, request: &Request) -> Result<Framing, &'static str> {
    if request.wanted.has_no_body(request.method) {
        return Ok(Framing::Nothing);
    }
    match (head.number("content-length"), head.says("transfer-encoding", "chunked")) {
        (Some(_), true) => Err("two framings"),
        (Some(n), false) if n as usize != request.wanted.len => Err("another length"),
        (Some(n), false) => Ok(Framing::Length(n as usize)),
        (None, true) if request.old => Err("chunks for HTTP/1.0"),
        (None, true) => Ok(Framing::Chunked),
        (None, false) => Ok(Framing::UntilClose),
    }
}
