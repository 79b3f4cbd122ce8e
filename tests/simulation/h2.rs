//! HTTP/2 clients: several streams at once on a connection, bodies both ways under small windows; some streams are reset,
//! some connections left. The frames are the product's codec's; what passes through them is checked like everywhere.

use crate::client::Request;
use crate::house::{Book, Front};
use crate::wire;
use ringway::engine::driver::ConnectOptions;
use ringway::engine::driver::sim::random::Random;
use ringway::engine::task::{Either, before, race, sleep};
use ringway::engine::{Conn, Rt};
use ringway::proto::h2::{Config, Connection, ErrorCode, Event, Role, StreamId};
use ringway::proto::http::head::{Head, Version};
use std::cell::RefCell;
use std::collections::VecDeque;
use std::future::poll_fn;
use std::rc::Rc;
use std::task::Poll;

/// No connection is silent for so long while requests are open.
const LONG_MS: u64 = 400_000;

/// A request under way.
struct Open {
    id: StreamId,
    request: Request,
    /// What is still to be sent of its body.
    upload: Vec<u8>,
    sent: usize,
    ended: bool,
    status: u16,
    is_origins: bool,
    got: Vec<u8>,
    /// Its client loses interest after so many bytes.
    patience: Option<usize>,
}

/// What both halves of a connection share.
struct Link {
    codec: RefCell<Connection>,
    out: RefCell<Vec<u8>>,
    open: RefCell<Vec<Open>>,
}

/// One client: `count` requests over as many connections as it takes.
pub async fn run(rt: Rt, front: Rc<Front>, book: Rc<Book>, mut random: Random, count: u64) {
    sleep(&rt, random.below(200)).await;
    let mut todo: VecDeque<Request> = (0..count).map(|_| request(&book, &mut random)).collect();
    let mut attempts = 0;
    while !todo.is_empty() {
        attempts += 1;
        if attempts > count * 3 + 5 {
            if !front.forgives(&book) {
                book.wrong(format!("an HTTP/2 client of {} gives up: {:?}", front.port, todo.front()));
            }
            return;
        }
        let conn = match Conn::connect(&rt, &front.address, &ConnectOptions::default()).await {
            Ok(conn) => conn,
            Err(_) if book.stopped.get() => return,
            Err(e) => return book.wrong(format!("no connection to the proxy: {e}")),
        };
        let rude = front.rude_allowed && random.chance(150);
        let leave = if rude { rt.now().mono.plus(random.below(120)) } else { ringway::base::clock::Millis::NEVER };
        let link = Link::new(&mut random);
        let _ = before(&rt, leave, connection(&conn, &link, &front, &book, &mut random, &mut todo)).await;
        if rude {
            // What was in the making is not asked for again.
            continue;
        }
    }
}

/// Without what HTTP/2 has not: upgrades, `Connection`, versions.
fn request(book: &Book, random: &mut Random) -> Request {
    loop {
        let request = Request::random(book.next_id(), random, false);
        if request.wanted.shape != 'u' && !request.expects {
            return Request { close: false, old: false, ..request };
        }
    }
}

impl Link {
    fn new(random: &mut Random) -> Link {
        let config = Config {
            initial_window_size: *random.pick(&[200, 500, 5_000, 65_535, 1_000_000]),
            max_concurrent_streams: u32::MAX,
            head_bytes: 32_768,
            ..Config::new(Role::Client)
        };
        let mut out = Vec::new();
        let codec = RefCell::new(Connection::new(config, &mut out));
        Link { codec, out: RefCell::new(out), open: RefCell::default() }
    }

    /// Begins requests and moves bodies as far as windows allow.
    fn fill(&self, todo: &mut VecDeque<Request>, most: usize, random: &mut Random) {
        let (mut codec, mut out, mut open) = (self.codec.borrow_mut(), self.out.borrow_mut(), self.open.borrow_mut());
        while open.len() < most && !todo.is_empty() {
            let Some(id) = codec.open() else { break };
            let Some(request) = todo.pop_front() else { break };
            let upload = request.body.map_or(Vec::new(), |(len, _)| wire::body(request.wanted.id + 1, len));
            let mut head = Head::request(request.method.as_bytes(), request.wanted.path().as_bytes(), Version::Http2);
            head.append(b"host", b"example");
            head.append(b"x-body", upload.len().to_string().as_bytes());
            if let Some((len, false)) = request.body {
                head.append(b"content-length", len.to_string().as_bytes());
            }
            codec.send_head(id, &head, upload.is_empty(), &mut out);
            let patience = random.chance(60).then(|| random.below(3_000) as usize);
            let ended = upload.is_empty();
            open.push(Open {
                id,
                request,
                upload,
                sent: 0,
                ended,
                status: 0,
                is_origins: false,
                got: Vec::new(),
                patience,
            });
        }
        for stream in open.iter_mut().filter(|s| !s.ended) {
            while out.len() < 3_000_000 {
                let left = stream.upload.len() - stream.sent;
                let n = codec.room(stream.id).min(left);
                if n == 0 || !codec.send_data_header(stream.id, n, n == left, &mut out) {
                    break;
                }
                out.extend_from_slice(&stream.upload[stream.sent..][..n]);
                stream.sent += n;
                stream.ended = n == left;
                if stream.ended {
                    break;
                }
            }
        }
    }
}

/// Requests on one connection until it ends or all are answered.
async fn connection(
    conn: &Conn,
    link: &Link,
    front: &Front,
    book: &Book,
    random: &mut Random,
    todo: &mut VecDeque<Request>,
) {
    let most = random.between(1, 8) as usize;
    let mut r = Random::new(random.bits());
    let writing = async {
        loop {
            let bytes = poll_fn(|_| match link.out.borrow().is_empty() {
                true => Poll::Pending,
                false => Poll::Ready(()),
            });
            bytes.await;
            let bytes = link.out.take();
            link.codec.borrow_mut().drained();
            let slow = r.chance(100);
            if !wire::send(conn, &bytes, &mut r, slow).await {
                // What has come is still read.
                return std::future::pending().await;
            }
            // The next bytes may be there already.
            conn.rt().wake(conn.rt().current());
        }
    };
    let mut fate = Random::new(random.bits());
    let reading = async {
        link.fill(todo, most, &mut fate);
        conn.rt().wake(conn.rt().current());
        loop {
            let soon = conn.rt().now().mono.plus(LONG_MS);
            let bytes = match before(conn.rt(), soon, conn.recv()).await {
                Ok(Ok(Some(bytes))) => bytes,
                Ok(_) => return,
                Err(_) => {
                    let open = link.open.borrow();
                    let waits = open
                        .iter()
                        .map(|s| format!("{} of {}, {} of {:?}", s.sent, s.upload.len(), s.got.len(), s.request));
                    let waits: Vec<String> = waits.collect();
                    return book.wrong(format!(
                        "front {}: nothing comes for {waits:#?}, {} to do",
                        front.port,
                        todo.len()
                    ));
                }
            };
            let mut at = 0;
            while at < bytes.len() {
                let received = link.codec.borrow_mut().receive(&bytes[at..], &mut link.out.borrow_mut());
                let (used, event) = match received {
                    Ok(step) => step,
                    Err(e) => return book.wrong(format!("front {}: the proxy broke HTTP/2: {e:?}", front.port)),
                };
                if take(link, front, book, &event, &bytes[at..]) {
                    return;
                }
                at += used;
            }
            link.fill(todo, most, &mut fate);
            if todo.is_empty() && link.open.borrow().is_empty() {
                return;
            }
        }
    };
    // What was to be sent and is not wanted any more is left behind.
    let (Either::First(()) | Either::Second(())) = race(reading, writing).await;
    for stream in link.open.borrow_mut().drain(..) {
        book.cut.set(book.cut.get() + 1);
        if !front.forgives(book) {
            book.wrong(format!("front {}: the connection ended in answer to {:?}", front.port, stream.request));
        }
    }
}

/// Books an event; true when the connection is of no more use.
fn take(link: &Link, front: &Front, book: &Book, event: &Event, bytes: &[u8]) -> bool {
    let mut open = link.open.borrow_mut();
    let position = |open: &[Open], id: StreamId| open.iter().position(|s| s.id == id);
    match event {
        Event::Head { stream, end } => {
            let Some(at) = position(&open, *stream) else { return false };
            let s = &mut open[at];
            let codec = link.codec.borrow();
            s.status = codec.head().status();
            s.is_origins = codec.head().first(b"x-id") == Some(s.request.wanted.id.to_string().as_bytes());
            drop(codec);
            if s.status < 200 {
                return false;
            }
            if *end {
                finish(link, open.remove(at), front, book);
            }
        }
        Event::Data { stream, range, end } => {
            link.codec.borrow_mut().release(*stream, range.len(), &mut link.out.borrow_mut());
            let Some(at) = position(&open, *stream) else { return false };
            let s = &mut open[at];
            s.got.extend_from_slice(&bytes[range.clone()]);
            if s.is_origins && !wire::is_prefix(s.request.wanted.id, &s.got) {
                book.wrong(format!("front {}: body corrupted in answer to {:?}", front.port, s.request));
            }
            if *end {
                finish(link, open.remove(at), front, book);
            } else if s.patience.is_some_and(|n| s.got.len() > n) && front.rude_allowed {
                link.codec.borrow_mut().reset(*stream, ErrorCode::CANCEL, &mut link.out.borrow_mut());
                open.remove(at);
            }
        }
        Event::Trailers { stream } => {
            if let Some(at) = position(&open, *stream) {
                finish(link, open.remove(at), front, book);
            }
        }
        Event::Reset { stream, code } | Event::Refused { stream, code } => {
            let Some(at) = position(&open, *stream) else { return false };
            let s = open.remove(at);
            book.cut.set(book.cut.get() + 1);
            if !front.forgives(book) {
                book.wrong(format!("front {}: {code:?} in answer to {:?}", front.port, s.request));
            }
        }
        Event::GoAway { last, .. } => {
            let lost = open.iter().any(|s| s.id > *last);
            if lost && !front.forgives(book) {
                book.wrong(format!("front {}: streams beyond {last} were given back", front.port));
            }
            open.retain(|s| s.id <= *last);
            return open.is_empty();
        }
        Event::NeedMore | Event::Opened(_) | Event::Settings | Event::Pong => {}
    }
    false
}

/// A whole answer. Who has it may spare the rest of the request.
fn finish(link: &Link, stream: Open, front: &Front, book: &Book) {
    if !stream.ended {
        link.codec.borrow_mut().reset(stream.id, ErrorCode::CANCEL, &mut link.out.borrow_mut());
    }
    let wanted = &stream.request.wanted;
    let expected = if wanted.has_no_body(stream.request.method) { 0 } else { wanted.len };
    if !stream.is_origins {
        book.refused.set(book.refused.get() + 1);
        if !front.forgives(book) {
            book.wrong(format!("front {} answered {} itself: {:?}", front.port, stream.status, stream.request));
        }
        return;
    }
    book.right.set(book.right.get() + 1);
    // The end of a body that its server ended by closing can't be told from a cut.
    let open_end = wanted.framing == 's' && front.forgives(book);
    if stream.status != wanted.status || (stream.got.len() != expected && !open_end) {
        let (status, len) = (stream.status, stream.got.len());
        book.wrong(format!("front {}: {status} and {len} bytes in answer to {:?}", front.port, stream.request));
    }
}
