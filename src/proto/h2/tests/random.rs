//! Chance: any bytes, mutated conversations, input split anywhere, and two connections that exchange bodies through
//! small windows in pieces of any size.

use proptest::prelude::*;

use super::*;

/// Frames of a valid conversation, from a client.
fn conversation() -> Vec<u8> {
    let big = "~".repeat(3000);
    let many: Vec<(&str, &str)> = [GET, &[("x-big", &big)]].concat();
    let block = block(&many);
    [
        PREFACE.to_vec(),
        raw(4, 0, 0, &[0, 4, 0, 0, 0x10, 0, 0, 1, 0, 0, 0, 100]),
        raw(4, 1, 0, b""),
        raw(8, 0, 0, &[0, 1, 0, 0]),
        headers(1, OPEN, POST),
        raw(0, 0, 1, b"hello"),
        raw(1, 1, 3, &block[..100]),
        raw(9, 0, 3, &block[100..2000]),
        raw(9, 4, 3, &block[2000..]),
        raw(0, 8, 1, b"\x03abcde\0\0\0"),
        raw(6, 0, 0, b"12345678"),
        raw(2, 0, 9, &[0, 0, 0, 0, 7]),
        headers(1, WHOLE, &[("x-trailer", "1")]),
        raw(1, 0x2d, 5, &[&[2, 0, 0, 0, 0, 9], &super::block(GET)[..], &[0, 0]].concat()),
        headers(7, OPEN, &[POST, &[("connection", "close")]].concat()),
        raw(0, 1, 7, b"late"),
        raw(0x20, 3, 7, b"unknown"),
        headers(9, OPEN, POST),
        raw(8, 0, 9, &[0, 0, 1, 0]),
        raw(3, 0, 9, &[0, 0, 0, 8]),
        raw(7, 0, 0, b"\0\0\0\0\0\0\0\0debug"),
        headers(11, WHOLE, GET),
    ]
    .concat()
}

fn told_of(input: &[u8], splits: &[usize]) -> (Vec<Told>, Vec<u8>) {
    let mut out = Vec::new();
    let mut connection = Connection::new(Config::new(Role::Server), &mut out);
    let told = feed_in(&mut connection, input, splits, &mut out);
    (told, out)
}

#[test]
fn input_split_at_every_byte_tells_the_same() {
    let input = conversation();
    let whole = told_of(&input, &[]);
    assert!(whole.0.len() == 15 && !matches!(whole.0.last(), Some(Told::Error(_))), "{:?}", whole.0);
    for at in 0..input.len() {
        assert_eq!(told_of(&input, &[at]), whole, "split at {at}");
    }
    assert_eq!(told_of(&input, &(0..input.len()).collect::<Vec<_>>()), whole);
}

proptest! {
    #[test]
    fn mutated_conversations_tell_the_same_however_split(
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..6),
        splits in prop::collection::vec(any::<prop::sample::Index>(), 0..10),
    ) {
        let mut input = conversation();
        for (at, byte) in &changes {
            let at = at.index(input.len());
            input[at] = *byte;
        }
        let mut splits: Vec<_> = splits.iter().map(|at| at.index(input.len())).collect();
        splits.sort_unstable();
        prop_assert_eq!(told_of(&input, &splits), told_of(&input, &[]));
    }

    #[test]
    fn random_frames_never_panic(
        frames in prop::collection::vec((0u8..12, any::<u8>(), 0u32..8, prop::collection::vec(any::<u8>(), 0..40)), 0..40),
        client in any::<bool>(),
    ) {
        let mut out = Vec::new();
        let role = if client { Role::Client } else { Role::Server };
        let mut connection = Connection::new(Config::new(role), &mut out);
        if client {
            connection.open();
        } else {
            feed(&mut connection, PREFACE, &mut out);
        }
        feed(&mut connection, &raw(4, 0, 0, b""), &mut out);
        for (kind, flags, stream, payload) in &frames {
            // Half of all heads are good ones, so that streams exist.
            let payload = if *kind == 1 && flags & 1 == 0 { block(GET) } else { payload.clone() };
            let flags = if *kind == 1 { flags & 0x2d } else { *flags };
            if matches!(feed(&mut connection, &raw(*kind, flags, *stream, &payload), &mut out).last(), Some(Told::Error(_))) {
                break;
            }
            connection.send_head(*stream, &Head::response(200, b"", Version::Http2), false, &mut out);
            let _ = connection.send_data_header(*stream, connection.room(*stream), flags & 2 != 0, &mut Vec::new());
        }
        super::frames(&out[if client { 24 } else { 0 }..]);
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let mut out = Vec::new();
        let mut connection = Connection::new(Config::new(Role::Server), &mut out);
        feed(&mut connection, &bytes, &mut out);
        let (mut connection, mut out) = server();
        feed(&mut connection, &bytes, &mut out);
        let (mut connection, mut out) = client();
        feed(&mut connection, &bytes, &mut out);
    }

    #[test]
    fn bodies_cross_small_windows_whole(
        bodies in prop::collection::vec((0usize..60_000, 0usize..60_000), 1..12),
        windows in (1u32..70_000, 1u32..70_000),
        frame_size in 16384u32..40_000,
        pieces in prop::collection::vec(1usize..20_000, 1..50),
        held in 0usize..5,
    ) {
        Exchange::new(windows, 0, frame_size, held, &bodies).run(&pieces);
    }

    #[test]
    fn bodies_cross_windows_whole_at_their_bounds(
        bodies in prop::collection::vec((near(), near()), 1..6),
        windows in (near().prop_map(|n| n.max(1) as u32), near().prop_map(|n| n.max(1) as u32)),
        shared in prop_oneof![Just(0u32), Just(1), 16_000u32..17_000, 60_000u32..70_000, 1u32..500_000],
        frame_size in prop_oneof![Just(16384u32), Just(16385), 16384u32..70_000],
        pieces in prop::collection::vec(prop_oneof![1usize..20, near().prop_map(|n| n.max(1))], 1..30),
        held in 0usize..8,
    ) {
        Exchange::new(windows, shared, frame_size, held, &bodies).run(&pieces);
    }

    #[test]
    fn bodies_cross_windows_that_streams_share_whole(
        bodies in prop::collection::vec((0usize..90_000, 0usize..90_000), 1..12),
        windows in (1u32..70_000, 1u32..70_000),
        shared in 1u32..500_000,
        frame_size in 16384u32..40_000,
        pieces in prop::collection::vec(1usize..20_000, 1..50),
        held in 0usize..5,
    ) {
        Exchange::new(windows, shared, frame_size, held, &bodies).run(&pieces);
    }
}

/// Sizes near those at which something changes.
fn near() -> impl Strategy<Value = usize> {
    (prop::sample::select(vec![1usize, 8_192, 16_384, 32_768, 65_535]), 0usize..3).prop_map(|(n, d)| n + d - 1)
}

/// One end of an exchange: what it has to send and what it has got.
struct End {
    connection: Connection,
    wire: Vec<u8>,
    /// By number of the stream's place: bytes to send, and received.
    to_send: Vec<usize>,
    started: Vec<bool>,
    got: Vec<Vec<u8>>,
    ended: Vec<bool>,
    /// DATA that is taken later.
    held: Vec<(StreamId, usize)>,
}

/// A client that sends bodies and a server that answers with others, at the same time.
struct Exchange {
    client: End,
    server: End,
    sizes: Vec<(usize, usize)>,
    hold: usize,
}

fn place(stream: StreamId) -> usize {
    (stream as usize - 1) / 2
}

fn byte(stream: StreamId, at: usize) -> u8 {
    (stream as usize * 31 + at) as u8
}

impl End {
    fn new(role: Role, window: u32, shared: u32, frame_size: u32, to_send: Vec<usize>) -> End {
        let mut wire = Vec::new();
        let config = Config {
            initial_window_size: window,
            connection_window: window.saturating_mul(2),
            shared_window: shared,
            max_frame_size: frame_size,
            ..Config::new(role)
        };
        let count = to_send.len();
        End {
            connection: Connection::new(config, &mut wire),
            wire,
            to_send,
            started: vec![false; count],
            got: vec![Vec::new(); count],
            ended: vec![false; count],
            held: Vec::new(),
        }
    }

    /// Sends what the windows allow.
    fn send(&mut self, sizes: &[usize]) {
        for (n, size) in sizes.iter().enumerate() {
            let stream = n as StreamId * 2 + 1;
            while self.started[n] && self.to_send[n] > 0 {
                let room = self.connection.room(stream);
                if room == 0 {
                    break;
                }
                let len = room.min(self.to_send[n]);
                let from = size - self.to_send[n];
                self.to_send[n] -= len;
                assert!(self.connection.send_data_header(stream, len, self.to_send[n] == 0, &mut self.wire));
                self.wire.extend((from..from + len).map(|at| byte(stream, at)));
            }
        }
    }

    /// Reads a piece; gives the streams whose heads came.
    fn read(&mut self, piece: &[u8], hold: usize) -> Vec<StreamId> {
        let (mut at, mut heads) = (0, Vec::new());
        loop {
            let (used, event) = self.connection.receive(&piece[at..], &mut self.wire).expect("no error");
            match event {
                Event::NeedMore => break,
                Event::Head { stream, end } => {
                    heads.push(stream);
                    self.ended[place(stream)] |= end;
                }
                Event::Data { stream, range, end } => {
                    let len = range.len();
                    self.got[place(stream)].extend_from_slice(&piece[at..][range]);
                    self.ended[place(stream)] |= end;
                    self.held.push((stream, len));
                }
                Event::Settings | Event::Opened(_) => {}
                other => panic!("{other:?}"),
            }
            at += used;
        }
        while self.held.len() > hold {
            let (stream, len) = self.held.remove(0);
            self.connection.release(stream, len, &mut self.wire);
        }
        heads
    }

    fn take_wire(&mut self, most: usize) -> Vec<u8> {
        self.connection.drained();
        self.wire.drain(..most.min(self.wire.len())).collect()
    }
}

impl Exchange {
    fn new(windows: (u32, u32), shared: u32, frame_size: u32, hold: usize, bodies: &[(usize, usize)]) -> Exchange {
        let (up, down): (Vec<_>, Vec<_>) = bodies.iter().copied().unzip();
        Exchange {
            client: End::new(Role::Client, windows.0, shared, frame_size, up),
            server: End::new(Role::Server, windows.1, shared, frame_size, down),
            sizes: bodies.to_vec(),
            hold,
        }
    }

    fn run(&mut self, pieces: &[usize]) {
        let (up, down): (Vec<_>, Vec<_>) = self.sizes.iter().copied().unzip();
        for (n, size) in up.iter().enumerate() {
            let stream = self.client.connection.open().expect("within the limit");
            let mut head = Head::request(b"POST", b"/", Version::Http2);
            head.append(b"host", b"a");
            head.append(b"x-number", stream.to_string().as_bytes());
            self.client.connection.send_head(stream, &head, *size == 0, &mut self.client.wire);
            self.client.started[n] = true;
        }
        let mut quiet = 0;
        for &size in pieces.iter().cycle() {
            self.client.send(&up);
            let piece = self.client.take_wire(size);
            let mut is_quiet = piece.is_empty();
            // All that is held is taken once nothing moves any more.
            let hold = if quiet > 0 { 0 } else { self.hold };
            for stream in self.server.read(&piece, hold) {
                let n = place(stream);
                let end = down[n] == 0;
                let head = Head::response(200, b"", Version::Http2);
                self.server.connection.send_head(stream, &head, end, &mut self.server.wire);
                self.server.started[n] = true;
            }
            self.server.send(&down);
            let piece = self.server.take_wire(size);
            self.client.read(&piece, hold);
            is_quiet &= piece.is_empty();
            quiet = if is_quiet { quiet + 1 } else { 0 };
            if quiet > 3 {
                break;
            }
        }
        self.check(&up, &down);
    }

    fn check(&self, up: &[usize], down: &[usize]) {
        for n in 0..up.len() {
            let stream = n as StreamId * 2 + 1;
            for (got, len) in [(&self.server.got[n], up[n]), (&self.client.got[n], down[n])] {
                assert_eq!(got.len(), len, "bytes of stream {stream}");
                assert!(got.iter().enumerate().all(|(at, &b)| b == byte(stream, at)));
            }
            assert!(self.server.ended[n] && self.client.ended[n]);
        }
        for end in [&self.client, &self.server] {
            assert_eq!((end.connection.open_streams(), end.connection.glitches()), (0, 0));
        }
    }
}
