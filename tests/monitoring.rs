//! Prometheus scrapes a running ringway as `config/prometheus/prometheus.yml` says, promtool reads its exposition, and
//! every panel of the Grafana dashboard has something to show.

mod common;

use common::client::Client;
use common::directory::Directory;
use common::port::Port;
use common::program::{Program, under_test};
use common::tls::Authority;
use common::{BOUND, http, wait_until};
use serde_json::Value;
use std::collections::BTreeSet;
use std::io::Write;
use std::process::{Child, Command, Stdio};

fn file(name: &str) -> String {
    let path = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A proxy with all that the dashboard looks at: HTTP, TLS with clients and with a server, checks, a server that is down,
/// a queue. It is its own origin.
struct Site {
    _program: Program,
    web: Port,
    stats: Port,
    directory: Directory,
}

impl Site {
    fn start() -> Site {
        let directory = Directory::new();
        let [web, tls, origin, dead, stats] = [(); 5].map(|()| Port::hold());
        let certificate =
            directory.write("site.pem", Authority::new("monitoring").issue(&["localhost"], false, 1).pem);
        let config = format!(
            "defaults\n mode http\n timeout connect 2s\n timeout client 5s\n timeout server 5s\nfrontend web\n \
             bind 127.0.0.1:{}\n use_backend secure if {{ path /secure }}\n default_backend app\nbackend app\n server one \
             127.0.0.1:{} check inter 200ms maxconn 50\n server two 127.0.0.1:{} check inter 200ms fall 1\nbackend secure\n \
             server tls 127.0.0.1:{} ssl verify none\nfrontend secure_front\n bind 127.0.0.1:{} ssl crt {certificate}\n \
             http-request return status 200\nfrontend origin\n bind 127.0.0.1:{}\n http-request return status 503 if {{ path \
             /bad }}\n http-request return status 200\nfrontend stats\n bind 127.0.0.1:{}\n http-request use-service \
             prometheus-exporter if {{ path /metrics }}\n",
            web.number, origin.number, dead.number, tls.number, tls.number, origin.number, stats.number
        );
        let ports = [web.number, stats.number];
        let program = Program::start(&under_test(), &directory, &config, &ports);
        Site { _program: program, web, stats, directory }
    }

    fn traffic(&self) {
        let mut client = Client::connect(self.web.number);
        for path in ["/", "/secure", "/bad"] {
            client.send(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n"));
            assert!(matches!(client.status(), 200 | 503));
        }
    }

    fn metrics(&self) -> String {
        get(self.stats.number, "/metrics?histograms").expect("an exposition")
    }
}

/// The body of an answer with status 200.
fn get(port: u16, target: &str) -> Option<String> {
    let mut client = Client::connect(port);
    let answer = client.send(format!("GET {target} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n")).response();
    let good = http::status(&answer) == Some(200);
    good.then(|| String::from_utf8(http::body(&answer)).expect("UTF-8"))
}

/// Every expression in the dashboard: panels, annotations and variables.
fn expressions() -> Vec<String> {
    fn collect(value: &Value, found: &mut Vec<String>) {
        match value {
            Value::Array(list) => list.iter().for_each(|v| collect(v, found)),
            Value::Object(map) => {
                for (key, value) in map {
                    match value {
                        Value::String(text) if key == "expr" => found.push(text.clone()),
                        _ => collect(value, found),
                    }
                }
            }
            _ => {}
        }
    }
    let dashboard: Value = serde_json::from_str(&file("config/grafana/ringway.json")).expect("JSON");
    let mut found = Vec::new();
    collect(&dashboard, &mut found);
    found
}

/// Names of metrics in a text: words that begin with `haproxy_`.
fn names(text: &str) -> BTreeSet<&str> {
    let words = text.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("haproxy_")).collect()
}

#[test]
fn the_dashboard_names_only_what_is_exported() {
    let site = Site::start();
    let expressions = expressions().join("\n");
    let wanted = names(&expressions);
    assert!(wanted.len() > 40, "{wanted:?}");
    wait_until("all are exported", || {
        site.traffic();
        let text = site.metrics();
        let series = text.lines().filter(|l| !l.starts_with('#')).filter_map(|l| l.split(['{', ' ']).next());
        let exported: BTreeSet<&str> = series.collect();
        wanted.iter().all(|name| exported.contains(name))
    });
}

#[test]
fn promtool_objects_to_four_names_of_haproxy_only() {
    let site = Site::start();
    site.traffic();
    let mut tool = Command::new("promtool")
        .args(["check", "metrics"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap_or_else(|error| panic!("promtool: {error}: run ./run-tests"));
    tool.stdin.take().expect("its input").write_all(site.metrics().as_bytes()).expect("written");
    let out = tool.wait_with_output().expect("it ends");
    let said = String::from_utf8_lossy(&out.stderr).into_owned() + &String::from_utf8_lossy(&out.stdout);
    // They are API: dashboards and alerts of HAProxy's users have them.
    let known: BTreeSet<&str> = [
        "haproxy_process_failed_resolutions",
        "haproxy_process_patterns_added_total",
        "haproxy_process_patterns_freed_total",
        "haproxy_process_total_warnings",
    ]
    .into();
    assert_eq!(names(&said), known, "{said}");
    assert_eq!(said.lines().count(), known.len(), "{said}");
}

/// Prometheus on the sample's configuration, with another address and a shorter interval.
struct Prometheus {
    child: Child,
    port: u16,
}

impl Drop for Prometheus {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Prometheus {
    fn start(site: &Site) -> Prometheus {
        let target = format!("127.0.0.1:{}\"]", site.stats.number);
        let sample = file("config/prometheus/prometheus.yml")
            .replace("127.0.0.1:8404\"]", &target)
            .replace("scrape_interval: 15s", "scrape_interval: 200ms\n    scrape_timeout: 200ms");
        assert!(sample.contains(&target));
        let config = site.directory.write("prometheus.yml", sample);
        let checked = Command::new("promtool").args(["check", "config", &config]).output().expect("promtool");
        assert!(checked.status.success(), "{}", String::from_utf8_lossy(&checked.stderr));
        let log = site.directory.join("prometheus.log");
        let child = Command::new("prometheus")
            .arg(format!("--config.file={config}"))
            .arg(format!("--storage.tsdb.path={}", site.directory.join("data")))
            .arg("--web.listen-address=127.0.0.1:0")
            .stdout(Stdio::null())
            .stderr(std::fs::File::create(&log).expect("a file"))
            .spawn()
            .unwrap_or_else(|error| panic!("prometheus: {error}: run ./run-tests"));
        let mut prometheus = Prometheus { child, port: 0 };
        wait_until("it says its port", || {
            let said = std::fs::read_to_string(&log).unwrap_or_default();
            let line = said.lines().find(|l| l.contains("msg=\"Listening on\"")).unwrap_or_default();
            let port =
                line.split_once("address=127.0.0.1:").and_then(|(_, rest)| rest.split(' ').next()?.parse().ok());
            prometheus.port = port.unwrap_or_default();
            prometheus.port != 0
        });
        prometheus
    }

    /// What an expression gives now: one value for each series.
    fn query(&self, expression: &str) -> Result<Vec<Value>, String> {
        let encoded: String = expression.bytes().map(|b| format!("%{b:02x}")).collect();
        let mut client = Client::connect(self.port);
        let request = format!("GET /api/v1/query?query={encoded} HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n");
        let body = http::body(&client.send(request).response());
        let answer: Value = serde_json::from_slice(&body).map_err(|e| e.to_string())?;
        match answer["data"]["result"].as_array() {
            Some(series) => Ok(series.clone()),
            None => Err(answer.to_string()),
        }
    }
}

#[test]
fn every_panel_of_the_dashboard_has_something_to_show() {
    let site = Site::start();
    let prometheus = Prometheus::start(&site);
    wait_until("it is scraped", || {
        prometheus.query("up{job=\"ringway\"}").is_ok_and(|series| series.len() == 1 && series[0]["value"][1] == "1")
    });
    let expressions = expressions();
    assert!(expressions.len() > 60, "{}", expressions.len());
    let mut open: Vec<String> = expressions
        .iter()
        // A reload is what this annotation waits for.
        .filter(|e| !e.starts_with("resets("))
        .map(|e| {
            let e = e.replace("$__rate_interval", "2s");
            ["$job", "$instance", "$proxy", "$server"].iter().fold(e, |e, variable| e.replace(variable, ".*"))
        })
        .collect();
    assert!(open.iter().all(|e| !e.contains('$')), "{open:#?}");
    let end = std::time::Instant::now() + 3 * BOUND;
    while !open.is_empty() {
        site.traffic();
        open.retain(|e| prometheus.query(e).unwrap_or_else(|error| panic!("{e}: {error}")).is_empty());
        assert!(std::time::Instant::now() < end, "nothing to show for {open:#?}");
    }
    // A server that is down is told so.
    let down = prometheus.query("haproxy_server_status{state=\"DOWN\"} == 1").expect("an answer");
    assert_eq!((down.len(), &down[0]["metric"]["server"]), (1, &Value::from("two")), "{down:?}");
}
