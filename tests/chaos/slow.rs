//! Clients that cost the proxy more than others: they send byte by byte, read little at a time, leave in the middle, or
//! begin something and say no more.

use crate::common::tls;
use crate::traffic::{Ask, Place, dial, patient};
use ringway::engine::driver::sim::random::Random;
use socket2::{Domain, SockRef, Socket, Type};
use std::io::{Read, Write};
use std::net::{SocketAddr, TcpStream};
use std::time::Duration;

/// More than what two sockets hold between a server's answer and a client that does not read it.
const TOO_MUCH: usize = 12_000_000;

pub fn dial_with_a_small_window(port: u16) -> TcpStream {
    let socket = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
    socket.set_recv_buffer_size(4096).expect("a small window");
    socket.connect(&SocketAddr::from(([127, 0, 0, 1], port)).into()).expect("the proxy takes connections");
    patient(socket.into())
}

pub fn trickle(stream: &mut impl Write, bytes: &[u8]) -> std::io::Result<()> {
    for byte in bytes {
        stream.write_all(&[*byte])?;
        std::thread::sleep(Duration::from_micros(500));
    }
    Ok(())
}

/// Half a request, or an answer not awaited.
pub fn leave(stream: &mut TcpStream, place: &Place, random: &mut Random) {
    let out = Ask::random(&place.book, random).encode();
    let length = if random.chance(500) { out.len() } else { random.below(out.len() as u64) as usize };
    let _ = stream.write_all(&out[..length]);
    std::thread::sleep(Duration::from_millis(random.below(30)));
    if random.chance(500) {
        let _ = SockRef::from(&*stream).set_linger(Some(Duration::ZERO));
    }
}

/// The proxy must end it, whatever it was.
pub fn stall(place: &Place, random: &mut Random) {
    let [plain, encrypted] = place.rude;
    let request = Ask::random(&place.book, random).encode();
    let half = &request[..random.below(request.len() as u64) as usize];
    let what = *random.pick(&["silence", "half a request", "no room", "half a handshake", "TLS and silence", "idle"]);
    let ended = match what {
        "silence" => ends(dial(plain)),
        "half a request" => begin(dial(plain), half),
        "no room" => {
            let mut stream = dial_with_a_small_window(plain);
            let mut ask = Ask::random(&place.book, random);
            ask.size = TOO_MUCH;
            let _ = stream.write_all(&ask.encode());
            // Longer than `timeout client`.
            std::thread::sleep(Duration::from_millis(1_300));
            ends(stream)
        }
        "half a handshake" => begin(dial(encrypted), b"\x16\x03\x01\x02\0\x01\0\x01"),
        "TLS and silence" => match tls::connect(&place.settings[random.below(2) as usize], encrypted, "localhost") {
            Ok(stream) => begin(stream, &half[..half.len().min(8)]),
            Err(error) => {
                place.book.wrong(format!("no TLS: {error}"));
                true
            }
        },
        _ => begin(dial(plain), &request),
    };
    if !ended {
        place.book.wrong(format!("a connection stays in spite of {what}"));
    }
}

fn begin(mut stream: impl Read + Write, bytes: &[u8]) -> bool {
    let _ = stream.write_all(bytes).and_then(|()| stream.flush());
    ends(stream)
}

/// Reads until the other side ends the connection; false when a read takes too long.
fn ends(mut stream: impl Read) -> bool {
    let mut piece = [0; 65_536];
    loop {
        match stream.read(&mut piece) {
            Ok(n) if n > 0 => {}
            Err(error) => {
                break !matches!(error.kind(), std::io::ErrorKind::WouldBlock | std::io::ErrorKind::TimedOut);
            }
            Ok(_) => break true,
        }
    }
}
