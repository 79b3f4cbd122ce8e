//! TCP ports that cannot clash: each is bound by the test with SO_REUSEPORT and never listened on, so the kernel
//! gives it to nobody else while the program under test, which binds with SO_REUSEPORT too, may listen on it.

use socket2::{Domain, Socket, Type};
use std::io::{BufRead, BufReader};
use std::net::{Ipv4Addr, Ipv6Addr, SocketAddr, TcpStream};
use std::time::Duration;

/// A port held for a program. Connections to it are refused until that program listens.
pub struct Port {
    _holder: Socket,
    pub number: u16,
}

impl Port {
    pub fn hold() -> Port {
        Port::hold_at(SocketAddr::from((Ipv4Addr::LOCALHOST, 0)))
    }

    pub fn hold_v6() -> Port {
        Port::hold_at(SocketAddr::from((Ipv6Addr::LOCALHOST, 0)))
    }

    fn hold_at(address: SocketAddr) -> Port {
        let holder = Socket::new(Domain::for_address(address), Type::STREAM, None).expect("a socket");
        holder.set_reuse_address(true).expect("SO_REUSEADDR");
        holder.set_reuse_port(true).expect("SO_REUSEPORT");
        holder.bind(&address.into()).expect("a free port");
        let bound = holder.local_addr().expect("its address");
        let number = bound.as_socket().expect("an internet address").port();
        Port { _holder: holder, number }
    }
}

/// A port whose SYNs are dropped: its accept queue (of one) is full and nobody accepts.
pub struct BlackHole {
    _listener: Socket,
    _fillers: Vec<TcpStream>,
    pub number: u16,
}

impl BlackHole {
    pub fn open() -> BlackHole {
        let listener = Socket::new(Domain::IPV4, Type::STREAM, None).expect("a socket");
        listener.bind(&SocketAddr::from((Ipv4Addr::LOCALHOST, 0)).into()).expect("a free port");
        listener.listen(0).expect("listen");
        let address = listener.local_addr().expect("its address").as_socket().expect("an internet address");
        let mut fillers = Vec::new();
        while let Ok(filler) = TcpStream::connect_timeout(&address, Duration::from_millis(60)) {
            fillers.push(filler);
            assert!(fillers.len() < 8, "the accept queue never fills");
        }
        BlackHole { _listener: listener, _fillers: fillers, number: address.port() }
    }
}

/// Whether somebody listens on this TCP port, seen without connecting (a connection would be logged).
pub fn is_listened_on(port: u16) -> bool {
    ["/proc/net/tcp", "/proc/net/tcp6"].iter().any(|table| {
        let Ok(file) = std::fs::File::open(table) else { return false };
        // Listeners come first: what follows may be thousands of connections, and is not read.
        let lines = BufReader::new(file).lines().map_while(Result::ok).skip(1);
        let listeners = lines.map_while(|line| {
            let mut words = line.split_ascii_whitespace().skip(1);
            let local = words.next()?.rsplit(':').next().map(str::to_string)?;
            (words.nth(1)? == "0A").then_some(local)
        });
        listeners.into_iter().any(|local| u16::from_str_radix(&local, 16) == Ok(port))
    })
}
