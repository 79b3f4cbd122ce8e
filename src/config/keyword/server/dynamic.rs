//! `add server` of the runtime API (management guide 9.3): a `server` line without a file, of which fewer options are
//! allowed, and which no `default-server` reaches.

use super::{Args, ServerDraft, finish, options, rows};
use crate::config::{
    diagnostic::Diagnostics,
    env::Environment,
    keyword::{address, unserved},
    lexer::{Line, Word},
    load::Options,
    resolve::server_expressions,
    section::{Loading, Section, draft::Draft},
};
use crate::{
    base::origin::Origin,
    model::{guid::Guids, plan::Plan, plan::ProxyIndex, proxy::Proxy, server::Server},
};

/// Options that a server which comes at run time may have.
const ACCEPTED: &[&str] = &[
    "allow-0rtt",
    "alpn",
    "ca-file",
    "check-alpn",
    "check-sni",
    "check-ssl",
    "ciphers",
    "ciphersuites",
    "client-sigalgs",
    "crl-file",
    "curves",
    "crt",
    "force-sslv3",
    "force-tlsv10",
    "force-tlsv11",
    "force-tlsv12",
    "force-tlsv13",
    "ktls",
    "no-check-sni-auto",
    "no-renegotiate",
    "no-sni-auto",
    "no-ssl-reuse",
    "no-sslv3",
    "no-tlsv10",
    "no-tlsv11",
    "no-tlsv12",
    "no-tlsv13",
    "no-tls-tickets",
    "npn",
    "renegotiate",
    "send-proxy-v2-ssl",
    "send-proxy-v2-ssl-cn",
    "sigalgs",
    "sni",
    "ssl",
    "ssl-min-ver",
    "ssl-max-ver",
    "tls-tickets",
    "verify",
    "verifyhost",
    "backup",
    "cookie",
    "disabled",
    "error-limit",
    "guid",
    "ws",
    "hash-key",
    "id",
    "idle-ping",
    "init-state",
    "maxconn",
    "maxqueue",
    "minconn",
    "no-backup",
    "no-send-proxy",
    "no-send-proxy-v2",
    "no-tfo",
    "observe",
    "on-error",
    "on-marked-down",
    "on-marked-up",
    "pool-conn-name",
    "pool-low-conn",
    "pool-max-conn",
    "pool-purge-delay",
    "proto",
    "proxy-v2-options",
    "send-proxy",
    "send-proxy-v2",
    "set-proxy-v2-tlv-fmt",
    "shard",
    "slowstart",
    "source",
    "strict-maxconn",
    "tfo",
    "track",
    "usesrc",
    "weight",
    "addr",
    "agent-addr",
    "agent-check",
    "agent-inter",
    "agent-port",
    "agent-send",
    "check",
    "check-pool-conn-name",
    "check-proto",
    "check-reuse-pool",
    "check-send-proxy",
    "check-via-socks4",
    "rise",
    "fall",
    "inter",
    "fastinter",
    "downinter",
    "port",
];

/// The options that are accepted and served, in HAProxy's order.
pub fn served() -> impl Iterator<Item = &'static str> {
    ACCEPTED.iter().copied().filter(|n| rows().any(|o| o.name == *n) && unserved::reason("server", n).is_none())
}

/// Reads `<address>[:<port>] [options]`. `taken` are the servers that the backend has, `guids`
/// what all others have. The error is the answer's text.
pub fn read(
    plan: &Plan,
    proxy: ProxyIndex,
    name: &str,
    words: &[&str],
    mut taken: impl Iterator<Item = (u32, String, Origin)>,
    guids: &mut Guids,
) -> Result<Server, String> {
    let settings = &plan.proxies[proxy];
    let (options_of_load, mut environment) = (Options::default(), Environment::of_process());
    let mut diagnostics = Diagnostics::new(false);
    let mut cx = Loading::new(&options_of_load, &mut environment, &mut diagnostics);
    let mut stand_in = Proxy::new(&settings.name, Origin::none(), false, true);
    stand_in.mode = settings.mode;
    cx.proxies.push(Draft::new(stand_in, "backend"));
    cx.section = Section::Proxy(0);
    cx.global.tls = plan.global.tls.clone();
    let all = ["server", name].into_iter().chain(words.iter().copied());
    let words = all.map(|w| Word { text: w.to_owned(), column: 1 }).collect();
    let line = Line { origin: Origin::none(), raw: String::new(), words };
    let a = Args::new(&line, 0);
    let place = format!("'server {}/{name}' : ", settings.name);
    let bare = |text: String| {
        let text = text.strip_prefix(&format!("[{}] : ", Origin::none())).unwrap_or(&text);
        text.strip_prefix(&place).unwrap_or(text).to_owned()
    };
    for at in 3..a.len() {
        let word = a.get(at);
        // Values look like options now and then; what is a value is passed over by the reading below.
        if rows().any(|o| o.name == word) && !ACCEPTED.contains(&word) && is_option(&a, at) {
            return Err(format!("'{word}' option is not accepted for dynamic server"));
        }
    }
    let mut draft = ServerDraft::new(Origin::none());
    name.clone_into(&mut draft.server.name);
    let found = address::server(a.get(2), cx.environment).map_err(&bare)?;
    draft.server.host = found.host;
    draft.server.address = found.address;
    draft.server.port = found.port;
    draft.server.mptcp = found.mptcp;
    draft.server.port_map = found.port_map;
    options(&mut cx, &mut draft, &a, 3, &place, true).map_err(|f| bare(f.text))?;
    finish(&a, &draft, &place).map_err(|f| bare(f.text))?;
    if draft.id_written
        && let Some((id, other, origin)) = taken.find(|(id, ..)| *id == draft.server.id)
    {
        return Err(format!("'id' : custom id {id} already used at {origin} ('server {other}')."));
    }
    if !draft.id_written {
        draft.server.id = 0;
    }
    if let Some(guid) = &draft.server.guid {
        guids.take(guid, name).map_err(|text| format!("'guid': {text}."))?;
    }
    let mut server = whole(draft, plan);
    server_expressions(&mut cx, &mut server)?;
    if !cx.draft().references.is_empty() {
        return Err("names of tables and lists are not looked up at run time".to_owned());
    }
    Ok(server)
}

/// Whether the word at `at` stands where an option is read, counting from the first.
fn is_option(a: &Args<'_>, at: usize) -> bool {
    let mut next = 3;
    while next < at {
        let Some(option) = rows().find(|o| o.name == a.get(next)) else { return false };
        if option.words == usize::MAX {
            return false;
        }
        next += 1 + option.words;
    }
    next == at
}

/// Puts what accumulated into the server.
fn whole(draft: ServerDraft, plan: &Plan) -> Server {
    let ServerDraft { mut server, check, mut agent, .. } = draft;
    if draft.agent_enabled {
        if !draft.agent_inter_written {
            agent.inter_ms = check.inter_ms;
        }
        server.agent = Some(agent);
    }
    if draft.check_enabled {
        server.check = Some(check);
    }
    if !draft.verify_written {
        server.tls.verify = plan.global.tls.server_verify;
    }
    server
}

#[cfg(test)]
mod tests {
    use super::*;

    fn add(words: &[&str]) -> Result<Server, String> {
        let mut plan = Plan::default();
        plan.proxies.push(Proxy::new("be", Origin::none(), false, true));
        let taken = [(1, "s1".to_owned(), Origin::new("h.cfg", 19))].into_iter();
        let mut guids = Guids::default();
        guids.take("g1", "server be/s1").expect("the first");
        read(&plan, 0, "s3", words, taken, &mut guids)
    }

    #[test]
    fn options_of_a_dynamic_server_are_read() {
        let server = add(&["127.0.0.1:80", "check", "inter", "1s", "weight", "5", "maxconn", "3"]).unwrap();
        assert_eq!((server.weight, server.maxconn, server.port), (5, 3, 80));
        assert_eq!(server.check.map(|c| c.inter_ms), Some(1000));
    }

    #[test]
    fn refusals_have_haproxys_texts() {
        let text = |words: &[&str]| add(words).unwrap_err();
        assert_eq!(text(&["127.0.0.1:1", "foo"]), "unknown keyword 'foo'; did you mean 'tfo' maybe ?");
        assert_eq!(text(&["127.0.0.1:1", "resolvers", "x"]), "'resolvers' option is not accepted for dynamic server");
        assert_eq!(text(&["127.0.0.1:1", "weight", "300"]), "weight of server s3 is not within 0 and 256 (300)..");
        let bad = "error detected while parsing sni or pool-conn-name expressions : unknown fetch method 'foo'.";
        assert_eq!(text(&["127.0.0.1:1", "ssl", "verify", "none", "sni", "foo"]), bad);
        assert_eq!(text(&["127.0.0.1:1", "pool-conn-name", "foo"]), bad);
        assert_eq!(text(&["127.0.0.1:1", "guid", "g1"]), "'guid': duplicate entry with server be/s1.");
        assert_eq!(text(&["127.0.0.1:1", "id", "1"]), "'id' : custom id 1 already used at h.cfg:19 ('server s1').");
    }
}
