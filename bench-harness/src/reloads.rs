//! `reloads`: twenty in a row under 5,000 requests a second, half a second apart and more, by each of the ways that
//! users have: `-sf`, `-x` with `-sf`, USR2 to the master, `reload` on the master's socket. Told are the requests that
//! failed, the p99 beside the one without reloads, and the memory before and after.

use std::io::{Read as _, Write as _};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use rustix::process::Signal;

use crate::child::{Child, Folder, Start};
use crate::cli::Options;
use crate::loaded;
use crate::peer::{Kind, Peer, free_port, local};
use crate::procstat::Memory;
use crate::run::{Origin, Plan};

const RELOADS: usize = 20;
const APART: Duration = Duration::from_millis(1500);

#[derive(Debug, Clone, Copy, PartialEq)]
enum Method {
    Sf,
    XSf,
    Usr2,
    Reload,
}

impl Method {
    const ALL: [Self; 4] = [Self::Sf, Self::XSf, Self::Usr2, Self::Reload];

    fn name(self) -> &'static str {
        match self {
            Self::Sf => "-sf",
            Self::XSf => "-x -sf",
            Self::Usr2 => "USR2",
            Self::Reload => "reload",
        }
    }

    fn has_master(self) -> bool {
        matches!(self, Self::Usr2 | Self::Reload)
    }
}

pub fn measure(options: &Options) -> Result<(), String> {
    let plan = options.plan(&["ringway", "haproxy"])?;
    let origin = Origin::start(&plan.cores.origin)?;
    println!(
        "{RELOADS} reloads {} ms apart, 4,000 kept and 1,000 new connections' requests a second, downloads of 16 MB",
        APART.as_millis()
    );
    println!(
        "{:<12} {:<8} {:>9} {:>7} {:>12} {:>12} {:>7} {:>11} {:>10}",
        "peer", "by", "requests", "failed", "p99 ms quiet", "p99 ms then", "ratio", "PSS kB then", "kB after"
    );
    for peer in plan.peers.iter().filter(|peer| peer.kind == Kind::Haproxy) {
        for method in Method::ALL {
            match peer.absent.clone().map_or_else(|| one(&plan, &origin, peer, method), Err) {
                Ok(row) => println!("{:<12} {:<8} {row}", peer.name, method.name()),
                Err(error) => println!("{:<12} {:<8} {error}", peer.name, method.name()),
            }
        }
    }
    Ok(())
}

/// A proxy that is replaced again and again, and those who have not left yet.
struct Generations<'a> {
    program: &'a Path,
    cpus: &'a [usize],
    folder: &'a Folder,
    method: Method,
    living: Vec<Child>,
}

impl Generations<'_> {
    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn start(&mut self) -> Result<(), String> {
        let complaints = self.path("stderr");
        let mut start = Start::new(self.program, self.cpus);
        let (config, master, stats) = (self.path("haproxy.cfg"), self.path("master"), self.path("stats"));
        start.arguments = vec!["-f".into(), config.into()];
        if self.method.has_master() {
            start.arguments.extend(["-W".into(), "-S".into(), master.into()]);
        } else {
            start.arguments.push("-db".into());
        }
        if let Some(last) = self.living.last() {
            if self.method == Method::XSf {
                start.arguments.extend(["-x".into(), stats.into()]);
            }
            start.arguments.extend(["-sf".into(), last.pid().to_string().into()]);
        }
        start.stderr = Some(&complaints);
        start.has_workers = self.method.has_master();
        self.living.push(start.spawn()?);
        Ok(())
    }

    fn reload(&mut self) -> Result<(), String> {
        self.living.retain_mut(Child::is_running);
        match self.method {
            Method::Sf | Method::XSf => self.start(),
            Method::Usr2 => {
                self.living.last().ok_or("nobody lives")?.signal(Signal::USR2);
                Ok(())
            }
            Method::Reload => {
                let told = |error: std::io::Error| format!("master's socket: {error}");
                let mut master = UnixStream::connect(self.path("master")).map_err(told)?;
                master.write_all(b"reload\n").map_err(told)?;
                let mut answer = String::new();
                master.read_to_string(&mut answer).map_err(told)?;
                // HAProxy 2.6 answers nothing.
                if answer.contains("Success=0") { Err(answer) } else { Ok(()) }
            }
        }
    }

    fn pss_kb(&self) -> u64 {
        self.living.last().map_or(0, |child| Memory::of_group(child.pid()).pss / 1024)
    }
}

fn one(plan: &Plan, origin: &Origin, peer: &Peer, method: Method) -> Result<String, String> {
    let folder = Folder::new()?;
    let port = free_port()?;
    let stats = folder.path().join("stats");
    let config = format!(
        "global\n    nbthread 1\n    stats socket {} level admin expose-fd listeners\n\ndefaults\n    mode http\n    \
         timeout connect 5s\n    timeout client 60s\n    timeout server 60s\n\nfrontend f\n    bind 127.0.0.1:{port}\n    \
         default_backend b\n\nbackend b\n    server s 127.0.0.1:{}\n",
        stats.display(),
        origin.ports.http
    );
    std::fs::write(folder.path().join("haproxy.cfg"), config).map_err(|error| error.to_string())?;
    let cpus = &plan.cores.proxy;
    let mut proxy = Generations { program: &peer.program, cpus, folder: &folder, method, living: Vec::new() };
    proxy.start()?;
    loaded::wait_for(local(port))?;
    let (load, around) = (&plan.cores.load, origin.folder.path());
    let (quiet, ()) = loaded::run(&loaded::traffic(local(port), 10), load, around, || Ok(()))?;
    let before = proxy.pss_kb();
    let seconds = (APART * (RELOADS as u32 + 2)).as_secs() + 2;
    let (then, ()) = loaded::run(&loaded::traffic(local(port), seconds), load, around, || {
        for _ in 0..RELOADS {
            std::thread::sleep(APART);
            proxy.reload()?;
        }
        Ok(())
    })?;
    let after = settled(&mut proxy, before);
    let (p99_quiet, p99_then) = (loaded::p99_ms(&quiet), loaded::p99_ms(&then));
    Ok(format!(
        "{:>9} {:>7} {:>12.2} {:>12.2} {:>7.2} {:>11} {:>10}  {}",
        loaded::requests(&then),
        loaded::errors(&then) + loaded::errors(&quiet),
        p99_quiet,
        p99_then,
        p99_then / p99_quiet,
        before,
        after,
        loaded::first_error(&then)
    ))
}

/// The memory when those who were replaced have left, or what it still is after a while.
fn settled(proxy: &mut Generations, before: u64) -> u64 {
    let end = Instant::now() + Duration::from_secs(15);
    loop {
        proxy.living.retain_mut(Child::is_running);
        let now = proxy.pss_kb();
        if Instant::now() > end || proxy.living.len() == 1 && now <= before + before / 10 {
            return now;
        }
        std::thread::sleep(Duration::from_millis(200));
    }
}
