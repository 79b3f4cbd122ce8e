//! Four servers that are killed, stopped, slowed and started again, one fault a second.

use crate::common::directory::Directory;
use crate::common::port::{Port, is_listened_on};
use crate::common::wait_until;
use crate::origin::Origin;
use ringway::engine::driver::sim::random::Random;
use rustix::process::Signal;
use std::time::{Duration, Instant};

pub const NAMES: [&str; 4] = ["s1", "s2", "s3", "s4"];

pub struct Servers {
    directory: String,
    ports: Vec<[Port; 2]>,
    origins: Vec<Option<Origin>>,
    /// What still ails a server, and until when.
    faults: Vec<Option<(Fault, Instant)>>,
}

#[derive(Clone, Copy, Debug)]
enum Fault {
    Killed,
    Stopped,
    Slow,
}

impl Servers {
    pub fn start(directory: &Directory) -> Servers {
        let ports: Vec<[Port; 2]> = NAMES.iter().map(|_| [Port::hold(), Port::hold()]).collect();
        let mut servers = Servers {
            directory: directory.join(""),
            ports,
            origins: NAMES.map(|_| None).into(),
            faults: NAMES.map(|_| None).into(),
        };
        (0..NAMES.len()).for_each(|index| servers.restart(index));
        for ports in &servers.ports {
            wait_until("the servers listen", || ports.iter().all(|p| is_listened_on(p.number)));
        }
        servers
    }

    pub fn http_port(&self, index: usize) -> u16 {
        self.ports[index][0].number
    }

    pub fn echo_port(&self, index: usize) -> u16 {
        self.ports[index][1].number
    }

    fn restart(&mut self, index: usize) {
        let [http, echo] = &self.ports[index];
        self.origins[index] = Some(Origin::start(&self.directory, NAMES[index], http.number, echo.number));
    }

    fn mark(&self, index: usize) -> String {
        format!("{}{}.slow", self.directory, NAMES[index])
    }

    /// A fault each second for so long; one server in four stays well.
    pub fn trouble(&mut self, during: Duration, random: &mut Random) {
        let (end, mut next) = (Instant::now() + during, Instant::now());
        while Instant::now() < end {
            self.mend_those_due(Instant::now());
            let ill = self.faults.iter().filter(|f| f.is_some()).count();
            if Instant::now() >= next && ill < NAMES.len() - 1 {
                next += Duration::from_secs(1);
                let index = random.below(NAMES.len() as u64) as usize;
                if self.faults[index].is_none() {
                    self.harm(index, random);
                }
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.mend_those_due(end + Duration::from_secs(60));
    }

    fn harm(&mut self, index: usize, random: &mut Random) {
        let fault = *random.pick(&[Fault::Killed, Fault::Killed, Fault::Stopped, Fault::Slow]);
        match fault {
            Fault::Killed => drop(self.origins[index].take()),
            Fault::Stopped => self.signal(index, Signal::STOP),
            Fault::Slow => std::fs::write(self.mark(index), "").expect("a mark"),
        }
        // Some are restarted at once, some servers stay away for longer than `timeout server`.
        let until = Instant::now() + Duration::from_millis(*random.pick(&[0, 300, 900, 2_500]));
        self.faults[index] = Some((fault, until));
    }

    fn mend_those_due(&mut self, now: Instant) {
        for index in 0..NAMES.len() {
            let Some((fault, _)) = self.faults[index].take_if(|f| f.1 <= now) else { continue };
            match fault {
                Fault::Killed => self.restart(index),
                Fault::Stopped => self.signal(index, Signal::CONT),
                Fault::Slow => std::fs::remove_file(self.mark(index)).expect("the mark"),
            }
        }
    }

    fn signal(&self, index: usize, signal: Signal) {
        self.origins[index].as_ref().expect("a server that runs").signal(signal);
    }

    pub fn journals(&self) -> Vec<String> {
        let read = |name| std::fs::read_to_string(format!("{}{name}.journal", self.directory)).unwrap_or_default();
        NAMES.iter().map(read).collect()
    }
}
