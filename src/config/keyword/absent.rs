//! Names that HAProxy 3.4 has and these catalogues lack. They get an error of their own kind, never "unknown keyword".
//! A name leaves its list when its row is written; a test holds that no name is in both.

/// The text for such a name.
pub use crate::language::words::unsupported as text;

pub fn section(name: &str) -> Option<&'static str> {
    SECTIONS.iter().find(|n| **n == name).copied()
}

pub fn global(name: &str) -> bool {
    GLOBAL.contains(&name)
}

pub fn proxy(name: &str) -> bool {
    PROXY.contains(&name)
}

pub fn option(name: &str) -> bool {
    OPTIONS.contains(&name)
}

/// Names with an argument in parentheses are compared up to it.
pub fn bind_option(word: &str) -> bool {
    BIND_OPTIONS.contains(&word.split('(').next().unwrap_or(word))
}

pub fn server_option(word: &str) -> bool {
    SERVER_OPTIONS.contains(&word.split('(').next().unwrap_or(word))
}

/// Kinds of sections.
pub static SECTIONS: &[&str] = &[
    "acme",
    "cache",
    "crt-store",
    "fcgi-app",
    "healthcheck",
    "log-forward",
    "log-profile",
    "mailers",
    "namespace_list",
    "traces",
];

/// Keywords of `global`.
pub static GLOBAL: &[&str] = &[
    "51degrees-allow-unmatched",
    "51degrees-cache-size",
    "51degrees-data-file",
    "51degrees-difference",
    "51degrees-drift",
    "51degrees-property-name-list",
    "51degrees-property-separator",
    "51degrees-use-performance-graph",
    "51degrees-use-predictive-graph",
    "acme.scheduler",
    "anonkey",
    "cpu-affinity",
    "cpu-policy",
    "cpu-set",
    "deviceatlas-cache-size",
    "deviceatlas-json-file",
    "deviceatlas-log-level",
    "deviceatlas-properties-cookie",
    "deviceatlas-separator",
    "force-cfg-parser-pause",
    "harden.reject-privileged-ports.quic",
    "harden.reject-privileged-ports.tcp",
    "httpclient.resolvers.disabled",
    "httpclient.resolvers.id",
    "httpclient.resolvers.prefer",
    "httpclient.retries",
    "httpclient.ssl.ca-file",
    "httpclient.ssl.verify",
    "httpclient.timeout.connect",
    "issuers-chain-path",
    "jwt.decrypt_alg_list",
    "jwt.decrypt_enc_list",
    "limited-quic",
    "lua-load",
    "lua-load-per-thread",
    "lua-prepend-path",
    "max-threads-per-group",
    "noktls",
    "ocsp-update.disable",
    "ocsp-update.httpproxy",
    "ocsp-update.maxdelay",
    "ocsp-update.mindelay",
    "ocsp-update.mode",
    "pp2-never-send-local",
    "profiling.tasks",
    "setcap",
    "shm-stats-file",
    "shm-stats-file-max-objects",
    "ssl-default-bind-client-sigalgs",
    "ssl-default-bind-sigalgs",
    "ssl-default-server-client-sigalgs",
    "ssl-default-server-sigalgs",
    "ssl-passphrase-cmd",
    "ssl-propquery",
    "ssl-provider",
    "ssl-provider-path",
    "ssl-security-level",
    "stats-file",
    "stress-level",
    "thread-hard-limit",
    "tune.cli.max-payload-size",
    "tune.fail-alloc",
    "tune.fd.edge-triggered",
    "tune.glitches.kill.cpu-usage",
    "tune.h1.be.glitches-threshold",
    "tune.h1.fe.glitches-threshold",
    "tune.h2.be.max-frames-at-once",
    "tune.h2.fe.max-frames-at-once",
    "tune.h2.fe.max-rst-at-once",
    "tune.h2.log-errors",
    "tune.lua.burst-timeout",
    "tune.lua.forced-yield",
    "tune.lua.log.loggers",
    "tune.lua.log.stderr",
    "tune.lua.maxmem",
    "tune.lua.openlibs",
    "tune.lua.service-timeout",
    "tune.lua.session-timeout",
    "tune.lua.task-timeout",
    "tune.notsent-lowat.client",
    "tune.notsent-lowat.server",
    "tune.peers.max-updates-at-once",
    "tune.quic.be.cc.cubic-min-losses",
    "tune.quic.be.cc.hystart",
    "tune.quic.be.cc.max-frame-loss",
    "tune.quic.be.cc.max-win-size",
    "tune.quic.be.cc.reorder-ratio",
    "tune.quic.be.max-idle-timeout",
    "tune.quic.be.sec.glitches-threshold",
    "tune.quic.be.stream.data-ratio",
    "tune.quic.be.stream.max-concurrent",
    "tune.quic.be.stream.rxbuf",
    "tune.quic.be.tx.pacing",
    "tune.quic.be.tx.udp-gso",
    "tune.quic.cc-hystart",
    "tune.quic.cc.cubic.min-losses",
    "tune.quic.disable-tx-pacing",
    "tune.quic.disable-udp-gso",
    "tune.quic.fe.cc.cubic-min-losses",
    "tune.quic.fe.cc.hystart",
    "tune.quic.fe.cc.max-frame-loss",
    "tune.quic.fe.cc.max-win-size",
    "tune.quic.fe.cc.reorder-ratio",
    "tune.quic.fe.max-idle-timeout",
    "tune.quic.fe.sec.glitches-threshold",
    "tune.quic.fe.sec.retry-threshold",
    "tune.quic.fe.sock-per-conn",
    "tune.quic.fe.stream.data-ratio",
    "tune.quic.fe.stream.max-concurrent",
    "tune.quic.fe.stream.max-total",
    "tune.quic.fe.stream.rxbuf",
    "tune.quic.fe.tx.pacing",
    "tune.quic.fe.tx.udp-gso",
    "tune.quic.frontend.default-max-window-size",
    "tune.quic.frontend.glitches-threshold",
    "tune.quic.frontend.max-data-size",
    "tune.quic.frontend.max-idle-timeout",
    "tune.quic.frontend.max-streams-bidi",
    "tune.quic.frontend.max-tx-mem",
    "tune.quic.frontend.stream-data-ratio",
    "tune.quic.listen",
    "tune.quic.max-frame-loss",
    "tune.quic.mem.tx-max",
    "tune.quic.reorder-ratio",
    "tune.quic.retry-threshold",
    "tune.quic.socket-owner",
    "tune.quic.zero-copy-fwd-send",
    "tune.rcvbuf.backend",
    "tune.rcvbuf.frontend",
    "tune.renice.runtime",
    "tune.renice.startup",
    "tune.sndbuf.backend",
    "tune.sndbuf.frontend",
    "tune.ssl.certificate-compression",
    "tune.ssl.ocsp-update.maxdelay",
    "tune.ssl.ocsp-update.mindelay",
    "tune.streams-elasticity",
    "warn-blocked-traffic-after",
    "wurfl-cache-size",
    "wurfl-data-file",
    "wurfl-engine-mode",
    "wurfl-information-list",
    "wurfl-information-list-separator",
    "wurfl-patch-file",
    "wurfl-useragent-priority",
];

/// Keywords of proxies.
pub static PROXY: &[&str] =
    &["email-alert", "filter-sequence", "force-be-switch", "http-error", "monitor-net", "quic-initial", "ssl-f-use"];

/// Names of `option`.
pub static OPTIONS: &[&str] = &["assume-rfc6587-ntf", "dont-parse-log", "spop-check"];

/// Options of `bind` lines.
pub static BIND_OPTIONS: &[&str] = &[
    "accept-netscaler-cip",
    "allow-0rtt",
    "ca-sign-file",
    "ca-sign-pass",
    "client-sigalgs",
    "generate-certificates",
    "ktls",
    "namespace",
    "nbconn",
    "quic-cc-algo",
    "quic-force-retry",
    "quic-socket",
    "sigalgs",
    "tcp-md5sig",
];

/// Options of `server` lines.
pub static SERVER_OPTIONS: &[&str] = &[
    "allow-0rtt",
    "check-pool-conn-name",
    "check-sni-auto",
    "client-sigalgs",
    "healthcheck",
    "ktls",
    "log-bufsize",
    "namespace",
    "no-check-sni-auto",
    "no-renegotiate",
    "quic-cc-algo",
    "renegotiate",
    "set-proxy-v2-tlv-fmt",
    "sigalgs",
    "tcp-md5sig",
];
