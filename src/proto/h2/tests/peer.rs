//! Against the `h2` crate, as its server and as its client, in memory: bodies, trailers, windows, tables, resets.

use std::collections::BTreeMap;

use tokio::io::{AsyncReadExt, AsyncWriteExt, DuplexStream};

use super::*;

/// Runs a future on one thread, without time and sockets.
fn run<F: Future>(future: F) -> F::Output {
    tokio::runtime::Builder::new_current_thread().build().expect("a runtime").block_on(future)
}

fn body(number: usize) -> Vec<u8> {
    (0..number * 37_000 % 150_000).map(|at| (at * 7 + number) as u8).collect()
}

/// What is to be sent on a stream.
#[derive(Default)]
struct Pending {
    bytes: Vec<u8>,
    complete: bool,
    trailers: Option<Head>,
}

fn send(connection: &mut Connection, pending: &mut BTreeMap<StreamId, Pending>, out: &mut Vec<u8>) {
    pending.retain(|&stream, what| {
        loop {
            let len = connection.room(stream).min(what.bytes.len());
            let rest = what.bytes.len() - len;
            let end = what.complete && rest == 0 && what.trailers.is_none();
            if len == 0 && !(end && what.bytes.is_empty()) {
                break;
            }
            if !connection.send_data_header(stream, len, end, out) {
                return false;
            }
            out.extend(what.bytes.drain(..len));
            if end {
                return false;
            }
        }
        match &what.trailers {
            Some(trailers) if what.complete && what.bytes.is_empty() => {
                connection.send_trailers(stream, trailers, out);
                false
            }
            _ => connection.is_open(stream),
        }
    });
}

/// A server that gives back what it gets: target and x-number as fields, body, trailers.
async fn echo(mut io: DuplexStream, config: Config) -> u32 {
    let mut out = Vec::new();
    let mut connection = Connection::new(config, &mut out);
    let mut pending = BTreeMap::new();
    let mut buffer = vec![0; 10_000];
    loop {
        send(&mut connection, &mut pending, &mut out);
        if io.write_all(&out).await.is_err() {
            break;
        }
        out.clear();
        connection.drained();
        let n = match io.read(&mut buffer).await {
            Ok(0) | Err(_) => break,
            Ok(n) => n,
        };
        let mut at = 0;
        loop {
            let (used, event) = connection.receive(&buffer[at..n], &mut out).expect("no error");
            match event {
                Event::NeedMore => break,
                Event::Head { stream, end } => {
                    let mut head = Head::response(200, b"", Version::Http2);
                    head.append(b"x-uri", connection.head().uri());
                    head.append(b"server", b"ringway");
                    for (name, value) in connection.head().fields().filter(|f| f.0.starts_with(b"x-")) {
                        head.append(name, value);
                    }
                    connection.send_head(stream, &head, false, &mut out);
                    pending.insert(stream, Pending { complete: end, ..Pending::default() });
                }
                Event::Data { stream, range, end } => {
                    let what = pending.get_mut(&stream).expect("a head came before");
                    what.bytes.extend_from_slice(&buffer[at..n][range.clone()]);
                    what.complete = end;
                    connection.release(stream, range.len(), &mut out);
                }
                Event::Trailers { stream } => {
                    let what = pending.get_mut(&stream).expect("a head came before");
                    (what.complete, what.trailers) = (true, Some(connection.head().clone()));
                }
                Event::Reset { stream, .. } => drop(pending.remove(&stream)),
                Event::Refused { .. } => panic!("{event:?}"),
                _ => {}
            }
            at += used;
        }
    }
    assert_eq!(connection.open_streams(), 0);
    connection.glitches()
}

async fn whole(mut stream: ::h2::RecvStream) -> (Vec<u8>, Option<http::HeaderMap>) {
    let mut bytes = Vec::new();
    while let Some(piece) = stream.data().await {
        let piece = piece.expect("data");
        stream.flow_control().release_capacity(piece.len()).expect("release");
        bytes.extend_from_slice(&piece);
    }
    (bytes, stream.trailers().await.expect("trailers"))
}

async fn send_whole(stream: &mut ::h2::SendStream<bytes::Bytes>, mut rest: bytes::Bytes) {
    while !rest.is_empty() {
        stream.reserve_capacity(rest.len());
        let room = std::future::poll_fn(|context| stream.poll_capacity(context)).await.expect("open").expect("room");
        stream.send_data(rest.split_to(room.min(rest.len())), false).expect("sent");
    }
}

/// Exchanges `count` requests at once with `echo`.
fn exchange(builder: ::h2::client::Builder, config: Config, count: usize) {
    let glitches = run(async {
        let (ours, theirs) = tokio::io::duplex(3000);
        let local = tokio::task::LocalSet::new();
        let server = local.spawn_local(echo(ours, config));
        local
            .run_until(async {
                let (requests, connection) = builder.handshake::<_, bytes::Bytes>(theirs).await.expect("handshake");
                let driver = tokio::task::spawn_local(connection);
                let mut running = Vec::new();
                for number in 0..count {
                    let mut requests = requests.clone();
                    running.push(tokio::task::spawn_local(async move {
                        std::future::poll_fn(|context| requests.poll_ready(context)).await.expect("ready");
                        let request = http::Request::post(format!("https://a.example/{number}"))
                            .header("x-number", number)
                            .header("x-same", "same")
                            .header("cookie", "a=1");
                        let (response, mut stream) =
                            requests.send_request(request.body(()).expect("a request"), false).expect("sent");
                        let sending = async {
                            send_whole(&mut stream, body(number).into()).await;
                            let mut trailers = http::HeaderMap::new();
                            trailers.insert("x-sum", number.into());
                            stream.send_trailers(trailers).expect("trailers");
                        };
                        let receiving = async {
                            let (head, stream) = response.await.expect("a response").into_parts();
                            assert_eq!(head.status, 200);
                            assert_eq!(head.headers["x-uri"], format!("https://a.example/{number}"));
                            assert_eq!(
                                (&head.headers["x-same"], &head.headers["server"]),
                                (&http::HeaderValue::from_static("same"), &http::HeaderValue::from_static("ringway"))
                            );
                            let (bytes, trailers) = whole(stream).await;
                            assert!(bytes == body(number), "body {number}: {} bytes", bytes.len());
                            assert_eq!(trailers.expect("trailers")["x-sum"], number.to_string());
                        };
                        tokio::join!(sending, receiving);
                    }));
                }
                for one in running {
                    one.await.expect("an exchange");
                }
                drop(requests);
                driver.await.expect("the driver").expect("no error");
                server.await.expect("the server")
            })
            .await
    });
    assert_eq!(glitches, 0);
}

#[test]
fn the_h2_crate_is_served() {
    exchange(::h2::client::Builder::new(), Config::new(Role::Server), 40);
}

#[test]
fn the_h2_crate_is_served_with_narrow_limits() {
    let mut builder = ::h2::client::Builder::new();
    builder.initial_window_size(100).header_table_size(60).max_frame_size(20_000);
    let config = Config {
        initial_window_size: 1000,
        header_table_size: 0,
        max_concurrent_streams: 3,
        ..Config::new(Role::Server)
    };
    exchange(builder, config, 10);
}

/// The other implementation serves: answers with the request's body in `x-len` and as a body.
async fn serve_with_h2(io: DuplexStream) {
    let mut connection = ::h2::server::Builder::new()
        .initial_window_size(5000)
        .handshake::<_, bytes::Bytes>(io)
        .await
        .expect("handshake");
    while let Some(request) = connection.accept().await {
        let (request, mut respond) = request.expect("a request");
        tokio::task::spawn_local(async move {
            let (head, stream) = request.into_parts();
            assert_eq!((head.method, head.uri.host()), (http::Method::PUT, Some("a.example")));
            assert_eq!(head.headers["x-same"], "same");
            let (bytes, _) = whole(stream).await;
            let response = http::Response::builder().header("x-len", bytes.len()).body(()).expect("a response");
            let mut stream = respond.send_response(response, false).expect("sent");
            send_whole(&mut stream, bytes.into()).await;
            let mut trailers = http::HeaderMap::new();
            trailers.insert("x-end", "1".parse().expect("a value"));
            stream.send_trailers(trailers).expect("trailers");
        });
    }
}

#[test]
fn the_h2_crate_serves_us() {
    const COUNT: usize = 30;
    let got = run(async {
        let (mut ours, theirs) = tokio::io::duplex(3000);
        let local = tokio::task::LocalSet::new();
        local.spawn_local(serve_with_h2(theirs));
        local.run_until(async { ask(&mut ours, COUNT).await }).await
    });
    for (number, (text, bytes)) in got.iter().enumerate() {
        assert_eq!(text, &format!("200|x-len: {}, |x-end: 1", bytes.len()));
        assert!(*bytes == body(number), "body {number}: {} bytes", bytes.len());
    }
    assert_eq!(got.len(), COUNT);
}

/// Sends `count` requests; gives heads and bodies in the order of the requests.
async fn ask(io: &mut DuplexStream, count: usize) -> Vec<(String, Vec<u8>)> {
    let mut out = Vec::new();
    let mut connection = Connection::new(Config::new(Role::Client), &mut out);
    let mut pending = BTreeMap::new();
    let mut got = vec![(String::new(), Vec::new()); count];
    let (mut started, mut done) = (0, 0);
    let mut buffer = vec![0; 10_000];
    while done < count {
        while started < count
            && connection.open_streams() < 7
            && let Some(stream) = connection.open()
        {
            let mut head = Head::request(b"PUT", b"/p", Version::Http11);
            head.append(b"host", b"a.example");
            head.append(b"x-same", b"same");
            connection.send_head(stream, &head, false, &mut out);
            pending.insert(stream, Pending { bytes: body(started), complete: true, trailers: None });
            started += 1;
        }
        send(&mut connection, &mut pending, &mut out);
        io.write_all(&out).await.expect("written");
        out.clear();
        let n = io.read(&mut buffer).await.expect("read");
        assert!(n > 0);
        let mut at = 0;
        loop {
            let (used, event) = connection.receive(&buffer[at..n], &mut out).expect("no error");
            match event {
                Event::NeedMore => break,
                Event::Head { stream, end: false } => got[(stream as usize - 1) / 2].0 = text(connection.head()),
                Event::Trailers { stream } => {
                    let head = &mut got[(stream as usize - 1) / 2].0;
                    *head = format!("{head}, {}", text(connection.head()).trim());
                    done += 1;
                }
                Event::Data { stream, range, end: false } => {
                    got[(stream as usize - 1) / 2].1.extend_from_slice(&buffer[at..n][range.clone()]);
                    connection.release(stream, range.len(), &mut out);
                }
                Event::Opened(_) | Event::Settings => {}
                other => panic!("{other:?}"),
            }
            at += used;
        }
    }
    got
}
