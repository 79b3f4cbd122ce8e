//! The least that relays TCP on tokio-uring: one thread, one ring, a buffer for each direction. Measured by
//! `bench-harness engines`, so that our own runtime is compared with something that can be run.
//! `relay-tokio-uring --listen ADDR --to ADDR`

use std::net::{Shutdown, SocketAddr};
use std::rc::Rc;

use tokio_uring::buf::BoundedBuf;
use tokio_uring::net::{TcpListener, TcpStream};

const BUFFER_BYTES: usize = 16 << 10;

fn main() {
    let (listen, to) = addresses();
    tokio_uring::builder().entries(4096).start(async move {
        let listener = TcpListener::bind(listen).expect("listen");
        while let Ok((client, _)) = listener.accept().await {
            tokio_uring::spawn(relay(client, to));
        }
    });
}

async fn relay(client: TcpStream, to: SocketAddr) {
    let Ok(server) = TcpStream::connect(to).await else { return };
    let _ = (client.set_nodelay(true), server.set_nodelay(true));
    let (client, server) = (Rc::new(client), Rc::new(server));
    tokio_uring::spawn(copy(server.clone(), client.clone()));
    copy(client, server).await;
}

async fn copy(from: Rc<TcpStream>, to: Rc<TcpStream>) {
    let mut buffer = vec![0; BUFFER_BYTES];
    loop {
        let (result, filled) = from.read(buffer).await;
        let Ok(bytes @ 1..) = result else { break };
        let (result, sent) = to.write_all(filled.slice(..bytes)).await;
        if result.is_err() {
            break;
        }
        buffer = sent.into_inner();
    }
    let _ = to.shutdown(Shutdown::Write);
}

fn addresses() -> (SocketAddr, SocketAddr) {
    let words: Vec<String> = std::env::args().collect();
    let after = |flag: &str| {
        let at = words.iter().position(|word| word == flag).expect("--listen ADDR --to ADDR");
        words[at + 1].parse().expect("an address")
    };
    (after("--listen"), after("--to"))
}
