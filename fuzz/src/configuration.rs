//! A whole configuration file: text to plan.

use ringway::config::{
    diagnostic::{Diagnostics, Severity},
    env::Environment,
    files::Source,
    load::{Options, Outcome, load_sources},
};

/// Loads a text as the one file of a configuration.
pub fn load(text: &[u8]) -> Outcome {
    let options = Options { ignore_unresolvable: true, refuse_unserved: false, ..Options::default() };
    let source = Source { name: "fuzz.cfg".into(), content: text.to_vec() };
    load_sources(vec![source], &options, &mut Environment::default(), Diagnostics::new(false))
}

/// There is a plan, or an alert that says why not; a plan may have alerts, as with HAProxy.
pub fn whole(data: &[u8]) {
    // Files that the text names are opened: not those that never end.
    let named = |path: &[u8]| data.windows(path.len()).any(|w| w == path);
    if data.len() > 20_000 || named(b"/dev") || named(b"/proc") || named(b"/sys") {
        return;
    }
    let outcome = load(data);
    let alerts = outcome.diagnostics.messages().iter().filter(|m| m.severity == Severity::Alert).count();
    assert_eq!(outcome.plan.is_none(), outcome.diagnostics.failed(), "{}", data.escape_ascii());
    assert!(outcome.plan.is_some() || alerts > 0, "{}", data.escape_ascii());
}

pub fn seeds() -> Vec<Vec<u8>> {
    let texts: [&[u8]; 9] = [
        b"global\n maxconn 100\n nbthread 2\ndefaults\n mode http\n timeout client 1s\n timeout server 1s\n timeout connect 1s\n\
          frontend f\n bind 127.0.0.1:80\n default_backend b\nbackend b\n server s 127.0.0.1:81 check inter 1s\n",
        b"listen l\n bind :1\n mode tcp\n acl a src 10.0.0.0/8\n tcp-request connection reject if !a\n balance source\n server s 127.0.0.1:1 weight 3\n",
        b"frontend f\n mode http\n bind :1\n acl x path_beg /a\n http-request set-header a %[src] if x or { path /b }\n\
          http-request redirect location /x code 302 unless x\n use_backend %[req.hdr(host)] if x\nbackend b\n mode http\n",
        b"backend t\n stick-table type ip size 1m expire 10s store gpc0,http_req_rate(10s)\nfrontend f\n bind :1\n http-request track-sc0 src table t\n",
        b"userlist u\n group g users a\n user a insecure-password b\nresolvers r\n nameserver n 127.0.0.1:53\n hold valid 1s\n",
        b"peers p\n peer a 127.0.0.1:1\n table t type string len 32 size 10k\n",
        b".if defined(A)\n.alert \"x\"\n.elif version_atleast(2.0)\n.notice y\n.else\n.endif\nglobal\n setenv A \"b c\"\n log stdout local0\n",
        b"defaults d\n option httplog\n option forwardfor\n errorloc 503 /e\nlisten l from d\n bind :1\n mode http\n\
          option httpchk\n http-check send meth GET uri / ver HTTP/1.1 hdr host a\n http-check expect status 200-399\n\
          cookie C insert indirect nocache\n server-template s 1-3 127.0.0.1:80 cookie c\n",
        b"frontend f\n bind :1\n log-format \"%ci %[src,ipmask(24)] %{+Q}r\"\n capture request header host len 10\n http-after-response set-header a b\n\
          http-response return status 200 content-type text/plain lf-string %[date]\n compression algo gzip\n",
    ];
    texts.iter().map(|t| t.to_vec()).collect()
}
