//! Who goes on is waited for, who has left is not: each situation arranged so that it happens each time.

use crate::house::{self, Book};
use crate::wire::{self, Framing, Reader};
use ringway::engine::driver::ConnectOptions;
use ringway::engine::driver::sim::Weather;
use ringway::engine::driver::sim::random::Random;
use ringway::engine::listener::Listener;
use ringway::engine::task::{before, sleep};
use ringway::engine::{Conn, Rt};
use std::rc::Rc;

/// Lets one client and one server talk through the house; both must say that all went right.
fn meet<C, S>(
    window: (u64, u64),
    settings: &str,
    client: impl FnOnce(Rt, Conn, Rc<Book>) -> C + 'static,
    server: impl FnOnce(Rt, Conn, Rc<Book>) -> S + 'static,
) where
    C: Future<Output = ()>,
    S: Future<Output = ()>,
{
    let config = format!(
        "defaults
 mode http
 timeout client 2s
 timeout server 2s
 timeout connect 2s
listen house
 bind 192.0.2.1:80
 {settings}
 server s1 198.51.100.1:8001
"
    );
    let house = house::build(7, Weather { window, ..Weather::fair() }, 1, &config);
    let (front, origin) = (house::at("192.0.2.1", 80), house::at("198.51.100.1", 8001));
    let listener = Listener::new(&house.origins, house.net.listen(&house.origins, &origin));
    let book = Rc::new(Book::default());
    let (rt, b) = (house.origins.clone(), book.clone());
    house.origins.spawn(async move {
        let conn = listener.accept(None).await.unwrap();
        server(rt, conn, b).await;
    });
    let (rt, b) = (house.clients.clone(), book.clone());
    house.clients.spawn(async move {
        let conn = Conn::connect(&rt, &front, &ConnectOptions::default()).await.unwrap();
        client(rt, conn, b).await;
    });
    house::run_to_end(&house);
    house::rest(&house, 60_000);
    assert_eq!((book.wrongs().as_str(), book.right.get()), ("", 2));
}

/// Notes how it went for one side.
fn note(book: &Book, right: bool, text: &str) {
    match right {
        true => book.right.set(book.right.get() + 1),
        false => book.wrong(text.into()),
    }
}

async fn say(conn: &Conn, bytes: &[u8]) {
    wire::send(conn, bytes, &mut Random::new(1), false).await;
}

const WIDE: (u64, u64) = (65_536, 65_536);

/// The server begins late: the upload waits, and receiving from the client stops meanwhile.
#[test]
fn a_client_that_leaves_when_its_upload_is_through_is_noticed() {
    (28_000..36_000).step_by(500).for_each(leaves_after);
}

fn leaves_after(len: usize) {
    meet(
        WIDE,
        "timeout server 1h",
        move |rt, conn, book| async move {
            say(&conn, format!("POST / HTTP/1.1\r\nHost: x\r\nContent-Length: {len}\r\n\r\n").as_bytes()).await;
            say(&conn, &wire::body(1, len)).await;
            sleep(&rt, 2_000).await;
            note(&book, true, "");
        },
        move |rt, conn, book| async move {
            sleep(&rt, 500).await;
            let (mut reader, mut got) = (Reader::new(&conn), Vec::new());
            reader.head().await.unwrap();
            reader.body(Framing::Length(len), &mut got).await.unwrap();
            let left = before(&rt, rt.now().mono.plus(10_000), conn.recv()).await;
            note(&book, left.is_ok(), &format!("still there after {len} bytes"));
        },
    );
}

#[test]
fn a_silent_client_is_served_as_long_as_its_answer_flows() {
    let long = 200_000;
    let parts = move || wire::body(1, long).chunks(long / 6 + 1).map(<[u8]>::to_vec).collect::<Vec<_>>();
    meet(
        WIDE,
        "",
        move |_, conn, book| async move {
            say(&conn, b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n").await;
            let (mut reader, mut got) = (Reader::new(&conn), Vec::new());
            reader.head().await.unwrap();
            let read = reader.body(Framing::Length(long), &mut got).await;
            note(&book, read.is_ok() && wire::is_prefix(1, &got), &format!("{} bytes came", got.len()));
            say(&conn, b"0\r\n\r\n").await;
        },
        move |rt, conn, book| async move {
            let (mut reader, mut got) = (Reader::new(&conn), Vec::new());
            reader.head().await.unwrap();
            say(&conn, format!("HTTP/1.1 200 OK\r\nContent-Length: {long}\r\n\r\n").as_bytes()).await;
            for part in parts() {
                sleep(&rt, 1_000).await;
                say(&conn, &part).await;
            }
            let read = reader.body(Framing::Chunked, &mut got).await;
            note(&book, read.is_ok(), "the request was cut off");
        },
    );
}

#[test]
fn a_silent_client_is_not_waited_for_when_its_answer_rests_too() {
    meet(
        WIDE,
        "",
        move |_, conn, book| async move {
            say(&conn, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nabc").await;
            let (mut reader, mut got) = (Reader::new(&conn), Vec::new());
            reader.head().await.unwrap();
            let read = reader.body(Framing::Length(10), &mut got).await;
            note(&book, read.is_err(), "all of it came");
        },
        move |rt, conn, book| async move {
            Reader::new(&conn).head().await.unwrap();
            say(&conn, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
            let begun = rt.now().mono;
            while let Ok(Some(_)) = conn.recv().await {}
            let took = rt.now().mono.since(begun);
            note(&book, (1_900..2_100).contains(&took), &format!("it took {took} ms"));
        },
    );
}

#[test]
fn a_server_may_pause_its_answer_while_the_request_flows() {
    meet(
        WIDE,
        "",
        |rt, conn, book| async move {
            say(&conn, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n").await;
            for _ in 0..10 {
                sleep(&rt, 500).await;
                say(&conn, b"12345").await;
            }
            let (mut reader, mut got) = (Reader::new(&conn), Vec::new());
            reader.head().await.unwrap();
            let read = reader.body(Framing::Length(10), &mut got).await;
            note(&book, read.is_ok() && got == b"helloworld", &format!("{} bytes came", got.len()));
        },
        |_, conn, book| async move {
            let (mut reader, mut got) = (Reader::new(&conn), Vec::new());
            reader.head().await.unwrap();
            say(&conn, b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello").await;
            let read = reader.body(Framing::Length(50), &mut got).await;
            say(&conn, b"world").await;
            note(&book, read.is_ok(), "the request was cut off");
        },
    );
}

#[test]
fn a_session_lets_its_own_server_connection_go_when_the_server_does() {
    meet(
        WIDE,
        "http-reuse never\n timeout client 1h",
        |rt, conn, book| async move {
            say(&conn, b"GET / HTTP/1.1\r\nHost: x\r\n\r\n").await;
            Reader::new(&conn).head().await.unwrap();
            sleep(&rt, 20_000).await;
            note(&book, conn.is_quiet(), "the client's connection ended");
        },
        |rt, conn, book| async move {
            Reader::new(&conn).head().await.unwrap();
            say(&conn, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            sleep(&rt, 100).await;
            conn.shutdown_write();
            let left = before(&rt, rt.now().mono.plus(10_000), conn.recv()).await;
            note(&book, left.is_ok(), "the other end stays open");
        },
    );
}

/// More is given to the kernel at once than the client takes within its timeout.
#[test]
fn a_slow_client_of_a_tcp_session_is_waited_for() {
    const LEN: usize = 190_000;
    meet(
        WIDE,
        "mode tcp",
        |rt, conn, book| async move {
            say(&conn, b"hello").await;
            let mut got = Vec::new();
            while let Ok(Some(lease)) = conn.recv().await {
                got.extend_from_slice(&lease);
                drop(lease);
                conn.pause().await;
                sleep(&rt, 200).await;
            }
            let whole = got.len() == LEN && wire::is_prefix(1, &got);
            note(&book, whole, &format!("{} bytes came", got.len()));
        },
        |_, conn, book| async move {
            say(&conn, &wire::body(1, LEN)).await;
            conn.shutdown_write();
            while let Ok(Some(_)) = conn.recv().await {}
            note(&book, true, "");
        },
    );
}

#[test]
fn what_rules_wait_for_is_time_for_the_request() {
    let settings = "http-request pause 300
 http-request wait-for-body time 1s
 http-response set-header x-request %TR
 http-response set-header x-queue %Tw";
    meet(
        WIDE,
        settings,
        |rt, conn, book| async move {
            say(&conn, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n").await;
            sleep(&rt, 500).await;
            say(&conn, b"abc").await;
            let mut reader = Reader::new(&conn);
            let head = reader.head().await.unwrap();
            let times = (head.number("x-request").unwrap(), head.number("x-queue").unwrap());
            note(&book, times.0 >= 400 && times.1 == 0, &format!("{times:?}"));
        },
        |_, conn, book| async move {
            let (mut reader, mut got) = (Reader::new(&conn), Vec::new());
            reader.head().await.unwrap();
            let read = reader.body(Framing::Length(3), &mut got).await;
            note(&book, read.is_ok(), "the body did not come");
            say(&conn, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        },
    );
}

#[test]
fn wait_end_in_http_mode_holds_whole_requests_for_inspect_delay() {
    for request in ["GET / HTTP/1.1\r\nHost: x\r\n\r\n", "POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\nabc"]
    {
        let settings = "tcp-request inspect-delay 700
 tcp-request content set-var(txn.runs) var(txn.runs,0),add(1)
 tcp-request content accept if WAIT_END
 http-response set-header x-request %TR
 http-response set-header x-runs %[var(txn.runs)]";
        meet(
            WIDE,
            settings,
            move |_, conn, book| async move {
                say(&conn, request.as_bytes()).await;
                let head = Reader::new(&conn).head().await.unwrap();
                let seen = (head.number("x-request").unwrap(), head.number("x-runs").unwrap());
                note(&book, (699..750).contains(&seen.0) && seen.1 == 2, &format!("{seen:?}"));
            },
            |_, conn, book| async move {
                Reader::new(&conn).head().await.unwrap();
                note(&book, true, "");
                say(&conn, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
            },
        );
    }
}

#[test]
fn wait_end_in_http_mode_passes_when_a_buffer_is_full() {
    meet(
        WIDE,
        "tcp-request inspect-delay 1h
 tcp-request content accept if WAIT_END",
        |_, conn, book| async move {
            say(&conn, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 40000\r\n\r\n").await;
            say(&conn, &wire::body(1, 20_000)).await;
            let head = Reader::new(&conn).head().await;
            note(&book, head.is_ok(), "no answer");
        },
        |_, conn, book| async move {
            Reader::new(&conn).head().await.unwrap();
            note(&book, true, "");
            say(&conn, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n").await;
        },
    );
}

#[test]
fn content_rules_of_http_mode_wait_for_a_body_that_decides() {
    let settings = "tcp-request inspect-delay 1h
 tcp-request content reject if !{ req.body -m str abcdef }
 http-response set-header x-request %TR";
    meet(
        WIDE,
        settings,
        |rt, conn, book| async move {
            say(&conn, b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc").await;
            sleep(&rt, 300).await;
            say(&conn, b"def").await;
            let waited = Reader::new(&conn).head().await.ok().and_then(|head| head.number("x-request"));
            note(&book, waited.is_some_and(|ms| (299..350).contains(&ms)), &format!("{waited:?}"));
        },
        |_, conn, book| async move {
            let (mut reader, mut got) = (Reader::new(&conn), Vec::new());
            reader.head().await.unwrap();
            let read = reader.body(Framing::Length(6), &mut got).await;
            note(&book, read.is_ok() && got == b"abcdef", "the body did not come");
            say(&conn, b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n").await;
        },
    );
}
