//! Peers: the programs that stand between generator and origin, and `direct`, where nothing does. Finds them, asks
//! their version, starts them on a scenario and says why when it cannot.

use std::ffi::OsString;
use std::net::{Ipv4Addr, SocketAddr, TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use crate::certs;
use crate::child::{Child, Folder, Start};
use crate::config::{self, Language, Place};
use crate::origin::Ports;
use crate::scenario::{Key, Mode, Scenario, Shape};

#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// No proxy: the limit of what generator and origin can do.
    Direct,
    /// Reads haproxy.cfg: HAProxy, ringway.
    Haproxy,
    Nginx,
    /// A relay of `engines`: `--listen ADDR --to ADDR`, TCP only.
    Relay,
}

#[derive(Debug, Clone, PartialEq)]
pub struct Peer {
    pub name: String,
    pub kind: Kind,
    pub program: PathBuf,
    pub version: String,
    /// Why it takes part in nothing.
    pub absent: Option<String>,
}

impl Peer {
    /// `ringway`, `haproxy`, `nginx`, `direct`, or `NAME=PATH`.
    pub fn parse(word: &str, repository: &Path) -> Self {
        let (name, program) = match word.split_once('=') {
            Some((name, path)) => (name, Some(PathBuf::from(path))),
            None if word == "ringway" => (word, Some(repository.join("target/release/ringway"))),
            None => (word, find(word)),
        };
        let stem = program.as_deref().and_then(Path::file_name).unwrap_or_default().to_string_lossy().into_owned();
        let kind = match () {
            () if name == "direct" => Kind::Direct,
            () if stem.starts_with("nginx") => Kind::Nginx,
            () if stem.starts_with("relay-") => Kind::Relay,
            () => Kind::Haproxy,
        };
        let program = program.and_then(|path| path.canonicalize().ok());
        let absent = match &program {
            _ if kind == Kind::Direct => None,
            Some(_) => None,
            None if name == "ringway" => Some("not built (cargo build --release)".to_owned()),
            None => Some("not installed".to_owned()),
        };
        let program = program.unwrap_or_default();
        let version = if absent.is_none() { version(&kind, &program) } else { String::new() };
        Self { name: name.to_owned(), kind, program, version, absent }
    }

    /// Why this peer cannot do this scenario at all, before anything is started.
    pub fn lacks(&self, scenario: &Scenario) -> Option<String> {
        if let Some(absent) = &self.absent {
            return Some(absent.clone());
        }
        let proxy = &scenario.proxy;
        match self.kind {
            Kind::Direct
                if matches!(scenario.load.shape, Shape::Idle | Shape::IdleH2 | Shape::Still | Shape::Start) =>
            {
                Some("there is no proxy to look at".to_owned())
            }
            Kind::Direct if proxy.h2 => Some("the origin speaks no HTTP/2".to_owned()),
            Kind::Direct if proxy.gzip => Some("the origin does not compress".to_owned()),
            Kind::Relay if proxy.mode == Mode::Http && *proxy != crate::scenario::Proxy::default() => {
                Some("the relay only relays bytes".to_owned())
            }
            _ => None,
        }
    }
}

/// A program on the PATH or where distributions put servers.
pub fn find(program: &str) -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let extra = ["/usr/sbin", "/usr/local/sbin"].map(PathBuf::from);
    std::env::split_paths(&path).chain(extra).map(|folder| folder.join(program)).find(|path| path.is_file())
}

/// The first line that names a version.
fn version(kind: &Kind, program: &Path) -> String {
    let flag = match kind {
        Kind::Direct | Kind::Relay => return String::new(),
        _ => "-v",
    };
    let Ok(output) = Command::new(program).arg(flag).output() else { return "unknown".to_owned() };
    let text = [output.stdout, output.stderr].concat();
    let line = String::from_utf8_lossy(&text).lines().next().unwrap_or("unknown").to_owned();
    let line = line.replace("version: ", "");
    line.split(" - ").next().unwrap_or("").trim().to_owned()
}

/// A proxy that answers, or the origin itself.
pub struct Running {
    pub address: SocketAddr,
    pub child: Option<Child>,
    /// From the start of the process to the first accepted connection.
    pub start: Duration,
    _folder: Option<Folder>,
}

/// What surrounds a proxy.
pub struct Surroundings<'a> {
    pub ports: &'a Ports,
    /// Holds certificates and the log socket.
    pub folder: &'a Path,
    pub cpus: &'a [usize],
    /// Put before the program: a tool that runs it (valgrind and its options).
    pub under: &'a [OsString],
    /// How long it may take to listen.
    pub patience: Duration,
}

impl Peer {
    /// Starts it and waits until it accepts connections.
    pub fn start(&self, scenario: &Scenario, around: &Surroundings) -> Result<Running, String> {
        let tcp_origin = match scenario.load.shape {
            Shape::PingPong => Some(around.ports.echo),
            Shape::Bulk => Some(around.ports.bulk),
            _ => None,
        };
        if self.kind == Kind::Direct {
            let plain = tcp_origin.unwrap_or(around.ports.http);
            let port = scenario.proxy.tls.map_or(plain, |tls| around.ports.tls(tls));
            return Ok(Running { address: local(port), child: None, start: Duration::ZERO, _folder: None });
        }
        let folder = Folder::new()?;
        let place = Place {
            port: free_port()?,
            origin_port: tcp_origin.unwrap_or(around.ports.http),
            folder: folder.path().to_owned(),
            pem: scenario.proxy.tls.map(|tls| certs::pem_path(around.folder, tls.key)),
            log_socket: around.folder.join("log.sock"),
        };
        let arguments = self.arguments(scenario, &place)?;
        let complaints = folder.path().join("stderr");
        let program = around.under.first().map_or(self.program.as_path(), |word| Path::new(word));
        let mut start = Start::new(program, around.cpus);
        if !around.under.is_empty() {
            start.arguments = around.under[1..].to_vec();
            start.arguments.push(self.program.clone().into());
        }
        start.arguments.extend(arguments);
        start.stderr = Some(&complaints);
        start.has_workers = self.kind == Kind::Nginx && scenario.proxy.threads > 1;
        let began = Instant::now();
        let mut child = start.spawn()?;
        let address = local(place.port);
        loop {
            if TcpStream::connect(address).is_ok() {
                break;
            }
            if !child.is_running() || began.elapsed() > around.patience {
                let text = std::fs::read_to_string(&complaints).unwrap_or_default();
                return Err(format!("does not start: {}", first_complaint(&text)));
            }
            std::thread::sleep(Duration::from_micros(200));
        }
        Ok(Running { address, child: Some(child), start: began.elapsed(), _folder: Some(folder) })
    }

    /// Writes the configuration, lets the program check it, and says how to run it.
    fn arguments(&self, scenario: &Scenario, place: &Place) -> Result<Vec<OsString>, String> {
        let words = |words: &[&str]| words.iter().map(OsString::from).collect::<Vec<_>>();
        match self.kind {
            Kind::Direct => Ok(Vec::new()),
            Kind::Relay => {
                let (listen, to) = (local(place.port).to_string(), local(place.origin_port).to_string());
                Ok(words(&["--listen", &listen, "--to", &to]))
            }
            Kind::Haproxy => {
                let path = write(place, "haproxy.cfg", &config::render(Language::Haproxy, scenario, place)?)?;
                Ok(words(&["-db", "-f", &path]))
            }
            Kind::Nginx => {
                let path = write(place, "nginx.conf", &config::render(Language::Nginx, scenario, place)?)?;
                let errors = place.folder.join("nginx.log").display().to_string();
                Ok(words(&["-p", &place.folder.display().to_string(), "-e", &errors, "-c", &path]))
            }
        }
    }

    /// Lets the program itself judge the configuration; its words become the reason for skipping.
    pub fn check(&self, scenario: &Scenario, around: &Surroundings) -> Result<(), String> {
        let folder = Folder::new()?;
        let place = Place {
            port: free_port()?,
            origin_port: around.ports.http,
            folder: folder.path().to_owned(),
            pem: scenario.proxy.tls.map(|_| certs::pem_path(around.folder, Key::Ec)),
            log_socket: around.folder.join("log.sock"),
        };
        let arguments = self.arguments(scenario, &place)?;
        let check: Vec<OsString> = match self.kind {
            Kind::Direct | Kind::Relay => return Ok(()),
            Kind::Haproxy => vec!["-c".into(), "-f".into(), place.folder.join("haproxy.cfg").into()],
            Kind::Nginx => [vec!["-t".into()], arguments].concat(),
        };
        let output = Command::new(&self.program).args(check).output().map_err(|error| error.to_string())?;
        if output.status.success() {
            return Ok(());
        }
        let text = [output.stderr, output.stdout].concat();
        Err(format!("refuses the configuration: {}", first_complaint(&String::from_utf8_lossy(&text))))
    }
}

fn write(place: &Place, name: &str, text: &str) -> Result<String, String> {
    let path = place.folder.join(name);
    std::fs::write(&path, text).map_err(|error| format!("{}: {error}", path.display()))?;
    Ok(path.display().to_string())
}

/// The line that carries the news: an alert, an error, or simply the first.
fn first_complaint(text: &str) -> String {
    let telling = |line: &&str| line.contains("ALERT") || line.contains("[emerg]") || line.contains("error");
    let line = text.lines().find(telling).or_else(|| text.lines().find(|line| !line.trim().is_empty()));
    line.unwrap_or("no reason given").trim().to_owned()
}

pub fn local(port: u16) -> SocketAddr {
    SocketAddr::from((Ipv4Addr::LOCALHOST, port))
}

/// A port that was free a moment ago. Nobody can hand a listening socket to every proxy, so a small race remains;
/// a proxy that loses it says so and does not start.
pub fn free_port() -> Result<u16, String> {
    let listener = TcpListener::bind("127.0.0.1:0").map_err(|error| error.to_string())?;
    Ok(listener.local_addr().map_err(|error| error.to_string())?.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_gives_name_and_kind() {
        let peer = Peer::parse("new=/usr/bin/env", Path::new("/nowhere"));
        assert_eq!((peer.name.as_str(), &peer.kind, peer.absent), ("new", &Kind::Haproxy, None));
        let peer = Peer::parse("other=/nowhere/nginx-1.29", Path::new("/nowhere"));
        assert_eq!((peer.kind, peer.absent.as_deref()), (Kind::Nginx, Some("not installed")));
        let peer = Peer::parse("ringway", Path::new("/nowhere"));
        assert!(peer.absent.unwrap().contains("not built"));
        assert_eq!(Peer::parse("direct", Path::new("/nowhere")).kind, Kind::Direct);
    }

    #[test]
    fn the_alert_is_told_rather_than_the_notice() {
        let text = "[NOTICE] (1) : haproxy version\n[ALERT] (1) : config : parsing [x:3] : unknown keyword 'y'\n";
        assert!(first_complaint(text).contains("unknown keyword"));
    }
}
