//! Single situations that seeds have found, arranged so that they happen each time.

use crate::house::{self, Book};
use crate::origin::Wanted;
use crate::wire::{self, Reader};
use ringway::base::clock::Millis;
use ringway::dataplane::worker::{Followed, Mail};
use ringway::engine::Conn;
use ringway::engine::driver::ConnectOptions;
use ringway::engine::driver::sim::Weather;
use ringway::engine::driver::sim::random::Random;
use ringway::engine::listener::Listener;
use ringway::engine::task::{before, sleep};
use ringway::proto::h2::{Config, Connection, ErrorCode, Event, Role};
use ringway::proto::http::head::{Head, Version};
use std::cell::Cell;
use std::rc::Rc;

const CONFIG: &str = "defaults
 mode http
 http-reuse always
 timeout client 60s
 timeout server 60s
 timeout connect 5s
frontend front
 bind 192.0.2.1:80
 default_backend back
backend back
 server s1 198.51.100.1:8001
";

/// The origin answers at once and reads the body later; the rest of the body waits in a full window.
#[test]
fn a_connection_with_a_request_still_on_its_way_is_not_used_again() {
    (6_000..8_000).step_by(100).for_each(early_answer);
}

fn early_answer(body: u64) {
    let weather = Weather { window: (700, 700), ..Weather::fair() };
    let mut random = Random::new(7);
    let house = house::build(7, weather, 1, CONFIG);
    let book = Rc::new(Book::default());
    house::open_origin(&house, 8001, false, false, 0, &book, &mut random);
    for (wait, len) in [(0, body), (20, 0)] {
        let (rt, address, book) = (house.clients.clone(), house::at("192.0.2.1", 80), book.clone());
        house.clients.spawn(async move {
            sleep(&rt, wait).await;
            let conn = Conn::connect(&rt, &address, &ConnectOptions::default()).await.unwrap();
            let wanted = Wanted { id: len + 10, framing: 'l', len: 5, status: 200, shape: 'E' };
            let mut out = format!("POST {} HTTP/1.1\r\nHost: x\r\nX-Body: {len}\r\n", wanted.path()).into_bytes();
            out.extend_from_slice(format!("Content-Length: {len}\r\n\r\n").as_bytes());
            out.extend_from_slice(&wire::body(wanted.id + 1, len as usize));
            let (_, answer) =
                ringway::engine::task::join(wire::send(&conn, &out, &mut Random::new(1), false), async {
                    Reader::new(&conn).head().await
                })
                .await;
            if wait > 0 && !answer.is_ok_and(|a| a.number("x-id") == Some(wanted.id)) {
                book.wrong("the second request was not answered".into());
            }
            sleep(&rt, 200).await;
        });
    }
    house::run_to_end(&house);
    assert_eq!(book.wrongs(), "", "body of {body}");
}

/// Sends what there is to say and reads until a stream has its whole answer, of status 200.
async fn answered(conn: &Conn, codec: &mut Connection, out: &mut Vec<u8>) -> Result<(), String> {
    let mut over = false;
    while !over {
        wire::send(conn, &std::mem::take(out), &mut Random::new(1), false).await;
        let Ok(Some(bytes)) = conn.recv().await else { return Err("the connection ended".into()) };
        let mut at = 0;
        while at < bytes.len() {
            let (used, event) = codec.receive(&bytes[at..], out).unwrap();
            at += used;
            match event {
                Event::Head { end, .. } if codec.head().status() == 200 => over = end,
                Event::Data { end, .. } => over = end,
                Event::Head { .. } | Event::Reset { .. } | Event::GoAway { .. } => return Err(format!("{event:?}")),
                _ => {}
            }
        }
    }
    Ok(())
}

/// For the client the first stream is over: it has said all and heard all. The proxy still brings the body to the server.
#[test]
fn a_stream_that_is_over_for_its_client_has_left_its_place() {
    const BODY: usize = 5_000;
    let weather = Weather { window: (700, 700), ..Weather::fair() };
    let config = format!("global\n tune.h2.fe.max-concurrent-streams 1\n{CONFIG}");
    let house = house::build(7, weather, 1, &config);
    let book = Rc::new(Book::default());
    house::open_origin(&house, 8001, false, false, 0, &book, &mut Random::new(7));
    let (rt, told) = (house.clients.clone(), book.clone());
    house.clients.spawn(async move {
        let conn = Conn::connect(&rt, &house::at("192.0.2.1", 80), &ConnectOptions::default()).await.unwrap();
        let mut out = Vec::new();
        let mut codec = Connection::new(Config::new(Role::Client), &mut out);
        for id in 1..=4 {
            let wanted = Wanted { id: 10 * id, framing: 'l', len: 5, status: 200, shape: 'E' };
            let stream = codec.open().unwrap();
            let mut head = Head::request(b"POST", wanted.path().as_bytes(), Version::Http2);
            for (name, value) in [("host", "x".to_string()), ("x-body", BODY.to_string())] {
                head.append(name.as_bytes(), value.as_bytes());
            }
            codec.send_head(stream, &head, false, &mut out);
            assert!(codec.send_data_header(stream, BODY, true, &mut out));
            out.extend_from_slice(&wire::body(wanted.id + 1, BODY));
            if let Err(e) = answered(&conn, &mut codec, &mut out).await {
                return told.wrong(e);
            }
        }
    });
    house::run_to_end(&house);
    assert_eq!(book.wrongs(), "");
}

/// It takes its word back and says another in the same breath.
#[test]
fn a_stream_that_its_client_has_reset_has_left_its_place() {
    let config = "global\n tune.h2.fe.max-concurrent-streams 1\nfrontend front\n mode http\n timeout client 60s\n \
                  timeout tarpit 10s\n bind 192.0.2.1:80\n http-request tarpit if METH_POST\n \
                  http-request return status 200\n";
    let house = house::build(7, Weather::fair(), 1, config);
    let (book, rt) = (Rc::new(Book::default()), house.clients.clone());
    let told = book.clone();
    house.clients.spawn(async move {
        let conn = Conn::connect(&rt, &house::at("192.0.2.1", 80), &ConnectOptions::default()).await.unwrap();
        let mut out = Vec::new();
        let mut codec = Connection::new(Config::new(Role::Client), &mut out);
        let late = rt.now().mono.plus(5_000);
        for _ in 0..40 {
            for method in [b"POST", &b"GET"[..]] {
                let stream = codec.open().unwrap();
                let mut head = Head::request(method, b"/", Version::Http2);
                head.append(b"host", b"x");
                codec.send_head(stream, &head, true, &mut out);
                if method == b"POST" {
                    codec.reset(stream, ErrorCode::CANCEL, &mut out);
                }
            }
            if let Err(e) = answered(&conn, &mut codec, &mut out).await {
                return told.wrong(e);
            }
        }
        if rt.reached(late) {
            told.wrong("the answers took their time".into());
        }
    });
    house::run_to_end(&house);
    assert_eq!(book.wrongs(), "");
}

/// The second head begins before the connection's idle time is over, and is whole only afterwards.
#[test]
fn a_head_that_has_begun_is_waited_for_as_long_as_a_request() {
    let config = "frontend front\n mode http\n timeout client 60s\n timeout http-keep-alive 1s\n \
                  timeout http-request 4s\n bind 192.0.2.1:80\n http-request return status 200\n";
    // Within the frame's header, within the frame.
    for split in [5, 15] {
        let house = house::build(7, Weather::fair(), 1, config);
        let (book, rt) = (Rc::new(Book::default()), house.clients.clone());
        let told = book.clone();
        house.clients.spawn(async move {
            let conn = Conn::connect(&rt, &house::at("192.0.2.1", 80), &ConnectOptions::default()).await.unwrap();
            let mut out = Vec::new();
            let mut codec = Connection::new(Config::new(Role::Client), &mut out);
            for pause in [0, 500] {
                let stream = codec.open().unwrap();
                let mut head = Head::request(b"GET", b"/", Version::Http2);
                head.append(b"host", b"x");
                let at = out.len() + if pause > 0 { split } else { 0 };
                codec.send_head(stream, &head, true, &mut out);
                sleep(&rt, pause).await;
                let rest = out.split_off(at);
                wire::send(&conn, &std::mem::take(&mut out), &mut Random::new(1), false).await;
                sleep(&rt, 2 * pause).await;
                out = rest;
                if let Err(e) = answered(&conn, &mut codec, &mut out).await {
                    return told.wrong(e);
                }
            }
        });
        house::run_to_end(&house);
        assert_eq!(book.wrongs(), "", "split at {split}");
    }
}

/// The server ends its stream in a frame of its own, after its client has all that there is of the answer.
#[test]
fn an_answer_without_a_body_may_end_later_than_its_head() {
    let config = CONFIG.replace(":8001", ":8001 proto h2");
    for (method, status) in [("HEAD", 200), ("GET", 204), ("GET", 304)] {
        let house = house::build(7, Weather::fair(), 1, &config);
        let (book, rt) = (Rc::new(Book::default()), house.clients.clone());
        let address = house::at("198.51.100.1", 8001);
        let listener = Listener::new(&house.origins, house.net.listen(&house.origins, &address));
        let (origin, told) = (house.origins.clone(), book.clone());
        house.origins.spawn(async move {
            let conn = listener.accept(None).await.unwrap();
            let mut out = Vec::new();
            let mut codec = Connection::new(Config::new(Role::Server), &mut out);
            let (mut asked, mut due) = (Vec::new(), Millis::NEVER);
            loop {
                let bytes = match before(&origin, due, conn.recv()).await {
                    Ok(Ok(Some(bytes))) => bytes,
                    Ok(_) => return,
                    Err(_) => {
                        due = Millis::NEVER;
                        for stream in asked.drain(..) {
                            let _ = codec.send_data_header(stream, 0, true, &mut out);
                        }
                        wire::send(&conn, &std::mem::take(&mut out), &mut Random::new(1), false).await;
                        continue;
                    }
                };
                let mut at = 0;
                while at < bytes.len() {
                    let (used, event) = codec.receive(&bytes[at..], &mut out).unwrap();
                    at += used;
                    match event {
                        Event::Head { stream, .. } => {
                            codec.send_head(stream, &Head::response(status, b"", Version::Http2), false, &mut out);
                            asked.push(stream);
                            due = origin.now().mono.plus(50);
                        }
                        Event::Reset { .. } => told.wrong(format!("{event:?}")),
                        _ => {}
                    }
                }
                wire::send(&conn, &std::mem::take(&mut out), &mut Random::new(1), false).await;
            }
        });
        let told = book.clone();
        house.clients.spawn(async move {
            let conn = Conn::connect(&rt, &house::at("192.0.2.1", 80), &ConnectOptions::default()).await.unwrap();
            let begun = rt.now().mono;
            let mut reader = Reader::new(&conn);
            for _ in 0..3 {
                let request = format!("{method} / HTTP/1.1\r\nHost: x\r\n\r\n");
                wire::send(&conn, request.as_bytes(), &mut Random::new(1), false).await;
                if reader.head().await.is_err() {
                    return told.wrong("no answer".into());
                }
            }
            if rt.now().mono.since(begun) > 1_000 {
                told.wrong("the answers took their time".into());
            }
            sleep(&rt, 200).await;
        });
        house::run_to_end(&house);
        assert_eq!(book.wrongs(), "", "{method} {status}");
    }
}

/// A worker reads both words at once, before its accept loops have run.
#[test]
fn a_frontend_that_is_paused_and_resumed_at_once_listens() {
    let house =
        house::build(1, Weather::fair(), 2, "frontend front\n mode http\n timeout client 60s\n bind 192.0.2.1:80\n");
    house::rest(&house, 10);
    for words in [&[true, false][..], &[false], &[true, false, true, false], &[true]] {
        for paused in words {
            house.tell_all(|| Mail::FrontendPaused(0, *paused));
        }
        house::rest(&house, 10);
        let (rt, taken) = (house.clients.clone(), Rc::new(Cell::new(0)));
        for _ in 0..8 {
            let (rt, taken) = (rt.clone(), taken.clone());
            house.clients.spawn(async move {
                let conn = Conn::connect(&rt, &house::at("192.0.2.1", 80), &ConnectOptions::default()).await;
                taken.set(taken.get() + u32::from(conn.is_ok()));
            });
        }
        house::run_to_end(&house);
        assert_eq!(taken.get(), if words == [true] { 0 } else { 8 }, "{words:?}");
    }
    house.tell_all(|| Mail::SoftStop(Followed::ByNobody));
    house::rest(&house, 2_000);
    house::leave(1, &house, true);
}

/// The server leaves behind its answer, with something unread: whatever is sent to it then fails, while the answer is read.
#[test]
fn an_answer_that_came_before_its_server_left_is_passed_on() {
    (0..100).for_each(leaving_server);
}

fn leaving_server(seed: u64) {
    const BODY: usize = 30_000;
    let weather = Weather { buffers: [(2, 2), (1, 1)], completion_us: 4_000, ..Weather::fair() };
    let house = house::build(seed, weather, 1, &CONFIG.replace(":8001", ":8001 proto h2"));
    let listener = Listener::new(&house.origins, house.net.listen(&house.origins, &house::at("198.51.100.1", 8001)));
    let book = Rc::new(Book::default());
    let rt = house.origins.clone();
    house.origins.spawn(async move {
        let conn = listener.accept(None).await.unwrap();
        // Preface, SETTINGS and the request.
        conn.recv().await.unwrap();
        // What answers SETTINGS stays unread.
        conn.pause().await;
        let mut random = Random::new(1);
        wire::send(&conn, b"\0\0\0\x04\0\0\0\0\0", &mut random, false).await;
        sleep(&rt, 20).await;
        // A head, and data of which the last frame ends the stream.
        let mut out = b"\0\0\x01\x01\x04\0\0\0\x01\x88".to_vec();
        for last in [0, 0, 1] {
            out.extend_from_slice(&[0, ((BODY / 3) >> 8) as u8, (BODY / 3) as u8, 0, last, 0, 0, 0, 1]);
            out.resize(out.len() + BODY / 3, b'x');
        }
        wire::send(&conn, &out, &mut random, false).await;
        while conn.undelivered() > 0 {
            sleep(&rt, 1).await;
        }
    });
    let (rt, address, wrong) = (house.clients.clone(), house::at("192.0.2.1", 80), book.clone());
    house.clients.spawn(async move {
        let conn = Conn::connect(&rt, &address, &ConnectOptions::default()).await.unwrap();
        wire::send(&conn, b"GET / HTTP/1.0\r\n\r\n", &mut Random::new(1), false).await;
        let mut got = Vec::new();
        while let Ok(Some(bytes)) = conn.recv().await {
            got.extend_from_slice(&bytes);
        }
        let head = got.windows(4).position(|w| w == b"\r\n\r\n").map_or(0, |at| at + 4);
        if got.len() != head + BODY {
            wrong.wrong(format!("{} bytes came of {BODY}", got.len() - head));
        }
    });
    house::run_to_end(&house);
    assert_eq!(book.wrongs(), "", "seed {seed}");
}

/// So many answers wait that nothing is read; once they are on their way, reading goes on, though their client takes no more of
/// them before it has said all that it has to say.
#[test]
fn a_connection_that_was_full_is_read_again_when_its_answers_leave() {
    const ROUND: usize = 30;
    const ANSWER: usize = 8_000;
    let config = format!(
        "defaults\n mode http\n timeout client 60s\nfrontend f\n bind 192.0.2.1:80\n http-request return status 200 hdr \
         x-large {}\n",
        "~".repeat(ANSWER)
    );
    let weather = Weather { buffers: [(2, 2), (1, 1)], window: (4096, 4096), ..Weather::fair() };
    let house = house::build(3, weather, 1, &config);
    let (book, rt, address) = (Rc::new(Book::default()), house.clients.clone(), house::at("192.0.2.1", 80));
    let wrong = book.clone();
    house.clients.spawn(async move {
        let conn = Conn::connect(&rt, &address, &ConnectOptions::default()).await.unwrap();
        let mut random = Random::new(1);
        let gets = |from: usize| {
            let ids = (from..from + ROUND).map(|n| (n * 2 + 1) as u8);
            ids.flat_map(|id| [0, 0, 6, 1, 5, 0, 0, 0, id, 0x82, 0x86, 0x84, 0x41, 1, b'a']).collect::<Vec<u8>>()
        };
        conn.pause().await;
        // SETTINGS without a dynamic table.
        let begin = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\x06\x04\0\0\0\0\0\0\x01\0\0\0\0".to_vec();
        wire::send(&conn, &[begin, gets(0)].concat(), &mut random, false).await;
        sleep(&rt, 20).await;
        wire::send(&conn, &gets(ROUND), &mut random, false).await;
        sleep(&rt, 20).await;
        // Frames of a type that nobody knows.
        let more = [&[0, 0x40, 0, 0x20, 0, 0, 0, 0, 0][..], &[0; 16_384]].concat().repeat(10);
        let begun = rt.now().mono;
        let mut got = 0;
        let some = async {
            while got < ROUND * ANSWER * 3 / 2 {
                match conn.recv().await {
                    Ok(Some(bytes)) => got += bytes.len(),
                    _ => return,
                }
            }
            conn.pause().await;
        };
        ringway::engine::task::join(wire::send(&conn, &more, &mut random, false), some).await;
        while got < 2 * ROUND * ANSWER {
            match conn.recv().await {
                Ok(Some(bytes)) => got += bytes.len(),
                _ => break,
            }
        }
        let took = rt.now().mono.since(begun);
        if took > 5_000 || got < 2 * ROUND * ANSWER {
            wrong.wrong(format!("{got} bytes after {took} ms"));
        }
    });
    house::run_to_end(&house);
    assert_eq!(book.wrongs(), "");
}
