//! What clients, servers and the log say of each request, and whether they agree.

use crate::common::syslog::Syslog;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

/// How a request ended for its client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Outcome {
    Right,
    /// An answer of the proxy's own.
    Own(u16),
    /// A server's answer, cut.
    Cut,
    /// The connection ended without an answer.
    Nothing,
    Wrong(String),
}

/// Termination codes with which HAProxy logs an outcome (manual 8.5): the server's side is at fault in all of them.
fn codes(outcome: &Outcome) -> &'static [&'static str] {
    match outcome {
        Outcome::Own(502) | Outcome::Nothing => &["SH"],
        Outcome::Own(503) => &["SC", "sC", "sQ"],
        Outcome::Own(504) => &["sH"],
        Outcome::Cut => &["SD", "sD"],
        _ => &[],
    }
}

#[derive(Default)]
pub struct Book {
    ids: AtomicU64,
    pub right: AtomicU64,
    /// Connections for requests that are made whole, and these requests.
    pub connections: AtomicU64,
    pub requests: AtomicU64,
    pub tcp_sessions: AtomicU64,
    /// Bytes that have come back, and that were to be sent.
    pub tcp_bytes_least: AtomicU64,
    pub tcp_bytes_most: AtomicU64,
    /// TCP sessions that ended early.
    pub tcp_cut: AtomicU64,
    /// Requests on a connection that a reload has ended before them.
    farewells: Mutex<BTreeSet<u64>>,
    failed: Mutex<HashMap<u64, (String, Outcome)>>,
    wrongs: Mutex<Vec<String>>,
    /// Status and code of each line that names a request.
    lines: Mutex<HashMap<u64, Vec<(u16, String)>>>,
    tcp_lines: AtomicU64,
}

impl Book {
    pub fn next_id(&self) -> u64 {
        self.ids.fetch_add(1, Ordering::Relaxed) + 1
    }

    pub fn wrong(&self, text: String) {
        self.wrongs.lock().expect("wrongs").push(text);
    }

    pub fn note(&self, id: u64, who: &str, outcome: Outcome) {
        match outcome {
            Outcome::Right => drop(self.right.fetch_add(1, Ordering::Relaxed)),
            Outcome::Wrong(why) => self.wrong(format!("{who}, request {id}: {why}")),
            failed => drop(self.failed.lock().expect("failed").insert(id, (who.to_owned(), failed))),
        }
    }

    /// No server may have seen it.
    pub fn note_farewell(&self, id: u64) {
        self.farewells.lock().expect("farewells").insert(id);
    }

    /// How many requests got no or no whole answer, by the class of their status; 0: none.
    pub fn failed(&self, class: u16) -> u64 {
        let of = |outcome: &Outcome| match outcome {
            Outcome::Own(status) => status / 100,
            Outcome::Cut => 2,
            _ => 0,
        };
        self.failed.lock().expect("failed").values().filter(|(_, o)| of(o) == class).count() as u64
    }

    /// Takes the lines that have come; `chaos /<class>/<id>/<size> <status> <code>` or `chaos tcp <code>`.
    pub fn read_log(&self, sink: &Syslog, within: Duration) {
        while let Some(line) = sink.next(within) {
            let Some((_, text)) = line.split_once("chaos ") else { continue };
            let words: Vec<&str> = text.split_whitespace().collect();
            if let ["tcp", code] = words[..] {
                if !code.starts_with("--") {
                    self.tcp_lines.fetch_add(1, Ordering::Relaxed);
                }
            } else if let [path, status, code] = words[..]
                && let Some(id) = path.rsplit('/').nth(1).and_then(|n| n.parse().ok())
            {
                let mut lines = self.lines.lock().expect("lines");
                lines.entry(id).or_default().push((status.parse().unwrap_or(0), code.to_owned()));
            }
        }
    }

    pub fn counts(&self) -> BTreeMap<String, usize> {
        let mut counts = BTreeMap::new();
        for (_, outcome) in self.failed.lock().expect("failed").values() {
            *counts.entry(format!("{outcome:?}")).or_insert(0) += 1;
        }
        counts.insert("right".into(), self.right.load(Ordering::Relaxed) as usize);
        counts.insert("tcp cut".into(), self.tcp_cut.load(Ordering::Relaxed) as usize);
        counts.insert("farewells".into(), self.farewells.lock().expect("farewells").len());
        counts
    }

    /// All that does not agree. `journals`: what each server wrote down.
    pub fn disagreements(&self, journals: &[String]) -> Vec<String> {
        let mut wrongs = self.wrongs.lock().expect("wrongs").clone();
        let lines = self.lines.lock().expect("lines");
        for (id, (who, outcome)) in self.failed.lock().expect("failed").iter() {
            let logged = lines.get(id).map_or(&[][..], Vec::as_slice);
            let wanted = codes(outcome);
            // What ends one logged request ends a client's, so there is one line.
            let told = match logged {
                [(status, code)] => {
                    wanted.iter().any(|w| code.starts_with(w))
                        && !matches!(outcome, Outcome::Own(own) if own != status)
                }
                // A connection that was used before ended unanswered: the client has to ask again, and nothing is logged.
                [] => matches!(outcome, Outcome::Nothing),
                _ => false,
            };
            if !told {
                wrongs.push(format!(
                    "{who}, request {id}: {outcome:?} is logged as {logged:?}, not with one of {wanted:?}"
                ));
            }
        }
        // A server's process that is killed with nothing unread ends its connections by FIN, as at the end of any TCP
        // session: only those that ended in the middle of something can be told.
        let (cut, told) = (self.tcp_cut.load(Ordering::Relaxed), self.tcp_lines.load(Ordering::Relaxed));
        if cut > 20 && told == 0 {
            wrongs.push(format!("{cut} TCP sessions were cut, none of them logged"));
        }
        let farewells = self.farewells.lock().expect("farewells");
        let mut posts = BTreeSet::new();
        for id in journals.iter().flat_map(|j| j.lines()) {
            if id.starts_with("bad") {
                wrongs.push(format!("a server got another body: {id}"));
            } else if !posts.insert(id) {
                wrongs.push(format!("POST {id} reached the servers more than once"));
            } else if id.parse().is_ok_and(|id| farewells.contains(&id)) {
                wrongs.push(format!("POST {id} reached a server and was not answered, over a reload"));
            }
        }
        wrongs
    }
}
