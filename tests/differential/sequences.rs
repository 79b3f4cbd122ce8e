//! The exact sequence of chosen servers while servers leave, come back, drain, fail, are added and change their weights.
//! The scripts stand in `sequences.txt` and were drawn by chance: lines of a backend, one line for each server, and steps:
//! so many requests, one after the other, behind these changes. A line `= …` below a step is the sequence of HAProxy 3.4.0,
//! which 2.6 has otherwise: ringway must have it. ringway runs with two threads, on both of which requests land.

use crate::common::cli::ask;
use crate::common::client::Client;
use crate::common::directory::Directory;
use crate::common::http::header_values;
use crate::common::port::Port;
use crate::common::program::{Program, peer, under_test, under_test_is_haproxy};
use crate::common::wait_until;
use std::fmt::Write as _;
use std::os::unix::net::UnixStream;
use std::path::PathBuf;

const FILE: &str = include_str!("sequences.txt");

/// Servers that say their number; the last is for those that are added.
const SERVERS: usize = 8;

#[derive(Default)]
struct Script {
    lines: Vec<&'static str>,
    servers: Vec<&'static str>,
    steps: Vec<Step>,
}

struct Step {
    text: &'static str,
    requests: usize,
    changes: Vec<&'static str>,
    /// 3.4's sequence.
    wanted: Option<&'static str>,
}

impl Script {
    /// Its lines, but for who of the backup servers serves.
    fn algorithm(&self) -> String {
        let lines: Vec<&str> = self.lines.iter().copied().filter(|line| *line != "option allbackups").collect();
        lines.join(" / ")
    }
}

/// All scripts of an algorithm.
fn scripts(balance: &str) -> Vec<Script> {
    let mut found: Vec<Script> = Vec::new();
    for line in FILE.lines().filter(|line| !line.starts_with('#')) {
        match (line.split_at(1), found.last_mut()) {
            ((" ", server), Some(script)) => script.servers.push(server),
            ((">", step), Some(script)) => {
                let (requests, changes) = step.trim_start().split_once(' ').unwrap_or((step.trim(), ""));
                script.steps.push(Step {
                    text: line,
                    requests: requests.parse().expect("a number"),
                    changes: changes.split("; ").filter(|change| !change.is_empty()).collect(),
                    wanted: None,
                });
            }
            (("=", wanted), Some(script)) => {
                script.steps.last_mut().expect("a step").wanted = Some(wanted.trim_start());
            }
            _ => found.push(Script { lines: line.split(" / ").collect(), ..Script::default() }),
        }
    }
    found.retain(|script| script.algorithm() == balance);
    found
}

/// The sequences of one program, by script and step.
fn sequences(binary: PathBuf, threads: usize, scripts: &[Script]) -> Vec<Vec<String>> {
    let directory = Directory::new();
    let socket = directory.join("sock");
    let ports: Vec<Port> = (0..=SERVERS).map(|_| Port::hold()).collect();
    let mut text = format!(
        "global\n maxconn 500\n nbthread {threads}\n stats socket {socket} level admin\ndefaults\n mode http\n \
         timeout connect 3s\n timeout client 20s\n timeout server 20s\n"
    );
    for (number, port) in ports.iter().enumerate().skip(1) {
        let _ = writeln!(
            text,
            "frontend s{number}\n bind 127.0.0.1:{}\n http-request return status 200 hdr x-server {number}",
            port.number
        );
    }
    let _ = writeln!(text, "frontend fe\n bind 127.0.0.1:{}\n use_backend %[path,field(2,/)]", ports[0].number);
    for (index, script) in scripts.iter().enumerate() {
        let _ = writeln!(text, "backend b{index}\n {}", script.lines.join("\n "));
        for (number, options) in (1..).zip(&script.servers) {
            let _ = writeln!(text, " server s{number} 127.0.0.1:{} {options}", ports[number].number);
        }
    }
    let numbers: Vec<u16> = ports.iter().map(|port| port.number).collect();
    let mut program = Program::start(&binary, &directory, &text, &numbers);
    wait_until("a socket that answers", || UnixStream::connect(&socket).is_ok());
    let mut clients: Vec<Client> = (0..4).map(|_| Client::connect(ports[0].number)).collect();
    let mut turn = 0;
    let mut request = |index: usize| {
        turn += 1;
        let client = &mut clients[turn % 4];
        client.send(format!("GET /b{index}/ HTTP/1.1\r\nHost: a\r\n\r\n"));
        let answer = client.response();
        if answer.starts_with(b"HTTP/1.1 503") {
            *client = Client::connect(ports[0].number);
        }
        (*header_values(&answer, "x-server").first().unwrap_or(&"-")).to_string()
    };
    let mut found = Vec::new();
    for (index, script) in scripts.iter().enumerate() {
        let mut of_script = Vec::new();
        for step in &script.steps {
            // Who has an answer may still have its server's slot for a moment, and gives it back behind the change then.
            wait_until("servers without streams", || step.changes.is_empty() || is_idle(&socket, index));
            for change in &step.changes {
                let command = match change.strip_prefix("add server @/s8 ") {
                    Some(options) => {
                        format!("add server b{index}/s8 127.0.0.1:{} {options}", ports[SERVERS].number)
                    }
                    None if change.starts_with("enable server") => change.replace('@', &format!("b{index}")),
                    None => format!("set server b{index}/{change}"),
                };
                let answer = ask(&socket, &command);
                let answer = answer.trim();
                assert!(answer.is_empty() || answer == "New server registered.", "{command}: {answer}");
            }
            of_script.push((0..step.requests).map(|_| request(index)).collect());
        }
        found.push(of_script);
    }
    program.assert_runs();
    found
}

/// Whether no server of a backend has a stream.
fn is_idle(socket: &str, index: usize) -> bool {
    let stat = ask(socket, &format!("show stat b{index} 4 -1"));
    let rows = stat.lines().filter(|row| !row.starts_with('#'));
    rows.filter_map(|row| row.split(',').nth(4)).all(|streams| streams == "0")
}

fn compare(balance: &str, least: usize) {
    let scripts = scripts(balance);
    assert!(scripts.len() >= least, "{} scripts of {balance}", scripts.len());
    let threads = if under_test_is_haproxy() { 1 } else { 2 };
    let (ours, theirs) = std::thread::scope(|scope| {
        let ours = scope.spawn(|| sequences(under_test(), threads, &scripts));
        let theirs = scope.spawn(|| sequences(peer(), 1, &scripts));
        (
            ours.join().expect("the run against the program under test"),
            theirs.join().expect("the run against haproxy"),
        )
    });
    let mut wrong = Vec::new();
    for ((script, ours), theirs) in scripts.iter().zip(&ours).zip(&theirs) {
        let steps = script.steps.iter().zip(ours).zip(theirs);
        let differs = |((step, ours), theirs): &((&Step, &String), &String)| *ours != step.wanted.unwrap_or(theirs);
        if let Some(((step, ours), theirs)) = steps.clone().find(differs) {
            let wanted = step.wanted.unwrap_or(theirs);
            let servers = script.servers.join(", ");
            wrong.push(format!("{servers}\n{}\n  ours:   {ours}\n  wanted: {wanted}", step.text));
        }
        for ((step, _), theirs) in steps {
            if step.wanted == Some(theirs.as_str()) {
                wrong.push(format!("{}\n  haproxy has the same: there is no difference", step.text));
            }
        }
    }
    assert!(wrong.is_empty(), "{} in {} scripts:\n{}", wrong.len(), scripts.len(), wrong.join("\n"));
}

macro_rules! sequences {
    ($($name:ident, $least:literal, $balance:literal;)*) => {$(
        #[test]
        fn $name() {
            compare($balance, $least);
        }
    )*};
}

sequences! {
    roundrobin, 46, "balance roundrobin";
    static_rr, 18, "balance static-rr";
    leastconn, 18, "balance leastconn";
    first, 4, "balance first";
    without_a_key_by_map, 11, "balance hdr(none)";
    without_a_key_by_ring, 15, "balance hdr(none) / hash-type consistent";
}
