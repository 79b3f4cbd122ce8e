//! haproxy.cfg for a scenario; HAProxy 2.6 and later and ringway read the same text.

use std::fmt::Write as _;

use super::{Place, connections_max, is_tcp};
use crate::scenario::{Resumption, Scenario, Tls, TlsVersion};

pub fn render(scenario: &Scenario, place: &Place) -> String {
    let proxy = &scenario.proxy;
    let mut text = String::from("global\n");
    let mut line = |indent: &str, words: &str| {
        let _ = writeln!(text, "{indent}{words}");
    };
    line("    ", &format!("nbthread {}", proxy.threads));
    line("    ", &format!("maxconn {}", connections_max(scenario)));
    if proxy.log {
        line("    ", &format!("log {} local0 info", place.log_socket.display()));
    }
    if proxy.tls.is_some() {
        line("    ", "ssl-default-bind-ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256");
        line("    ", "ssl-default-bind-ciphersuites TLS_AES_128_GCM_SHA256");
    }
    line("\n", "defaults");
    line("    ", if is_tcp(scenario) { "mode tcp" } else { "mode http" });
    line("    ", "timeout connect 5s");
    line("    ", "timeout client 300s");
    line("    ", "timeout server 300s");
    if is_tcp(scenario) {
        if proxy.splice {
            line("    ", "option splice-auto");
        }
    } else {
        line("    ", if proxy.server_keep_alive { "http-reuse always" } else { "option http-server-close" });
        if proxy.splice {
            line("    ", "option splice-auto");
        }
    }
    if proxy.forwardfor {
        line("    ", "option forwardfor");
    }
    if proxy.log {
        line("    ", "log global");
        line("    ", "option httplog");
        // nginx logs requests, not connections that brought none.
        line("    ", "option dontlognull");
    }
    line("\n", "frontend bench");
    let secure = proxy.tls.map(|tls| bind_tls(tls, place, proxy.h2)).unwrap_or_default();
    let h2c = if proxy.h2 && proxy.tls.is_none() { " proto h2" } else { "" };
    line("    ", &format!("bind 127.0.0.1:{}{secure}{h2c}", place.port));
    if proxy.stick_table {
        line("    ", "stick-table type ip size 10k expire 60s store http_req_cnt,http_req_rate(10s),conn_cur");
        line("    ", "http-request track-sc0 src");
        line("    ", "http-request deny deny_status 429 if { sc_http_req_rate(0) gt 100000000 }");
    }
    if proxy.tracking {
        line("    ", "http-request track-sc0 src table by_source");
        line("    ", "http-request track-sc1 path table by_path");
    }
    if proxy.rules {
        RULES.lines().for_each(|rule| line("    ", rule));
    }
    line("    ", "default_backend origin");
    line("\n", "backend origin");
    if proxy.gzip {
        line("    ", "compression algo gzip");
        line("    ", "compression type application/json");
    }
    line("    ", &format!("server origin 127.0.0.1:{}", place.origin_port));
    if proxy.tracking {
        line("\n", "backend by_source");
        line("    ", "stick-table type ip size 10k expire 60s store http_req_cnt");
        line("\n", "backend by_path");
        line("    ", "stick-table type string len 64 size 10k expire 60s store http_req_cnt");
    }
    if proxy.checked_servers > 0 {
        line("\n", "backend checked");
        for number in 0..proxy.checked_servers {
            line("    ", &format!("server s{number} 127.0.0.1:{} check inter 1s", place.origin_port));
        }
    }
    text
}

fn bind_tls(tls: Tls, place: &Place, h2: bool) -> String {
    let version = match tls.version {
        TlsVersion::V12 => "TLSv1.2",
        TlsVersion::V13 => "TLSv1.3",
    };
    let pem = place.pem.as_deref().unwrap_or(std::path::Path::new("")).display();
    let tickets = if tls.resumption == Resumption::SessionId { " no-tls-tickets" } else { "" };
    let alpn = if h2 { " alpn h2" } else { "" };
    format!(" ssl crt {pem} ssl-min-ver {version} ssl-max-ver {version}{tickets} curves X25519{alpn}")
}

/// What an edge configuration looks like after some years. The measured request matches some and not others, so
/// that both outcomes are paid for.
const RULES: &str = "\
acl is_api path_beg /api/ /v1/ /v2/
acl is_static path_end .js .css .png .svg .woff2
acl is_small path_beg /s/
acl is_admin path_beg /admin
acl is_health path /health /ready
acl is_get method GET HEAD
acl is_post method POST
acl is_put method PUT PATCH
acl is_delete method DELETE
acl host_www hdr(host) -i www.example.com example.com
acl host_api hdr(host) -i api.example.com
acl host_local hdr_beg(host) -i 127.0.0.1
acl from_private src 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16
acl from_local src 127.0.0.0/8
acl bad_agent hdr_sub(user-agent) -i sqlmap nikto masscan
acl has_cookie hdr(cookie) -m found
acl has_session cook(session) -m found
acl wants_json hdr_sub(accept) application/json
acl long_url path_len gt 2000
acl has_token url_param(token) -m found
http-request deny deny_status 403 if bad_agent
http-request deny deny_status 403 if is_admin !from_private
http-request deny deny_status 400 if long_url
http-request deny deny_status 405 if is_delete !is_api
http-request deny deny_status 403 if host_api !wants_json !is_health
http-request set-var(txn.area) str(api) if is_api
http-request set-var(txn.area) str(static) if is_static
http-request set-var(txn.area) str(small) if is_small host_local
http-request set-header X-Area %[var(txn.area)] if is_get from_local
http-request set-header X-Client-Port %[src_port]
http-request add-header X-Forwarded-Proto http if !is_post !is_put
http-request del-header X-Internal
http-request set-header X-Session yes if has_session or has_token has_cookie
http-response set-header X-Frame-Options DENY
http-response set-header X-Area %[var(txn.area)]
http-response del-header X-Powered-By
http-response add-header Cache-Control no-store if { res.hdr(set-cookie) -m found } || host_www";
