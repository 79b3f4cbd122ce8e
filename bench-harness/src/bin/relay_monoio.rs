//! The least that relays TCP on monoio: one thread, one ring, a buffer for each direction. Measured by
//! `bench-harness engines`, so that our own runtime is compared with something that can be run.
//! `relay-monoio --listen ADDR --to ADDR`

use std::net::SocketAddr;

use monoio::io::{AsyncReadRent, AsyncWriteRent, AsyncWriteRentExt, Splitable};
use monoio::net::{TcpListener, TcpStream};

const BUFFER_BYTES: usize = 16 << 10;

fn main() {
    let (listen, to) = addresses();
    let builder = monoio::RuntimeBuilder::<monoio::IoUringDriver>::new().with_entries(4096);
    let mut runtime = builder.build().expect("io_uring");
    runtime.block_on(async move {
        let listener = TcpListener::bind(listen).expect("listen");
        while let Ok((client, _)) = listener.accept().await {
            monoio::spawn(relay(client, to));
        }
    });
}

async fn relay(client: TcpStream, to: SocketAddr) {
    let Ok(server) = TcpStream::connect(to).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client_read, client_write) = client.into_split();
    let (server_read, server_write) = server.into_split();
    monoio::spawn(copy(server_read, client_write));
    copy(client_read, server_write).await;
}

async fn copy(mut from: impl AsyncReadRent, mut to: impl AsyncWriteRent) {
    let mut buffer = Vec::with_capacity(BUFFER_BYTES);
    loop {
        let (result, filled) = from.read(buffer).await;
        if !matches!(result, Ok(1..)) {
            break;
        }
        let (result, sent) = to.write_all(filled).await;
        if result.is_err() {
            break;
        }
        buffer = sent;
        buffer.clear();
    }
    let _ = to.shutdown().await;
}

fn addresses() -> (SocketAddr, SocketAddr) {
    let words: Vec<String> = std::env::args().collect();
    let after = |flag: &str| {
        let at = words.iter().position(|word| word == flag).expect("--listen ADDR --to ADDR");
        words[at + 1].parse().expect("an address")
    };
    (after("--listen"), after("--to"))
}
