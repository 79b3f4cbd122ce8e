//! What the proxy has counted, against what its clients have, and against itself.

use crate::book::Book;
use crate::common::cli::ask;
use std::collections::HashMap;
use std::sync::atomic::Ordering::Relaxed;

const STATUS: [&str; 6] = ["hrsp_other", "hrsp_1xx", "hrsp_2xx", "hrsp_3xx", "hrsp_4xx", "hrsp_5xx"];

/// The lines of `show stat`, each with its columns.
pub struct Stat(HashMap<(String, String), HashMap<String, String>>);

impl Stat {
    pub fn read(socket: &str) -> Stat {
        let text = ask(socket, "show stat");
        let mut lines = text.lines();
        let names: Vec<&str> = lines.next().unwrap_or("").trim_start_matches("# ").split(',').collect();
        let line = |line: &str| {
            let values: Vec<&str> = line.split(',').collect();
            let columns = names.iter().zip(&values).map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect();
            ((values[0].to_owned(), values[1].to_owned()), columns)
        };
        Stat(lines.filter(|l| !l.is_empty()).map(line).collect())
    }

    /// Lines and columns that say what is there just now, and are not 0.
    pub fn gauges(&self) -> Vec<String> {
        const GAUGES: [&str; 5] = ["scur", "qcur", "used_conn_cur", "srv_icur", "idle_conn_cur"];
        let busy = |(line, columns): (&(String, String), &HashMap<String, String>)| {
            let value = |name: &&str| columns.get(*name).filter(|v| !matches!(v.as_str(), "" | "0"));
            let (proxy, part) = line;
            GAUGES.iter().filter_map(|g| Some(format!("{proxy}/{part} {g} {}", value(g)?))).collect::<Vec<_>>()
        };
        self.0.iter().flat_map(busy).collect()
    }

    pub fn of(&self, proxy: &str, part: &str, column: &str) -> u64 {
        let columns = self.0.get(&(proxy.to_owned(), part.to_owned()));
        let value = columns.and_then(|c| c.get(column)).unwrap_or_else(|| panic!("no {column} of {proxy}/{part}"));
        value.parse().unwrap_or(0)
    }

    fn servers(&self, proxy: &str, column: &str) -> u64 {
        let parts = self.0.keys().filter(|k| k.0 == proxy && !matches!(k.1.as_str(), "FRONTEND" | "BACKEND"));
        parts.map(|k| self.of(proxy, &k.1, column)).sum()
    }
}

/// What a table's only entry holds, where it has just one.
fn entry(socket: &str, table: &str) -> HashMap<String, u64> {
    let text = ask(socket, &format!("show table {table}"));
    let words = text.lines().filter(|l| l.contains(" key=")).flat_map(str::split_whitespace);
    let pairs = words.filter_map(|w| w.split_once('=')).filter_map(|(k, v)| Some((k.to_owned(), v.parse().ok()?)));
    // A period is part of the name: `http_req_rate(1000)`.
    pairs.collect()
}

/// All sums that are not what they must be.
pub fn disagreements(socket: &str, book: &Book) -> Vec<String> {
    let stat = Stat::read(socket);
    let mut wrongs = Vec::new();
    let mut equal = |what: &str, found: u64, wanted: u64| {
        if found != wanted {
            wrongs.push(format!("{what}: {found}, not {wanted}"));
        }
    };
    let (connections, requests) = (book.connections.load(Relaxed), book.requests.load(Relaxed));
    equal("connections to web", stat.of("web", "FRONTEND", "conn_tot"), connections);
    equal("requests to web", stat.of("web", "FRONTEND", "req_tot"), requests);
    for (class, column) in (0..).zip(STATUS) {
        let wanted = match class {
            // An end without an answer has no status, and HAProxy counts none.
            0 => 0,
            2 => requests - (0..6).filter(|c| *c != 2).map(|c| book.failed(c)).sum::<u64>(),
            _ => book.failed(class),
        };
        let found = stat.of("web", "FRONTEND", column);
        equal(&format!("{column} of web"), found, wanted);
        equal(
            &format!("{column} of web's backends"),
            stat.of("tried_once", "BACKEND", column) + stat.of("tried_again", "BACKEND", column),
            found,
        );
    }
    for backend in ["tried_once", "tried_again", "broken_off"] {
        // Where a status came from a server, it is that server's too.
        let found = stat.servers(backend, "hrsp_2xx");
        equal(&format!("2xx of the servers of {backend}"), found, stat.of(backend, "BACKEND", "hrsp_2xx"));
    }
    let sources = entry(socket, "sources");
    for (data, wanted) in
        [("conn_cur", 0), ("conn_cnt", connections), ("sess_cnt", connections), ("http_req_cnt", requests)]
    {
        equal(&format!("{data} of the only source"), sources.get(data).copied().unwrap_or(u64::MAX), wanted);
    }
    let seen = ask(socket, "show table seen");
    equal("keys that have expired", u64::from(!seen.contains("used:0")), 0);
    equal("TCP sessions", stat.of("bulk", "FRONTEND", "stot"), book.tcp_sessions.load(Relaxed));
    let (least, most) = (book.tcp_bytes_least.load(Relaxed), book.tcp_bytes_most.load(Relaxed));
    for column in ["bin", "bout"] {
        let found = stat.of("bulk", "FRONTEND", column);
        equal(&format!("{column} of bulk"), found, found.clamp(least, most));
    }
    wrongs
}
