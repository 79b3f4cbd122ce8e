//! Two connections against each other, in pieces of any size and with windows that fill.

use super::*;

#[test]
fn a_request_with_body_and_trailers_goes_there_and_back() {
    let (mut client, mut to_server) = client();
    let (mut server, mut to_client) = server();
    let stream = client.open().unwrap();
    let mut head = Head::request(b"POST", b"/", Version::Http11);
    head.append(b"host", b"a");
    head.append(b"content-length", b"5");
    client.send_head(stream, &head, false, &mut to_server);
    assert!(client.send_data_header(stream, 5, false, &mut to_server));
    to_server.extend_from_slice(b"hello");
    let mut trailers = Head::new();
    trailers.append(b"x-sum", b"1");
    client.send_trailers(stream, &trailers, &mut to_server);
    let told = feed(&mut server, &to_server, &mut to_client);
    assert_eq!(
        told,
        [
            Told::Head { stream: 1, text: "POST http://a/|host: a|content-length: 5".into(), end: false },
            Told::Data { stream: 1, bytes: b"hello".to_vec(), end: false },
            Told::Head { stream: 1, text: " |x-sum: 1".into(), end: true },
        ]
    );
    server.send_head(stream, &Head::response(103, b"", Version::Http11), false, &mut to_client);
    server.send_head(stream, &Head::response(200, b"", Version::Http11), false, &mut to_client);
    assert!(server.send_data_header(stream, 2, true, &mut to_client));
    to_client.extend_from_slice(b"ok");
    to_server.clear();
    let told = feed(&mut client, &to_client, &mut to_server);
    assert_eq!(
        told,
        [
            Told::Event(Event::Opened(0)),
            Told::Head { stream: 1, text: "103".into(), end: false },
            Told::Head { stream: 1, text: "200".into(), end: false },
            Told::Data { stream: 1, bytes: b"ok".to_vec(), end: true },
        ]
    );
    assert_eq!((client.open_streams(), server.open_streams()), (0, 0));
    assert_eq!((client.glitches(), server.glitches()), (0, 0));
}

#[test]
fn settings_move_the_windows_of_open_streams_once_they_are_whole() {
    let (mut client, mut out) = client();
    let settings = raw(4, 0, 0, &[0, 4, 0, 0, 0, 9, 0, 4, 0, 0, 0, 100]);
    let head = Head::request(b"POST", b"/", Version::Http11);
    let mut rooms = Vec::new();
    for piece in [&settings[..0], &settings[..15], &settings[15..]] {
        feed(&mut client, piece, &mut out);
        let stream = client.open().unwrap();
        client.send_head(stream, &head, false, &mut out);
        rooms.push(client.room(stream));
    }
    assert_eq!(rooms, [16384, 16384, 100]);
    assert_eq!([1, 3, 5].map(|stream| client.room(stream)), [100; 3]);
    // Below zero: nothing goes until the window is open again.
    assert!(client.send_data_header(1, 100, false, &mut out));
    feed(&mut client, &raw(4, 0, 0, &[0, 4, 0, 0, 0, 10]), &mut out);
    feed(&mut client, &raw(8, 0, 1, &[0, 0, 0, 91]), &mut out);
    assert_eq!(client.room(1), 1);
}

#[test]
fn what_came_before_our_smaller_window_held_is_announced_once_it_holds() {
    let mut out = Vec::new();
    let mut server = Connection::new(Config::new(Role::Server), &mut out);
    let upload = raw(0, 0, 1, &[b'a'; 10_000]);
    // 20,000 bytes in the window of 65,535, less than half of it: nothing is announced yet.
    let before = [&PREFACE[..], &raw(4, 0, 0, b""), &headers(1, OPEN, POST), &upload, &upload].concat();
    feed(&mut server, &before, &mut out);
    out.clear();
    // The peer learns of 16,384 and stops, with a window of 16,384 - 20,000.
    feed(&mut server, &raw(4, 1, 0, b""), &mut out);
    let told = frames(&out);
    assert_eq!(told.len(), 1, "{told:?}");
    assert_eq!((told[0].0.kind, told[0].0.stream, &told[0].1[..]), (8, 1, &20_000u32.to_be_bytes()[..]));
    // An upload that is over needs no more.
    let mut server = Connection::new(Config::new(Role::Server), &mut out);
    let before = [&before[..], &raw(0, 1, 1, b"")].concat();
    feed(&mut server, &before, &mut out);
    out.clear();
    feed(&mut server, &raw(4, 1, 0, b""), &mut out);
    assert_eq!(out, b"");
}
