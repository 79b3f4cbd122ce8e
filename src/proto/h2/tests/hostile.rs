//! Floods and bombs: each is counted, bounded, or both.

use super::*;

fn flood(one: &[u8], times: usize) -> (Connection, Vec<Told>, Vec<u8>) {
    let (mut connection, mut out) = server();
    let told = feed(&mut connection, &one.repeat(times), &mut out);
    (connection, told, out)
}

#[test]
fn answers_that_nobody_takes_are_bounded() {
    for one in [raw(6, 0, 0, b"12345678"), raw(4, 0, 0, b"")] {
        let (_, told, out) = flood(&one, 2000);
        assert_eq!(told.last(), Some(&Told::Error(ConnectionError::Flood)));
        assert!(out.len() <= 17 * 1001, "{}", out.len());
        assert!(out.ends_with(&ErrorCode::ENHANCE_YOUR_CALM.0.to_be_bytes()));
    }
    // Streams over the limit, resets of ours.
    let mut config = Config::new(Role::Server);
    config.max_concurrent_streams = 0;
    let (mut connection, mut out) = server_with(config);
    assert!(!out.windows(6).any(|w| w == [0, 3, 0, 0, 0, 0]), "no limit of 0 is announced");
    let streams: Vec<_> = (0..2000).map(|n| headers(n * 2 + 1, WHOLE, GET)).collect();
    let told = feed(&mut connection, &streams.concat(), &mut out);
    assert_eq!(told.last(), Some(&Told::Error(ConnectionError::Flood)));
    assert!(out.len() <= 17 * 1001, "{}", out.len());
}

#[test]
fn answers_that_were_sent_count_no_more() {
    let (mut connection, mut out) = server();
    for _ in 0..3000 {
        out.clear();
        feed(&mut connection, &raw(6, 0, 0, b"12345678"), &mut out);
        assert_eq!(frames(&out)[0].1, b"12345678");
        connection.drained();
    }
}

#[test]
fn frames_that_move_nothing_are_glitches_when_they_come_in_numbers() {
    for one in [
        raw(6, 0, 0, b"12345678"),
        raw(6, 1, 0, b"12345678"),
        raw(4, 0, 0, b""),
        raw(4, 1, 0, b""),
        raw(2, 0, 1, &[0; 5]),
        raw(0x16, 0, 1, b""),
        raw(7, 0, 0, &[0; 8]),
    ] {
        assert_eq!(flood(&one, 20).0.glitches(), 0, "{one:?}");
        assert!(flood(&one, 500).0.glitches() > 400, "{one:?}");
    }
    let (mut connection, mut out) = server();
    feed(&mut connection, &headers(1, OPEN, POST), &mut out);
    feed(&mut connection, &raw(0, 0, 1, b"").repeat(500), &mut out);
    feed(&mut connection, &raw(0, 8, 1, b"\x03abc").repeat(500), &mut out);
    assert!(connection.glitches() > 900);
    // Useful work in between forgives.
    let (mut connection, mut out) = server();
    for n in 0..200 {
        feed(&mut connection, &[headers(n * 2 + 1, OPEN, POST), raw(2, 0, 1, &[0; 5]).repeat(10)].concat(), &mut out);
        connection.reset(n * 2 + 1, ErrorCode::CANCEL, &mut out);
    }
    assert_eq!(connection.glitches(), 0);
}

#[test]
fn rapid_reset_is_counted_and_leaves_nothing_behind() {
    let (mut connection, mut out) = server();
    for n in 0..5000 {
        let stream = n * 2 + 1;
        let told = feed(
            &mut connection,
            &[headers(stream, WHOLE, GET), raw(3, 0, stream, &[0, 0, 0, 8])].concat(),
            &mut out,
        );
        assert_eq!(told[1], Told::Event(Event::Reset { stream, code: ErrorCode::CANCEL }));
    }
    assert_eq!((connection.open_streams(), connection.glitches(), out.len()), (0, 5000, 0));
}

#[test]
fn a_block_without_end_is_cut() {
    // By bytes.
    let (mut connection, mut out) = server();
    let first = raw(1, 1, 1, &block(GET));
    let more = raw(9, 0, 1, &block(&[("x", &"~".repeat(1000))]));
    let told = feed(&mut connection, &[first.clone(), more.repeat(100)].concat(), &mut out);
    assert_eq!(told, [Told::Error(ConnectionError::HeadersFlood)]);
    // By frames.
    let (mut connection, mut out) = server();
    let told = feed(&mut connection, &[first, raw(9, 0, 1, b"").repeat(100)].concat(), &mut out);
    assert_eq!(told, [Told::Error(ConnectionError::HeadersFlood)]);
    assert!(connection.glitches() > 10);
}

#[test]
fn a_block_in_many_small_frames_is_read() {
    let (mut connection, mut out) = server();
    let all = block(&[GET, &[("x", &"~".repeat(100))]].concat());
    let mut frames = raw(1, 1, 1, &all[..1]);
    for (at, byte) in all.iter().enumerate().skip(1) {
        frames.extend(raw(9, if at + 1 == all.len() { 4 } else { 0 }, 1, &[*byte]));
    }
    let told = feed(&mut connection, &frames, &mut out);
    assert!(matches!(&told[..], [Told::Head { stream: 1, end: true, .. }]), "{told:?}");
}

/// The client may send it again elsewhere: nobody has looked at it.
#[test]
fn a_final_goaway_does_not_name_a_stream_whose_head_is_not_whole() {
    let (mut connection, mut out) = server();
    feed(&mut connection, &headers(1, WHOLE, GET), &mut out);
    let second = headers(3, WHOLE, GET);
    assert_eq!(feed(&mut connection, &second[..15], &mut out), []);
    assert_eq!(connection.last_stream(), 1);
    connection.go_away(Some(1), ErrorCode::NO_ERROR, &mut out);
    assert_eq!(feed(&mut connection, &second[15..], &mut out), []);
}

/// All of them may be reset at once, and what was on its way comes later (RFC 9113 §5.1).
#[test]
fn as_many_resets_are_remembered_as_streams_may_be_open() {
    let (mut connection, mut out) = server_with(Config { max_concurrent_streams: 1000, ..Config::new(Role::Server) });
    let ids = || (0..1000).map(|n| 2 * n + 1);
    for id in ids() {
        feed(&mut connection, &headers(id, OPEN, POST), &mut out);
    }
    ids().for_each(|id| connection.reset(id, ErrorCode::NO_ERROR, &mut out));
    for id in ids() {
        let told =
            feed(&mut connection, &[raw(0, 0, id, b"x"), headers(id, WHOLE, &[("x", "y")])].concat(), &mut out);
        assert_eq!((told, connection.glitches()), (vec![], 0), "{id}");
    }
}

#[test]
fn a_header_bomb_is_cut() {
    // One entry of 4000 bytes, then a byte for each time it is meant.
    let mut bomb = block(GET);
    bomb.extend_from_slice(b"\x40\x01x");
    crate::proto::h2::hpack::integer::encode(4000, 7, 0, &mut bomb);
    bomb.extend_from_slice(&[b'y'; 4000]);
    bomb.extend_from_slice(&[0xbe; 10000]);
    let (mut connection, mut out) = server();
    let told = feed(&mut connection, &raw(1, WHOLE, 1, &bomb), &mut out);
    assert_eq!(told, [Told::Error(ConnectionError::HeadersFlood)]);
    assert!(connection.head().capacity() < 64 << 10);
}

#[test]
fn an_error_is_told_again_and_again() {
    let (mut connection, told, out) = flood(&raw(5, 4, 1, b""), 1);
    assert_eq!(told, [Told::Error(ConnectionError::Push)]);
    let mut more = Vec::new();
    assert_eq!(connection.receive(&headers(1, WHOLE, GET), &mut more), Err(ConnectionError::Push));
    assert!(more.is_empty() && !out.is_empty());
}

#[test]
fn a_final_goaway_ends_new_streams_but_not_the_old() {
    let (mut connection, mut out) = server();
    feed(&mut connection, &headers(1, OPEN, POST), &mut out);
    connection.go_away(None, ErrorCode::NO_ERROR, &mut out);
    feed(&mut connection, &headers(3, OPEN, POST), &mut out);
    assert_eq!(connection.open_streams(), 2);
    connection.go_away(Some(connection.last_stream()), ErrorCode::NO_ERROR, &mut out);
    let told =
        feed(&mut connection, &[headers(5, OPEN, POST), raw(0, 1, 5, b"x"), raw(0, 1, 3, b"y")].concat(), &mut out);
    assert_eq!(told, [Told::Data { stream: 3, bytes: b"y".to_vec(), end: true }]);
    let last: Vec<_> = frames(&out).into_iter().filter(|f| f.0.kind == 7).map(|f| f.1[..4].to_vec()).collect();
    assert_eq!(last, [&[0x7f, 0xff, 0xff, 0xff], &[0, 0, 0, 3]]);
}

#[test]
fn calls_about_a_stream_that_is_over_write_nothing() {
    let (mut connection, mut out) = server();
    feed(&mut connection, &[headers(1, WHOLE, GET), raw(3, 0, 1, &[0, 0, 0, 8])].concat(), &mut out);
    // The first data opens the connection's window.
    connection.release(1, 0, &mut out);
    out.clear();
    let head = Head::response(200, b"", Version::Http2);
    connection.send_head(1, &head, false, &mut out);
    assert!(!connection.send_data_header(1, 0, true, &mut out));
    connection.send_trailers(1, &head, &mut out);
    connection.reset(1, ErrorCode::CANCEL, &mut out);
    connection.release(1, 10, &mut out);
    connection.grow_window(1, 10, &mut out);
    assert_eq!((connection.room(1), out.len()), (0, 0));
}

#[test]
fn a_stream_reset_between_two_pieces_of_a_frame_is_silent() {
    let (mut connection, mut out) = server();
    let input = [headers(1, OPEN, POST), raw(0, 1, 1, &[0; 100]), headers(3, WHOLE, GET)].concat();
    let middle = input.len() - 80;
    let told = feed(&mut connection, &input[..middle], &mut out);
    assert!(matches!(told[1], Told::Data { end: false, .. }), "{told:?}");
    connection.reset(1, ErrorCode::CANCEL, &mut out);
    let told = feed(&mut connection, &input[middle..], &mut out);
    assert!(matches!(told[..], [Told::Head { stream: 3, .. }]), "{told:?}");
}
