//! The statistics page in Chromium, driven by WebDriver: a server is put into maintenance by the page's form, columns
//! sort, and the page fits a desk's screen and a phone's in light and dark. Screenshots are left in the folder for
//! temporary files of tests (`target/tmp`), to be looked at.

mod common;

use base64::Engine as _;
use common::cli::ask;
use common::client::Client;
use common::directory::Directory;
use common::http;
use common::port::Port;
use common::program::{Program, under_test};
use common::wait_until;
use serde_json::{Value, json};
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::process::{Child, Command, Stdio};
use std::time::Duration;

/// Three backends, one server of which is down, and some traffic.
struct Site {
    _program: Program,
    page: String,
    socket: String,
    directory: Directory,
}

impl Site {
    fn start() -> Site {
        let directory = Directory::new();
        let [web, stats, origin, dead] = [(); 4].map(|()| Port::hold());
        let socket = directory.join("admin.sock");
        let (o, d) = (origin.number, dead.number);
        let config = format!(
            "global\n stats socket {socket} level admin\n maxconn 4000\ndefaults\n mode http\n timeout connect 2s\n timeout \
             client 5s\n timeout server 5s\nfrontend public\n bind 127.0.0.1:{}\n use_backend api if {{ path_beg /api }}\n \
             use_backend static if {{ path_beg /static }}\n default_backend app\nbackend app\n server app1 127.0.0.1:{o} \
             check inter 200ms\n server app2 127.0.0.1:{o} check inter 200ms\n server app3 127.0.0.1:{d} check inter 200ms \
             fall 1\nbackend api\n balance leastconn\n server api1 127.0.0.1:{o} check inter 200ms weight 50\n server spare \
             127.0.0.1:{o} check backup\nbackend static\n server cdn1 127.0.0.1:{o}\n server cdn2 127.0.0.1:{o} \
             disabled\nfrontend origin\n bind 127.0.0.1:{o}\n http-request return status 200 content-type text/plain string \
             hello\nlisten stats\n bind 127.0.0.1:{}\n stats enable\n stats uri /\n stats admin if TRUE\n",
            web.number, stats.number
        );
        let program = Program::start(&under_test(), &directory, &config, &[web.number, stats.number, o]);
        let site = Site { _program: program, page: format!("http://127.0.0.1:{}/", stats.number), socket, directory };
        wait_until("a server is down", || site.state("app/app3").starts_with("DOWN"));
        let mut client = Client::connect(web.number);
        for path in ["/", "/api", "/static", "/"].iter().cycle().take(40) {
            client.send(format!("GET {path} HTTP/1.1\r\nhost: h\r\n\r\n"));
            assert_eq!(client.status(), 200);
        }
        site
    }

    /// Status of a server (`backend/server`) in `show stat`.
    fn state(&self, server: &str) -> String {
        let text = ask(&self.socket, "show stat");
        let start = format!("{},", server.replace('/', ","));
        let line = text.lines().find(|l| l.starts_with(&start)).unwrap_or_default();
        line.split(',').nth(17).unwrap_or_default().to_owned()
    }
}

/// A browser with one window, by way of chromedriver.
struct Browser {
    driver: Child,
    port: u16,
    session: String,
}

impl Drop for Browser {
    fn drop(&mut self) {
        if !self.session.is_empty() {
            let _ = exchange(self.port, "DELETE", &format!("/session/{}", self.session), &Value::Null);
        }
        let _ = self.driver.kill();
        let _ = self.driver.wait();
    }
}

/// One request of WebDriver: the value of the answer. A browser takes its time to start.
fn exchange(port: u16, method: &str, target: &str, body: &Value) -> std::io::Result<Value> {
    let body = if body.is_null() { String::new() } else { body.to_string() };
    let mut stream = TcpStream::connect(("127.0.0.1", port))?;
    stream.set_read_timeout(Some(Duration::from_secs(60)))?;
    write!(
        stream,
        "{method} {target} HTTP/1.1\r\nhost: 127.0.0.1:{port}\r\ncontent-type: application/json\r\ncontent-length: \
         {}\r\nconnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = Vec::new();
    let mut buffer = [0; 65536];
    while !matches!(http::response_extent(&answer, false), http::Extent::Complete(_)) {
        match stream.read(&mut buffer)? {
            0 => break,
            n => answer.extend_from_slice(&buffer[..n]),
        }
    }
    let value: Value = serde_json::from_slice(&http::body(&answer))?;
    Ok(value["value"].clone())
}

impl Browser {
    fn start(directory: &Directory) -> Browser {
        let mut driver = Command::new("chromedriver")
            .arg("--port=0")
            .env("HOME", directory.path())
            .env("TMPDIR", directory.path())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap_or_else(|error| panic!("chromedriver: {error}: run ./run-tests"));
        let lines = BufReader::new(driver.stdout.take().expect("its output")).lines();
        let port = lines
            .map_while(Result::ok)
            .find_map(|line| line.split_once("started successfully on port ")?.1.trim_end_matches('.').parse().ok());
        let mut browser = Browser { driver, port: port.expect("a port"), session: String::new() };
        let profile = format!("--user-data-dir={}", directory.join("profile"));
        let arguments = [
            "--headless=new",
            "--no-sandbox",
            "--disable-gpu",
            "--disable-dev-shm-usage",
            "--no-first-run",
            "--disable-background-networking",
            "--no-proxy-server",
            "--hide-scrollbars",
            &profile,
        ];
        let options = json!({"capabilities": {"alwaysMatch": {"goog:chromeOptions": {"args": arguments}}}});
        let session = exchange(browser.port, "POST", "/session", &options).expect("a session");
        browser.session = session["sessionId"].as_str().unwrap_or_else(|| panic!("{session}")).to_owned();
        browser
    }

    fn send(&self, command: &str, body: Value) -> Value {
        let target = format!("/session/{}/{command}", self.session);
        let value = exchange(self.port, "POST", &target, &body).expect("an answer");
        assert!(value["error"].is_null(), "{command} {body}: {value}");
        value
    }

    fn open(&self, page: &str) {
        self.send("url", json!({"url": page}));
    }

    fn run(&self, script: &str) -> Value {
        self.send("execute/sync", json!({"script": script, "args": []}))
    }

    fn click(&self, selector: &str) {
        let element = self.send("element", json!({"using": "css selector", "value": selector}));
        let id = element.as_object().and_then(|e| e.values().next()?.as_str()).expect("an element").to_owned();
        self.send(&format!("element/{id}/click"), json!({}));
    }

    /// Width in CSS pixels, height, whether the person likes it dark.
    fn look(&self, width: u32, height: u32, dark: bool) {
        let metrics = json!({"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 800});
        let scheme = if dark { "dark" } else { "light" };
        let media = json!({"features": [{"name": "prefers-color-scheme", "value": scheme}]});
        for (command, parameters) in
            [("Emulation.setDeviceMetricsOverride", metrics), ("Emulation.setEmulatedMedia", media)]
        {
            self.send("goog/cdp/execute", json!({"cmd": command, "params": parameters}));
        }
    }

    fn screenshot(&self, name: &str) {
        let target = format!("/session/{}/screenshot", self.session);
        let picture = exchange(self.port, "GET", &target, &Value::Null).expect("a picture");
        let bytes =
            base64::engine::general_purpose::STANDARD.decode(picture.as_str().expect("base64")).expect("a picture");
        let place = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(name);
        std::fs::write(&place, bytes).expect("written");
    }
}

/// Lightness of the page's background and of its text, 0 to 255 (the green of each).
const COLOURS: &str = "const s = getComputedStyle(document.body);
return [s.backgroundColor, s.color].map(c => Number(c.match(/\\d+/g)[1]))";

#[test]
fn the_page_works_in_a_browser() {
    if std::env::var_os("RINGWAY_TESTS_WITHOUT_BROWSER").is_some() {
        // Past the capture of the test's output: what is left out must be seen.
        let _ = writeln!(std::io::stderr(), "NOT RUN: stats_page_browser, by RINGWAY_TESTS_WITHOUT_BROWSER");
        return;
    }
    let site = Site::start();
    let browser = Browser::start(&site.directory);

    for (name, width, height, dark) in [
        ("stats-light.png", 1440, 1250, false),
        ("stats-dark.png", 1440, 1250, true),
        ("stats-phone.png", 390, 844, false),
        ("stats-phone-dark.png", 390, 844, true),
    ] {
        browser.look(width, height, dark);
        browser.open(&site.page);
        browser.screenshot(name);
        let colours = browser.run(COLOURS);
        let [back, text] = [0, 1].map(|i| colours[i].as_u64().expect("a colour"));
        assert!(if dark { back < 60 && text > 180 } else { back > 220 && text < 80 }, "{name}: {colours}");
        // Tables scroll in their frames; the page itself does not, and at a desk nothing does.
        let fits = browser.run(
            "return [document.documentElement.scrollWidth <= innerWidth,
             [...document.querySelectorAll('.scroll')].every(e => e.scrollWidth <= e.clientWidth)]",
        );
        assert!(fits[0] == true && (width < 800 || fits[1] == true), "{name}: {fits}");
    }

    browser.look(1440, 1250, false);
    browser.open(&site.page);
    let order =
        "return [...document.querySelectorAll('[id=\"app/app1\"]')][0].closest('tbody').innerText.match(/app\\d/g)";
    assert_eq!(browser.run(order), json!(["app1", "app2", "app3"]));
    let title = "[...document.querySelectorAll('a[name=app]')][0].closest('.proxy').querySelector('th.name')";
    browser.run(&format!("{title}.click(); {title}.click()"));
    assert_eq!(browser.run(order), json!(["app3", "app2", "app1"]));

    browser.click("input[name=s][value=app2]");
    // The form of the checked server, with its action chosen; the mark goes away with this page.
    let form =
        "const form = document.querySelector('input[value=app2]').form; form.setAttribute('data-chosen', ''); ";
    browser.run(&format!("{form} form.elements.action.value = 'maint'; window.before = true"));
    browser.click("form[data-chosen] input[type=submit]");
    wait_until("the page is back", || browser.run("return !window.before && document.readyState") == "complete");
    let address = browser.run("return location.href");
    assert_eq!(address, format!("{};st=DONE", site.page));
    let row = browser.run("return document.getElementById('app/app2').closest('tr').className");
    assert_eq!(row, "maintain");
    let said = browser.run("return document.querySelector('p.done').innerText");
    assert!(said.as_str().is_some_and(|s| s.ends_with("Action processed successfully.")), "{said}");
    assert_eq!(site.state("app/app2"), "MAINT");
    assert!(site.state("app/app1").starts_with("UP"));
}
