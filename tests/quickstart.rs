//! The demonstration of README loads and runs as it stands.

mod common;

use common::program::under_test;
use std::io::{Read, Write};
use std::net::TcpStream;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

fn samples() -> Vec<std::path::PathBuf> {
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("config");
    let entries = std::fs::read_dir(folder).expect("the folder of samples");
    let paths = entries.map(|e| e.expect("an entry").path());
    paths.filter(|p| p.extension().is_some_and(|e| e == "cfg")).collect()
}

#[test]
fn every_sample_configuration_is_valid_without_a_warning() {
    for path in samples() {
        let out = Command::new(under_test()).args(["-c", "-dW", "-f"]).arg(&path).output().expect("runs");
        assert!(out.status.success(), "{}: {}", path.display(), String::from_utf8_lossy(&out.stderr));
    }
}

/// One request on a connection of its own; `None` while nobody listens.
fn ask(port: u16) -> Option<String> {
    let mut c = TcpStream::connect(("127.0.0.1", port)).ok()?;
    c.set_read_timeout(Some(Duration::from_secs(5))).expect("a timeout");
    c.write_all(b"GET /hello HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n").ok()?;
    let mut answer = String::new();
    c.read_to_string(&mut answer).ok()?;
    Some(answer)
}

#[test]
fn quickstart_balances_between_its_own_origins() {
    // The sample with a port of the kernel's choice and names of its own, so that a running one is not disturbed.
    let text =
        std::fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/config/quickstart.cfg")).expect("the sample");
    let port = std::net::TcpListener::bind("127.0.0.1:0").and_then(|l| l.local_addr()).expect("a free port").port();
    let unique = format!("ringway-test-{}-", std::process::id());
    let text = text.replace("127.0.0.1:8080", &format!("127.0.0.1:{port}")).replace("ringway-quickstart-", &unique);
    let file = std::env::temp_dir().join(format!("{unique}.cfg"));
    std::fs::write(&file, text).expect("written");
    let mut child = Command::new(under_test())
        .args(["-db", "-f"])
        .arg(&file)
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .expect("starts");
    let end = Instant::now() + Duration::from_secs(10);
    let mut answers = Vec::new();
    while answers.len() < 4 && Instant::now() < end {
        match ask(port) {
            Some(answer) => answers.push(answer),
            None => std::thread::yield_now(),
        }
    }
    let _ = child.kill();
    let mut log = String::new();
    if let Some(mut out) = child.stdout.take() {
        let _ = out.read_to_string(&mut log);
    }
    let _ = child.wait();
    let _ = std::fs::remove_file(&file);
    let from = |who: &str| {
        answers.iter().filter(|a| a.contains(&format!("/hello from the {who} origin, for 127.0.0.1"))).count()
    };
    assert_eq!((from("first"), from("second")), (2, 2), "{answers:#?}");
    assert_eq!(log.matches("\"GET /hello HTTP/1.1\"").count(), 4, "{log}");
}
