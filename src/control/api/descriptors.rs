//! Looking at the descriptors of the process for `show fd`. The kernel is asked what each is, and the configuration whose it
//! must be: workers are not disturbed. In pieces, for there may be hundreds of thousands.

use super::process::Seat;
use super::{Control, PIECE, flush};
use crate::admin::runtime_api::Answer;
use crate::admin::runtime_api::command::descriptors::Wanted;
use crate::base::address::Address;
use crate::engine::Conn;
use crate::engine::descriptors::{Descriptor, Kind, look_at};
use crate::engine::task::yield_now;
use crate::model::plan::Plan;
use std::collections::HashMap;
use std::fmt::Write;
use std::rc::Rc;

/// Descriptors that are looked at between two turns of the loop.
const LOOKS: i32 = 512;

/// Writes a line for each. What remains to be answered; `None` when the client is not there any more.
pub async fn run(
    control: &Rc<Control>,
    conn: &Conn,
    seat: &Seat<'_>,
    wanted: Wanted,
    out: &mut Vec<u8>,
) -> Option<Answer> {
    let owners = Owners::new(control);
    let (first, end) = match wanted.number {
        Some(number) => (number, number.saturating_add(1)),
        None => (0, i32::try_from(control.shared.about.ulimit_n).unwrap_or(i32::MAX)),
    };
    for fd in first..end {
        let Some(found) = look_at(fd) else { continue };
        let (shown, line) = owners.line(&found);
        let is_wanted = match shown {
            Shown::Pipe => wanted.pipes,
            Shown::Listener => wanted.listeners,
            Shown::Frontend => wanted.frontend,
            Shown::Server => wanted.server,
            Shown::Other => wanted.others,
        };
        if is_wanted {
            out.extend_from_slice(line.as_bytes());
        }
        if out.len() >= PIECE && !flush(conn, out, seat.timeout()).await {
            return None;
        }
        if fd % LOOKS == LOOKS - 1 {
            yield_now(&control.rt).await;
        }
    }
    Some(Answer::Empty)
}

enum Shown {
    Pipe,
    Listener,
    Frontend,
    Server,
    Other,
}

/// Who listens and who is connected to, by address.
struct Owners {
    listeners: HashMap<Address, String>,
    servers: HashMap<Address, String>,
}

impl Owners {
    fn new(control: &Control) -> Owners {
        let plan: &Plan = &control.shared.plan;
        let mut owners = Owners { listeners: HashMap::new(), servers: HashMap::new() };
        for bind in &plan.global.stats_sockets {
            owners.listeners.extend(bind.addresses.iter().map(|a| (a.clone(), "GLOBAL".to_owned())));
        }
        for section in &plan.peers {
            owners.listeners.extend(section.listeners().into_iter().map(|(a, _)| (a, section.name.clone())));
        }
        for (index, proxy) in plan.proxies.iter().enumerate() {
            for bind in &proxy.frontend.binds {
                owners.listeners.extend(bind.addresses.iter().map(|a| (a.clone(), proxy.name.clone())));
            }
            for (_, server) in control.shared.board.live.backend(index).servers() {
                if let Some(address) = server.address() {
                    let name = format!("{}/{}", server.settings.name, proxy.name);
                    owners.servers.entry((*address).clone()).or_insert(name);
                }
            }
        }
        for ring in &plan.rings {
            for server in &ring.servers {
                let name = format!("{}/{}", server.name, ring.name);
                owners.servers.extend(server.address.clone().map(|a| (a, name)));
            }
        }
        owners
    }

    /// The frontend that has this address, or listens at its port everywhere.
    fn frontend(&self, local: &Address) -> Option<&str> {
        let other = match local {
            Address::Ip(at) => {
                let any: [std::net::IpAddr; 2] =
                    [std::net::Ipv4Addr::UNSPECIFIED.into(), std::net::Ipv6Addr::UNSPECIFIED.into()];
                any.into_iter().find_map(|ip| self.listeners.get(&Address::Ip((ip, at.port()).into())))
            }
            // The kernel keeps the name that it was bound to, before the file was renamed.
            Address::Unix(path) => {
                let name = path.to_str().and_then(|p| p.strip_suffix(".tmp"));
                let path = name.and_then(|n| n.rsplit_once('.')).map(|(path, _)| path);
                path.and_then(|path| self.listeners.get(&Address::Unix(path.into())))
            }
            _ => None,
        };
        self.listeners.get(local).or(other).map(String::as_str)
    }

    fn line(&self, found: &Descriptor) -> (Shown, String) {
        let mut line = format!("{:>7} : ", found.fd);
        let local = found.local.as_ref();
        let frontend = local.and_then(|a| self.frontend(a));
        let server = found.peer.as_ref().and_then(|a| self.servers.get(a));
        // Writing to a String cannot fail.
        let shown = match found.kind {
            Kind::Pipe => {
                line.push_str("type=pipe");
                Shown::Pipe
            }
            Kind::Other => {
                line.push_str("type=other");
                Shown::Other
            }
            Kind::Datagram => {
                let _ = write!(line, "type=datagram{}", family(local));
                if let Some(peer) = &found.peer {
                    let _ = write!(line, " dst={}", shown(peer));
                }
                Shown::Other
            }
            Kind::Listener => {
                let _ = write!(line, "type=listener l.st=RDY fe={}{}", frontend.unwrap_or("<NONE>"), family(local));
                Shown::Listener
            }
            Kind::Connection => {
                let (unread, unsent) = (found.unread, found.unsent);
                let peer = found.peer.as_ref().map_or("<NONE>".to_owned(), shown);
                match (frontend, server) {
                    (Some(frontend), _) => {
                        let _ = write!(line, "type=connection back=0{} fe={frontend} src={peer}", family(local));
                        let _ = write!(line, " rq={unread} sq={unsent}");
                        Shown::Frontend
                    }
                    (None, Some(server)) => {
                        let _ = write!(line, "type=connection back=1{} sv={server} dst={peer}", family(local));
                        let _ = write!(line, " rq={unread} sq={unsent}");
                        Shown::Server
                    }
                    (None, None) => {
                        let _ = write!(line, "type=socket{} rq={unread} sq={unsent}", family(local));
                        Shown::Other
                    }
                }
            }
        };
        line.push('\n');
        (shown, line)
    }
}

fn family(local: Option<&Address>) -> String {
    match local {
        Some(Address::Ip(at)) => format!(" fam={} lport={}", if at.is_ipv4() { "ipv4" } else { "ipv6" }, at.port()),
        Some(_) => " fam=unix".to_owned(),
        None => String::new(),
    }
}

fn shown(peer: &Address) -> String {
    match peer {
        Address::Unix(path) if path.as_os_str().is_empty() => "unix".to_owned(),
        other => other.to_string(),
    }
}
