//! Origin servers: what they answer is written in the request, so that both sides know the right bytes.

use crate::house::{Book, Origin};
use crate::wire::{self, Framing, Head, Reader, Stop};
use ringway::engine::driver::sim::random::Random;
use ringway::engine::listener::Listener;
use ringway::engine::task::{join, sleep};
use ringway::engine::{Conn, Rt};
use std::rc::Rc;

/// How a response is made. In the path of the request: `/id/framing/len/status/shape`.
#[derive(Clone, Debug)]
pub struct Wanted {
    pub id: u64,
    /// `l`ength, `c`hunked, until clo`s`e, `k`: length, and the server closes after it.
    pub framing: char,
    pub len: usize,
    pub status: u16,
    /// `n`ormal, `s`low, `e`arly: before the request's body is read, `E`: long before, `i`: an interim
    /// response first, `x`: `100 Continue` before the body, `u`: an upgrade.
    pub shape: char,
}

impl Wanted {
    pub fn path(&self) -> String {
        format!("/{}/{}/{}/{}/{}", self.id, self.framing, self.len, self.status, self.shape)
    }

    pub fn parse(path: &str) -> Option<Wanted> {
        let mut parts = path.strip_prefix('/')?.split('/');
        Some(Wanted {
            id: parts.next()?.parse().ok()?,
            framing: parts.next()?.chars().next()?,
            len: parts.next()?.parse().ok()?,
            status: parts.next()?.parse().ok()?,
            shape: parts.next()?.chars().next()?,
        })
    }

    pub fn has_no_body(&self, method: &str) -> bool {
        method == "HEAD" || matches!(self.status, 204 | 304)
    }
}

/// Accepts for ever.
pub async fn serve(rt: Rt, listener: Listener, origin: Rc<Origin>, book: Rc<Book>, mut random: Random) {
    loop {
        match listener.accept(None).await {
            Ok(conn) => {
                let (origin, book, r) = (origin.clone(), book.clone(), Random::new(random.bits()));
                if origin.tcp {
                    rt.spawn(crate::tcp::serve(conn, origin, book, r));
                } else {
                    rt.spawn(connection(conn, origin, book, r));
                }
            }
            Err(_) => sleep(&rt, 1).await,
        }
    }
}

async fn connection(conn: Conn, origin: Rc<Origin>, book: Rc<Book>, mut random: Random) {
    let mut reader = Reader::new(&conn);
    let quits = random.chance(100).then(|| random.between(1, 3));
    let mut served = 0;
    loop {
        let head = match reader.head().await {
            Ok(head) => head,
            Err(Stop::Bad(why)) => return book.wrong(format!("origin {} got a bad head: {why}", origin.port)),
            Err(_) => return,
        };
        match exchange(&mut reader, &head, &origin, &book, &mut random).await {
            Ok(true) => {}
            Ok(false) => return,
            Err(Stop::Bad(why)) => return book.wrong(format!("origin {}: {why} after {:?}", origin.port, head)),
            Err(_) => return,
        }
        served += 1;
        // A server may close a connection that idles whenever it likes.
        if quits == Some(served) {
            sleep(conn.rt(), random.below(50)).await;
            if reader.buffer.is_empty() && conn.is_quiet() && origin.may_fail {
                return;
            }
        }
    }
}

/// A request and its response. False: the connection ends.
async fn exchange(
    reader: &mut Reader<'_>,
    head: &Head,
    origin: &Rc<Origin>,
    book: &Rc<Book>,
    random: &mut Random,
) -> Result<bool, Stop> {
    let mut words = head.first.split(' ');
    let (method, path) = (words.next().unwrap_or(""), words.next().unwrap_or(""));
    let wanted = Wanted::parse(path).ok_or(Stop::Bad("path"))?;
    let busy = Busy::new(origin, book);
    let framing = match (head.number("content-length"), head.says("transfer-encoding", "chunked")) {
        (Some(_), true) => return Err(Stop::Bad("two framings")),
        (Some(n), false) => Framing::Length(n as usize),
        (None, true) => Framing::Chunked,
        (None, false) => Framing::Nothing,
    };
    let announced = head.number("x-body").ok_or(Stop::Bad("no x-body"))? as usize;
    let mut got = Vec::new();
    if wanted.shape == 'x' && !wire::send(reader.conn, b"HTTP/1.1 100 Continue\r\n\r\n", random, false).await {
        return Ok(false);
    }
    if wanted.shape == 'u' {
        if !head.says("connection", "upgrade") || !head.says("upgrade", "echo") {
            return Err(Stop::Bad("no upgrade"));
        }
        // The proxy knows of a tunnel's end before us.
        drop(busy);
        tunnel(reader, &wanted, origin, book, random).await;
        return Ok(false);
    }
    if !matches!(wanted.shape, 'e' | 'E') {
        request_body(reader, framing, &wanted, announced, &mut got).await?;
    }
    let mut closes = head.says("connection", "close");
    closes |= matches!(wanted.framing, 's' | 'k');
    let mut out = Vec::new();
    if wanted.shape == 'i' {
        out.extend_from_slice(b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n");
    }
    out.extend_from_slice(format!("HTTP/1.1 {} Whatever\r\nx-id: {}\r\n", wanted.status, wanted.id).as_bytes());
    if closes {
        out.extend_from_slice(b"Connection: close\r\n");
    }
    let data = wire::body(wanted.id, wanted.len);
    match wanted.framing {
        _ if matches!(wanted.status, 204 | 304) => out.extend_from_slice(b"\r\n"),
        'c' => {
            out.extend_from_slice(b"Transfer-Encoding: chunked\r\n\r\n");
            if method != "HEAD" {
                out.extend_from_slice(&wire::chunked(&data, random));
            }
        }
        's' => {
            out.extend_from_slice(b"\r\n");
            if method != "HEAD" {
                out.extend_from_slice(&data);
            }
        }
        _ => {
            out.extend_from_slice(format!("Content-Length: {}\r\n\r\n", data.len()).as_bytes());
            if method != "HEAD" {
                out.extend_from_slice(&data);
            }
        }
    }
    if wanted.shape == 'E' {
        sleep(reader.conn.rt(), 10).await;
    }
    let slow = wanted.shape == 's';
    // The last byte decides when the proxy may give the slot away.
    let last = out.split_off(out.len() - 1);
    if !wire::send(reader.conn, &out, random, slow).await {
        return Ok(false);
    }
    drop(busy);
    if !wire::send(reader.conn, &last, random, false).await {
        return Ok(false);
    }
    if matches!(wanted.shape, 'e' | 'E') {
        if wanted.shape == 'E' || random.chance(500) {
            sleep(reader.conn.rt(), random.between(30, 60)).await;
        }
        request_body(reader, framing, &wanted, announced, &mut got).await?;
    }
    Ok(!closes)
}

async fn tunnel(reader: &mut Reader<'_>, wanted: &Wanted, origin: &Origin, book: &Book, random: &mut Random) {
    let conn = reader.conn;
    let head = format!("HTTP/1.1 101 Fine\r\nx-id: {}\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n", wanted.id);
    let mut out = head.into_bytes();
    out.extend_from_slice(&wire::body(wanted.id, wanted.len));
    let mut got = Vec::new();
    let sending = async {
        wire::send(conn, &out, random, false).await;
        conn.shutdown_write();
    };
    let ((), _) = join(sending, reader.body(Framing::UntilClose, &mut got)).await;
    if !wire::is_prefix(wanted.id + 1, &got) || got.len() > wanted.len / 2 {
        book.wrong(format!("origin {}: tunnel {} corrupted", origin.port, wanted.id));
    }
}

async fn request_body(
    reader: &mut Reader<'_>,
    framing: Framing,
    wanted: &Wanted,
    announced: usize,
    got: &mut Vec<u8>,
) -> Result<(), Stop> {
    let read = reader.body(framing, got).await;
    if !wire::is_prefix(wanted.id + 1, got) || got.len() > announced {
        return Err(Stop::Bad("request body corrupted"));
    }
    read?;
    if got.len() != announced { Err(Stop::Bad("request body cut")) } else { Ok(()) }
}

/// Counts a request in service.
struct Busy(Rc<Origin>);

impl Busy {
    fn new(origin: &Rc<Origin>, book: &Rc<Book>) -> Busy {
        origin.busy.set(origin.busy.get() + 1);
        if origin.limit > 0 && origin.busy.get() > origin.limit {
            book.wrong(format!(
                "origin {} serves {} at once, maxconn {}",
                origin.port,
                origin.busy.get(),
                origin.limit
            ));
        }
        Busy(origin.clone())
    }
}

impl Drop for Busy {
    fn drop(&mut self) {
        self.0.busy.set(self.0.busy.get() - 1);
    }
}
