//! A master that is told to reload under mixed traffic to a server that stays well: every client gets a whole answer, but
//! for a request that meets the end of its connection, which then no server has seen. At the end one worker is left,
//! nothing is left in it, and the master holds no more descriptors and memory than at the start.

use crate::common::directory::Directory;
use crate::common::port::{Port, is_listened_on};
use crate::common::program::under_test;
use crate::common::{tls, wait_until};
use crate::origin::Origin;
use crate::traffic::{self, CALM, Place};
use std::io::{Read, Write};
use std::net::Shutdown;
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

const MEMORY_SLACK_KB: u64 = 8 << 10;

pub struct Master {
    child: Child,
    socket: String,
    place: Place,
    descriptors: usize,
    memory_kb: u64,
    reloads: AtomicUsize,
    directory: Directory,
    _ports: Vec<Port>,
    _origin: Origin,
}

impl Master {
    pub fn start(authority: &tls::Authority) -> Master {
        let directory = Directory::new();
        let ports: Vec<Port> = (0..6).map(|_| Port::hold()).collect();
        let port = |index: usize| ports[index].number;
        let origin = Origin::start(&directory.join(""), "well", port(4), port(5));
        let place = Place::new([port(0), port(1), port(2), port(3)], &CALM, true, authority);
        let pem = directory.write("site.pem", authority.issue(&["localhost"], false, 1).pem);
        let socket = directory.join("master.sock");
        let file = directory.write(
            "c.cfg",
            format!(
                "global\n nbthread 2\n hard-stop-after 5s\ndefaults\n mode http\n timeout client 5s\n timeout connect \
                 5s\n timeout server 5s\nfrontend f\n bind 127.0.0.1:{}\n bind 127.0.0.1:{} proto h2\n \
                 bind 127.0.0.1:{} ssl crt {pem} alpn h2,http/1.1\n http-request track-sc0 path\n \
                 stick-table type string len 32 size 200 expire 2s store http_req_rate(1s),conn_cur\n default_backend b\n\
                 backend b\n server well 127.0.0.1:{}\nlisten t\n mode tcp\n bind 127.0.0.1:{}\n \
                 server well 127.0.0.1:{}\n",
                place.http, place.h2, place.tls, port(4), place.tcp, port(5)
            ),
        );
        let child = Command::new(under_test())
            .args(["-W", "-f", &file, "-S", &socket])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a master");
        let mut master = Master {
            child,
            socket,
            place,
            descriptors: 0,
            memory_kb: 0,
            reloads: AtomicUsize::new(0),
            directory,
            _ports: ports,
            _origin: origin,
        };
        wait_until("the master's worker and its server listen", || {
            master._ports.iter().all(|port| is_listened_on(port.number))
        });
        wait_until("the master has one worker", || master.workers() == (1, 0));
        master.descriptors = master.open_descriptors();
        master.memory_kb = master.memory_kb();
        master
    }

    fn open_descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("the master runs").count()
    }

    fn memory_kb(&self) -> u64 {
        crate::common::program::memory_kb(self.child.id())
    }

    /// What the master's socket answers. A master that executes itself answers nothing.
    fn ask(&self, command: &str) -> Option<String> {
        let mut text = String::new();
        let mut stream = UnixStream::connect(&self.socket).ok()?;
        stream.set_read_timeout(Some(Duration::from_secs(2))).ok()?;
        stream.write_all(format!("{command}\n").as_bytes()).ok()?;
        stream.shutdown(Shutdown::Write).ok()?;
        stream.read_to_string(&mut text).ok()?;
        Some(text)
    }

    /// Workers and old workers.
    fn workers(&self) -> (usize, usize) {
        let Some(text) = self.ask("show proc") else { return (0, 0) };
        let count = |part: &str| {
            let lines = text.lines().skip_while(|l| *l != part).skip(1);
            lines.take_while(|l| !l.starts_with('#')).filter(|l| !l.trim().is_empty()).count()
        };
        (count("# workers"), count("# old workers"))
    }

    /// Reloads now and then under load.
    pub fn reload_until(&self, end: Instant, every: Duration, seed: u64) {
        let every = every.clamp(Duration::from_millis(500), Duration::from_secs(10));
        traffic::run(&self.place, seed, || {
            while Instant::now() < end {
                let pid = rustix::process::Pid::from_raw(self.child.id() as i32).expect("a pid");
                rustix::process::kill_process(pid, rustix::process::Signal::USR2).expect("the master runs");
                self.reloads.fetch_add(1, Ordering::Relaxed);
                std::thread::sleep(every.min(end.saturating_duration_since(Instant::now())));
            }
        });
    }

    /// What went wrong, and what there is to tell.
    pub fn finish(&self) -> (Vec<String>, String) {
        wait_until("one worker is left", || self.workers() == (1, 0));
        wait_until("the master has closed what it opened", || self.open_descriptors() <= self.descriptors);
        wait_until("nothing is left in the worker", || {
            let info = self.ask("@1 show info").unwrap_or_default();
            ["CurrConns: 0\n", "CurrSslConns: 0\n"].iter().all(|none| info.contains(none))
        });
        let book = &self.place.book;
        let journal = std::fs::read_to_string(self.directory.join("well.journal")).unwrap_or_default();
        let mut wrongs = book.disagreements(&[journal]);
        if self.memory_kb() > self.memory_kb + MEMORY_SLACK_KB {
            wrongs.push(format!("the master's memory has grown from {} to {} kB", self.memory_kb, self.memory_kb()));
        }
        let told = format!(
            "{} reloads: {:?}; the master: {} descriptors, {} kB; before: {} and {}",
            self.reloads.load(Ordering::Relaxed),
            book.counts(),
            self.open_descriptors(),
            self.memory_kb(),
            self.descriptors,
            self.memory_kb
        );
        (wrongs, told)
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
