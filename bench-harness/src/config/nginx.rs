//! nginx.conf for a scenario. nginx's defaults that would make it do less or more than the others (closing after a
//! thousand requests, spilling bodies to disk, its own Server and Date) are set so that all proxies do the same.

use std::fmt::Write as _;
use std::path::Path;

use super::{Place, connections_max, is_tcp};
use crate::scenario::{Resumption, Scenario, Tls, TlsVersion};

pub fn render(scenario: &Scenario, place: &Place, stream_module: Option<&Path>) -> Result<String, String> {
    let proxy = &scenario.proxy;
    if proxy.checked_servers > 0 {
        return Err("nginx has no health checks of its own".to_owned());
    }
    if proxy.stick_table || proxy.tracking {
        return Err("nginx has no stick table (limit_req limits, it does not store and count)".to_owned());
    }
    if proxy.rules {
        return Err("the rules are written for haproxy.cfg only".to_owned());
    }
    let folder = place.folder.display();
    let mut text = String::new();
    if is_tcp(scenario) {
        let module = stream_module.ok_or("nginx's stream module is not installed (libnginx-mod-stream)")?;
        let _ = writeln!(text, "load_module {};", module.display());
    }
    let _ = writeln!(text, "daemon off;\nuser root;\nworker_processes {};", proxy.threads);
    if proxy.threads == 1 {
        text.push_str("master_process off;\n");
    }
    let _ = writeln!(text, "pid {folder}/nginx.pid;\nerror_log {folder}/nginx.log warn;");
    // A connection here is a socket: two a client, and some to listen and log.
    let _ = writeln!(text, "events {{ worker_connections {}; }}", connections_max(scenario) * 2 + 100);
    if is_tcp(scenario) {
        stream(&mut text, place);
    } else {
        http(&mut text, scenario, place);
    }
    Ok(text)
}

fn stream(text: &mut String, place: &Place) {
    let _ = write!(
        text,
        "stream {{\n  server {{\n    listen 127.0.0.1:{} backlog=4096;\n    proxy_pass 127.0.0.1:{};\n    tcp_nodelay on;\n  }}\n}}\n",
        place.port, place.origin_port
    );
}

fn http(text: &mut String, scenario: &Scenario, place: &Place) {
    let proxy = &scenario.proxy;
    let mut line = |words: &str| {
        let _ = writeln!(text, "{words}");
    };
    line("http {");
    for kind in ["client_body", "proxy", "fastcgi", "uwsgi", "scgi"] {
        line(&format!("  {kind}_temp_path {}/{kind};", place.folder.display()));
    }
    if proxy.log {
        line(
            "  log_format like_httplog '$remote_addr:$remote_port [$time_local] $server_name $upstream_addr \
              $request_time/$upstream_connect_time/$upstream_response_time $status $bytes_sent \
              $connection $connection_requests \"$request\"';",
        );
        let socket = place.log_socket.display();
        line(&format!("  access_log syslog:server=unix:{socket},facility=local0,nohostname like_httplog;"));
    } else {
        line("  access_log off;");
    }
    line("  keepalive_timeout 300s;\n  keepalive_requests 1000000000;");
    line("  upstream origin {");
    line(&format!("    server 127.0.0.1:{};", place.origin_port));
    if proxy.server_keep_alive {
        line("    keepalive 512;\n    keepalive_requests 1000000000;\n    keepalive_timeout 300s;");
    }
    line("  }\n  server {");
    let secure = if proxy.tls.is_some() { " ssl" } else { "" };
    let h2 = if proxy.h2 { " http2" } else { "" };
    let backlog = if scenario.load.connections > 400 { " backlog=4096" } else { "" };
    line(&format!("    listen 127.0.0.1:{}{secure}{h2}{backlog};", place.port));
    if proxy.h2 {
        line("    http2_max_concurrent_streams 100;");
    }
    if let Some(tls) = proxy.tls {
        line(&tls_lines(tls, place));
    }
    if proxy.gzip {
        line("    gzip on;\n    gzip_types application/json;\n    gzip_comp_level 1;\n    gzip_proxied any;");
    }
    line("    location / {\n      proxy_pass http://origin;\n      proxy_http_version 1.1;");
    line("      proxy_set_header Host $http_host;");
    line(if proxy.server_keep_alive {
        "      proxy_set_header Connection \"\";"
    } else {
        "      proxy_set_header Connection close;"
    });
    if proxy.forwardfor {
        line("      proxy_set_header X-Forwarded-For $proxy_add_x_forwarded_for;");
    }
    line("      proxy_max_temp_file_size 0;\n      proxy_pass_header Server;\n      proxy_pass_header Date;");
    line("    }\n  }\n}");
}

fn tls_lines(tls: Tls, place: &Place) -> String {
    let version = match tls.version {
        TlsVersion::V12 => "TLSv1.2",
        TlsVersion::V13 => "TLSv1.3",
    };
    let pem = place.pem.as_deref().unwrap_or(Path::new("")).display();
    let stateful = tls.resumption == Resumption::SessionId;
    // HAProxy keeps 20,000 sessions by default; 5 MB are about as many here.
    let (tickets, cache) = if stateful { ("off", "shared:bench:5m") } else { ("on", "none") };
    format!(
        "    ssl_certificate {pem};\n    ssl_certificate_key {pem};\n    ssl_protocols {version};\n    \
         ssl_ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256;\n    \
         ssl_conf_command Ciphersuites TLS_AES_128_GCM_SHA256;\n    ssl_ecdh_curve X25519;\n    \
         ssl_session_tickets {tickets};\n    ssl_session_cache {cache};"
    )
}
