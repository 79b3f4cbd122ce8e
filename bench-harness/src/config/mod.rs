//! From one abstract description to each product's configuration. What a product cannot do, it says instead of
//! being measured doing something else.

mod haproxy;
mod nginx;

use std::path::{Path, PathBuf};

use crate::scenario::{Mode, Scenario};

/// Where one started proxy listens, what it forwards to, and where its files may lie.
#[derive(Debug, Clone)]
pub struct Place {
    pub port: u16,
    pub origin_port: u16,
    /// A folder of its own.
    pub folder: PathBuf,
    /// Certificate and key, when the scenario has TLS.
    pub pem: Option<PathBuf>,
    /// The origin's log socket.
    pub log_socket: PathBuf,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Language {
    /// haproxy.cfg: HAProxy and ringway.
    Haproxy,
    Nginx,
}

/// The text, or why there is none.
pub fn render(language: Language, scenario: &Scenario, place: &Place) -> Result<String, String> {
    match language {
        Language::Haproxy => Ok(haproxy::render(scenario, place)),
        Language::Nginx => nginx::render(scenario, place, stream_module().as_deref()),
    }
}

/// nginx speaks TCP only with a module that distributions package apart.
fn stream_module() -> Option<PathBuf> {
    ["/usr/lib/nginx/modules/ngx_stream_module.so", "/usr/lib64/nginx/modules/ngx_stream_module.so"]
        .iter()
        .map(Path::new)
        .find(|path| path.is_file())
        .map(Path::to_path_buf)
}

/// Connections that a proxy must be able to hold.
fn connections_max(scenario: &Scenario) -> usize {
    scenario.load.connections.max(1000) + 100
}

fn is_tcp(scenario: &Scenario) -> bool {
    scenario.proxy.mode == Mode::Tcp
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Place {
        Place {
            port: 1111,
            origin_port: 2222,
            folder: "/nowhere".into(),
            pem: Some("/nowhere/ec.pem".into()),
            log_socket: "/nowhere/log.sock".into(),
        }
    }

    fn scenario(proxy: &str, shape: &str) -> Scenario {
        let text = format!("title = \"t\"\n[proxy]\n{proxy}\n[load]\nshape = \"{shape}\"\n");
        Scenario::parse("x", &text).unwrap()
    }

    fn both(scenario: &Scenario) -> (String, String) {
        (render(Language::Haproxy, scenario, &place()).unwrap(), render(Language::Nginx, scenario, &place()).unwrap())
    }

    #[test]
    fn both_listen_and_forward_where_told() {
        let (haproxy, nginx) = both(&scenario("", "keep-alive"));
        assert!(haproxy.contains("bind 127.0.0.1:1111\n") && haproxy.contains("server origin 127.0.0.1:2222"));
        assert!(nginx.contains("listen 127.0.0.1:1111;") && nginx.contains("server 127.0.0.1:2222;"));
    }

    #[test]
    fn server_connections_are_kept_by_both_or_by_none() {
        let (haproxy, nginx) = both(&scenario("server_keep_alive = false", "connection"));
        assert!(haproxy.contains("option http-server-close") && !nginx.contains("keepalive 512"));
        let (haproxy, nginx) = both(&scenario("", "keep-alive"));
        assert!(haproxy.contains("http-reuse always") && nginx.contains("keepalive 512"));
    }

    #[test]
    fn tls_names_version_and_resumption_in_both() {
        let proxy = "tls = { key = \"ec\", version = \"1.2\", resumption = \"session-id\" }";
        let (haproxy, nginx) = both(&scenario(proxy, "handshake"));
        assert!(haproxy.contains("ssl crt /nowhere/ec.pem ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.2 no-tls-tickets"));
        assert!(nginx.contains("ssl_protocols TLSv1.2;") && nginx.contains("ssl_session_tickets off;"));
    }

    #[test]
    fn features_appear_in_both() {
        let (haproxy, nginx) = both(&scenario("forwardfor = true\ngzip = true\nlog = true", "keep-alive"));
        assert!(haproxy.contains("option forwardfor") && nginx.contains("X-Forwarded-For"));
        assert!(haproxy.contains("compression algo gzip") && nginx.contains("gzip on;"));
        assert!(haproxy.contains("log /nowhere/log.sock") && nginx.contains("syslog:server=unix:/nowhere/log.sock"));
    }

    #[test]
    fn twenty_conditions_are_twenty() {
        let text = render(Language::Haproxy, &scenario("rules = true", "keep-alive"), &place()).unwrap();
        assert_eq!(text.lines().filter(|line| line.trim_start().starts_with("acl ")).count(), 20);
    }

    #[test]
    fn what_nginx_lacks_is_said() {
        let error = render(Language::Nginx, &scenario("stick_table = true", "keep-alive"), &place()).unwrap_err();
        assert!(error.contains("stick table"), "{error}");
        let tcp = scenario("mode = \"tcp\"", "ping-pong");
        assert!(nginx::render(&tcp, &place(), None).unwrap_err().contains("stream"));
        assert!(nginx::render(&tcp, &place(), Some(Path::new("/m.so"))).unwrap().contains("load_module /m.so;"));
    }
}
