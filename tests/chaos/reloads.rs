//! A master that is told to reload while clients ask its workers: none of them may notice, and at the end one worker is
//! left and the master holds no more descriptors than at the start.

use crate::common::directory::Directory;
use crate::common::load::Load;
use crate::common::port::{Port, is_listened_on};
use crate::common::program::under_test;
use crate::common::wait_until;
use std::io::{Read, Write};
use std::os::unix::net::UnixStream;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

pub struct Master {
    child: Child,
    socket: String,
    port: Port,
    descriptors: usize,
    _directory: Directory,
}

impl Master {
    pub fn start() -> Master {
        let (directory, port) = (Directory::new(), Port::hold());
        let socket = directory.join("master.sock");
        let file = directory.write(
            "c.cfg",
            format!(
                "global\n nbthread 2\n hard-stop-after 5s\ndefaults\n mode http\n timeout client 5s\n timeout connect \
                 5s\n timeout server 5s\nfrontend f\n bind 127.0.0.1:{}\n http-request return status 200\n",
                port.number
            ),
        );
        let child = Command::new(under_test())
            .args(["-W", "-f", &file, "-S", &socket])
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("a master");
        let mut master = Master { child, socket, port, descriptors: 0, _directory: directory };
        wait_until("the master's worker listens", || is_listened_on(master.port.number));
        wait_until("the master has one worker", || master.workers() == (1, 0));
        master.descriptors = master.open_descriptors();
        master
    }

    fn open_descriptors(&self) -> usize {
        std::fs::read_dir(format!("/proc/{}/fd", self.child.id())).expect("the master runs").count()
    }

    /// Workers and old workers. A master that executes itself answers nothing.
    fn workers(&self) -> (usize, usize) {
        let mut text = String::new();
        let asked = UnixStream::connect(&self.socket).and_then(|mut stream| {
            stream.set_read_timeout(Some(Duration::from_secs(2)))?;
            stream.write_all(b"show proc\n")?;
            stream.read_to_string(&mut text)
        });
        if asked.is_err() {
            return (0, 0);
        }
        let count = |part: &str| {
            let lines = text.lines().skip_while(|l| *l != part).skip(1);
            lines.take_while(|l| !l.starts_with('#')).filter(|l| !l.trim().is_empty()).count()
        };
        (count("# workers"), count("# old workers"))
    }

    /// Reloads now and then under load.
    pub fn reload_until(&mut self, end: Instant, every: Duration) {
        let every = every.clamp(Duration::from_millis(500), Duration::from_secs(20));
        let load = Load::start(self.port.number, 2, false);
        while Instant::now() < end {
            let pid = rustix::process::Pid::from_raw(self.child.id() as i32).expect("a pid");
            rustix::process::kill_process(pid, rustix::process::Signal::USR2).expect("the master runs");
            std::thread::sleep(every.min(end.saturating_duration_since(Instant::now())));
        }
        let counts = load.stop();
        assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [200], "over reloads: {counts:?}");
    }

    pub fn finish(&mut self) {
        wait_until("one worker is left", || self.workers() == (1, 0));
        wait_until("the master has closed what it opened", || self.open_descriptors() <= self.descriptors);
    }
}

impl Drop for Master {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}
