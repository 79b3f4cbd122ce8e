//! TCP sessions: a line that says how much goes each way, then both ways at once, each ended on its own.

use crate::house::{Book, Front, Origin};
use crate::wire::{self, Reader};
use ringway::engine::driver::ConnectOptions;
use ringway::engine::driver::sim::random::Random;
use ringway::engine::task::{before, join, sleep};
use ringway::engine::{Conn, Rt};
use std::rc::Rc;

pub async fn serve(conn: Conn, origin: Rc<Origin>, book: Rc<Book>, mut random: Random) {
    let mut reader = Reader::new(&conn);
    let Ok(line) = reader.line().await else { return };
    let mut numbers = line.split(' ').filter_map(|n| n.parse::<u64>().ok());
    let (Some(id), Some(up), Some(down)) = (numbers.next(), numbers.next(), numbers.next()) else {
        return book.wrong(format!("origin {} got {line:?}", origin.port));
    };
    let data = wire::body(id, down as usize);
    let mut got = Vec::new();
    let slow = random.chance(200);
    let (sent, read) = join(
        async {
            let sent = wire::send(&conn, &data, &mut random, slow).await;
            conn.shutdown_write();
            sent
        },
        reader.body(wire::Framing::UntilClose, &mut got),
    )
    .await;
    if !wire::is_prefix(id + 1, &got) || got.len() as u64 > up {
        return book.wrong(format!("origin {}: session {id} corrupted", origin.port));
    }
    let whole = sent && read.is_ok() && got.len() as u64 == up;
    if !whole && !origin.may_fail && !book.stopped.get() && !book.is_rude(id) {
        book.wrong(format!("origin {}: session {id} cut: {} of {up}, {read:?}", origin.port, got.len()));
    }
}

pub async fn client(rt: Rt, front: Rc<Front>, book: Rc<Book>, mut random: Random, count: u64) {
    for _ in 0..count {
        sleep(&rt, random.below(100)).await;
        let rude = front.rude_allowed && random.chance(200);
        let id = book.next_id();
        if rude {
            book.note_rude(id);
        }
        let conn = match Conn::connect(&rt, &front.address, &ConnectOptions::default()).await {
            Ok(conn) => conn,
            Err(_) if book.stopped.get() => return,
            Err(e) => return book.wrong(format!("no connection to the proxy: {e}")),
        };
        let soon = rt.now().mono.plus(if rude { random.below(100) } else { 1_000_000 });
        let _ = before(&rt, soon, session(&conn, id, &front, &book, &mut random, rude)).await;
        if rude && random.chance(300) {
            conn.reset_on_close();
        }
    }
}

async fn session(conn: &Conn, id: u64, front: &Front, book: &Book, random: &mut Random, rude: bool) {
    let (up, down) = (random.below(*random.clone().pick(&[10, 3000, 150_000])), random.below(100_000));
    let mut out = format!("{id} {up} {down}\r\n").into_bytes();
    out.extend_from_slice(&wire::body(id + 1, up as usize));
    let mut got = Vec::new();
    let mut reader = Reader::new(conn);
    let slow = random.chance(200);
    let (sent, read) = join(
        async {
            let sent = wire::send(conn, &out, random, slow).await;
            conn.shutdown_write();
            sent
        },
        reader.body(wire::Framing::UntilClose, &mut got),
    )
    .await;
    if !wire::is_prefix(id, &got) || got.len() as u64 > down {
        return book.wrong(format!("front {}: session {id} corrupted", front.port));
    }
    let whole = sent && read.is_ok() && got.len() as u64 == down;
    if !whole && !front.forgives(book) && !rude {
        book.wrong(format!("front {}: session {id} cut: {} of {down}, sent {sent}, {read:?}", front.port, got.len()));
    }
    let count = if whole { &book.right } else { &book.cut };
    count.set(count.get() + 1);
}
