//! What goes from a process to the one that follows beside listening sockets and state: idle server connections, which the
//! servers then need not accept anew. On both engines.

mod common;

use common::cli::stat;
use common::client::Client;
use common::http::status;
use common::load::Load;
use common::origin::{Gate, Origin, Step};
use common::succession::{ENGINES, Site};
use common::{BOUND, wait_until};

const ANSWER: &[u8] = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok";
const REQUEST: &str = "GET / HTTP/1.1\r\nhost: h\r\nconnection: close\r\n\r\n";

impl Site {
    /// Writes a configuration: lines of the backend, and of the server.
    fn configure(&self, backend: &str, server: &str) -> String {
        let text = format!(
            "global\n nbthread 1\n stats socket {} level admin expose-fd listeners\ndefaults\n mode http\n http-reuse always\n \
             timeout client 5s\n timeout connect 5s\n timeout server 5s\n default-server pool-purge-delay 1m\nfrontend f\n bind 127.0.0.1:{}\n \
             http-request return status 204 if {{ path /here }}\n default_backend b\nbackend b\n {backend}\n {server}\n",
            self.socket, self.port.number
        );
        self.directory.write("c.cfg", text)
    }

    fn server(&self, field: &str) -> String {
        stat(&self.socket, "b", "s", field)
    }

    /// A number of the server's, `wanted` soon.
    fn awaits(&self, field: &str, wanted: &str) {
        self.comes_to("b", "s", field, wanted);
    }

    fn request(&self) -> Option<u16> {
        let mut client = Client::connect(self.port.number);
        client.stream().set_read_timeout(Some(BOUND)).expect("timeout");
        client.send(REQUEST);
        status(&client.response())
    }

    /// So many requests at once: as many server connections idle then.
    fn fill(&self, origin: &Origin, gate: &Gate, count: usize) {
        let mut clients: Vec<Client> = (0..count).map(|_| Client::connect(self.port.number)).collect();
        for client in &mut clients {
            client.send(REQUEST);
        }
        origin.wait_for("all requests", |r| r.iter().filter(|r| !r.bytes.is_empty()).count() == count);
        gate.open();
        for client in &mut clients {
            assert_eq!(status(&client.response()), Some(200));
        }
        self.awaits("srv_icur", &count.to_string());
    }
}

/// An origin whose connections wait for the gate before their first answer.
fn origin(gate: &Gate) -> Origin {
    Origin::start(vec![
        Step::Request,
        Step::Gate(gate.clone()),
        Step::Send(ANSWER.into()),
        Step::Serve(ANSWER.into()),
    ])
}

fn to(origin: &Origin) -> String {
    format!("server s 127.0.0.1:{}", origin.port)
}

#[test]
fn idle_server_connections_go_to_the_process_that_follows() {
    for engine in ENGINES {
        let (site, gate) = (Site::new(engine), Gate::new());
        let origin = origin(&gate);
        let config = site.configure("", &to(&origin));
        let mut process = site.start(&config, &[]);
        site.fill(&origin, &gate, 3);
        let descriptors = process.descriptors();
        process = site.follow(&mut process, &config);
        site.awaits("srv_icur", "3");
        assert_eq!(stat(&site.socket, "b", "BACKEND", "h1_open_connections"), "3");
        process = site.follow(&mut process, &config);
        site.awaits("srv_icur", "3");
        // Nothing stays open of what connections came through. A client may not have been quite gone before.
        wait_until("no more descriptors are open than before", || process.descriptors() <= descriptors);
        assert!(origin.records().iter().all(|r| !r.over), "on {engine}");
        assert_eq!(site.request(), Some(200));
        assert_eq!((site.server("connect"), site.server("reuse")), ("0".into(), "1".into()));
        assert_eq!(origin.connections(), 3, "on {engine}");
    }
}

#[test]
fn a_master_s_reload_keeps_idle_server_connections_and_counts_them_once() {
    for engine in ENGINES {
        let (site, gate) = (Site::new(engine), Gate::new());
        let origin = origin(&gate);
        let config = site.configure("", &to(&origin));
        let (running, master) = site.master(&config);
        site.fill(&origin, &gate, 2);
        for reload in 1..=2 {
            site.reload(&master);
            wait_until("what idled idles again", || site.server("srv_icur") != "0");
            assert_eq!(site.request(), Some(200));
            let counted = ["h1_total_connections", "connect", "reuse"].map(|f| stat(&site.socket, "b", "BACKEND", f));
            assert_eq!(counted, ["2".to_owned(), "2".to_owned(), reload.to_string()], "on {engine}");
        }
        assert_eq!(origin.connections(), 2, "on {engine}");
        drop(running);
    }
}

#[test]
fn a_request_that_ends_after_the_hand_over_leaves_its_connection_too() {
    for engine in ENGINES {
        let (site, gate) = (Site::new(engine), Gate::new());
        let origin = origin(&gate);
        let config = site.configure("", &to(&origin));
        let mut old = site.start(&config, &[]);
        let mut client = Client::connect(site.port.number);
        client.send(REQUEST);
        origin.wait_for("the request", |r| r.first().is_some_and(|r| !r.bytes.is_empty()));
        let _new = site.start(&config, &["-x", &site.socket, "-sf", &old.id()]);
        assert!(!old.has_ended() && site.server("srv_icur") == "0", "on {engine}");
        gate.open();
        assert_eq!(status(&client.response()), Some(200));
        site.awaits("srv_icur", "1");
        wait_until("the old one has finished", || old.has_ended());
        assert_eq!((site.request(), origin.connections()), (Some(200), 1), "on {engine}");
    }
}

#[test]
fn connections_that_the_new_configuration_makes_otherwise_are_closed() {
    for engine in ENGINES {
        let elsewhere = Origin::start(vec![Step::Serve(ANSWER.into())]);
        type ServerLine = fn(&Origin, &Origin) -> String;
        let cases: [(&str, ServerLine); 7] = [
            ("option nolinger", |o, _| to(o)),
            ("source 127.0.0.1", |o, _| to(o)),
            ("http-reuse never", |o, _| to(o)),
            ("", |_, e| to(e)),
            ("", |o, _| format!("server other 127.0.0.1:{}", o.port)),
            ("", |o, _| format!("{} send-proxy", to(o))),
            ("", |o, _| format!("{} disabled", to(o))),
        ];
        for (backend, server) in cases {
            let (site, gate) = (Site::new(engine), Gate::new());
            let origin = origin(&gate);
            let mut old = site.start(&site.configure("", &to(&origin)), &[]);
            site.fill(&origin, &gate, 1);
            let server = server(&origin, &elsewhere);
            let _new = site.follow(&mut old, &site.configure(backend, &server));
            origin.ended(0);
            assert_eq!(stat(&site.socket, "b", "BACKEND", "h1_open_connections"), "0", "{backend} {server}");
        }
    }
}

#[test]
fn limits_of_the_pool_hold_over_a_hand_over() {
    for engine in ENGINES {
        let (site, gate) = (Site::new(engine), Gate::new());
        let origin = origin(&gate);
        let mut process = site.start(&site.configure("", &to(&origin)), &[]);
        site.fill(&origin, &gate, 3);
        let over = |count: usize| {
            origin.wait_for("connections that end", |r| r.iter().filter(|r| r.over).count() >= count);
        };
        process = site.follow(&mut process, &site.configure("", &format!("{} pool-max-conn 2", to(&origin))));
        over(1);
        site.awaits("srv_icur", "2");
        // What it carried before counts: this is the second request and the last.
        process = site.follow(&mut process, &site.configure("", &format!("{} max-reuse 1", to(&origin))));
        site.awaits("srv_icur", "2");
        assert_eq!(site.request(), Some(200));
        over(2);
        site.awaits("srv_icur", "1");
        let _last = site.follow(&mut process, &site.configure("", &format!("{} pool-purge-delay 1", to(&origin))));
        over(3);
        site.awaits("srv_icur", "0");
    }
}

#[test]
fn what_a_server_does_while_a_connection_is_on_its_way_is_noticed_before_use() {
    for engine in ENGINES {
        let (site, gate, late) = (Site::new(engine), Gate::new(), Gate::new());
        let after = |last: Vec<Step>| {
            let first = [Step::Request, Step::Gate(gate.clone()), Step::Send(ANSWER.into())];
            first.into_iter().chain(last).collect::<Vec<_>>()
        };
        let unasked = b"HTTP/1.1 408 Request Time-out\r\ncontent-length: 0\r\n\r\n".to_vec();
        let origin = Origin::start_with(vec![
            after(vec![Step::Gate(late.clone()), Step::Close]),
            after(vec![Step::Gate(late.clone()), Step::Send(unasked)]),
            after(vec![Step::Serve(ANSWER.into())]),
        ]);
        let config = site.configure("", &to(&origin));
        let mut old = site.start(&config, &[]);
        site.fill(&origin, &gate, 3);
        let new = site.start(&config, &["-x", &site.socket]);
        // The new one sees nothing of what comes until the old one has gone and the server has had its say.
        new.signal(libc::SIGSTOP);
        old.signal(libc::SIGUSR1);
        wait_until("the old one has finished", || old.has_ended());
        assert!(origin.records().iter().all(|r| !r.over), "on {engine}");
        late.open();
        origin.ended(0);
        new.signal(libc::SIGCONT);
        origin.ended(1);
        site.awaits("srv_icur", "1");
        for _ in 0..2 {
            assert_eq!(site.request(), Some(200), "on {engine}");
        }
        assert_eq!(origin.connections(), 3, "on {engine}");
    }
}

#[test]
fn a_process_that_follows_and_dies_costs_the_old_one_nothing() {
    for engine in ENGINES {
        let (site, gate, taken) =
            (Site::new(engine), Gate::new(), std::net::TcpListener::bind("127.0.0.1:0").unwrap());
        let origin = origin(&gate);
        let config = site.configure("", &to(&origin));
        let mut old = site.start(&config, &[]);
        site.fill(&origin, &gate, 2);
        let address = taken.local_addr().expect("an address");
        let broken = std::fs::read_to_string(&config).expect("it was written");
        let broken = site.directory.write("broken.cfg", format!("{broken}frontend taken\n bind {address}\n"));
        let ended = site.command(&broken, &["-db", "-x", &site.socket]).status().expect("it runs");
        assert_eq!(ended.code(), Some(1));
        assert_eq!((site.server("srv_icur"), site.request()), ("2".into(), Some(200)), "on {engine}");
        site.awaits("srv_icur", "2");
        let mut new = site.start(&config, &["-x", &site.socket]);
        let _ = (new.0.kill(), new.0.wait());
        old.signal(libc::SIGUSR1);
        wait_until("the old one has finished", || old.has_ended());
        assert!(old.0.wait().expect("wait").success());
        (0..2).for_each(|n| drop(origin.ended(n)));
        assert_eq!(origin.connections(), 2, "on {engine}");
    }
}

#[test]
fn no_request_is_lost_while_connections_change_hands() {
    for engine in ENGINES {
        let (site, gate) = (Site::new(engine), Gate::new());
        gate.open();
        let origin = origin(&gate);
        let config = site.configure("", &to(&origin));
        let mut process = site.start(&config, &[]);
        let load = Load::start(site.port.number, 4, false);
        for _ in 0..5 {
            process = site.follow(&mut process, &config);
            let before = load.counts().get(&200).copied().unwrap_or(0);
            wait_until("traffic goes on", || load.counts().get(&200).copied().unwrap_or(0) > before + 50);
        }
        let counts = load.stop();
        assert_eq!(counts.keys().copied().collect::<Vec<_>>(), [200], "on {engine}: {counts:?}");
    }
}
