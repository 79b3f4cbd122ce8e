//! What every proxy has: mode, names, limits, where requests go, where it logs (manual 4.2).

use crate::{
    config::{
        diagnostic::Severity,
        keyword::{
            Needs::{Backend, Frontend, Nothing},
            Row, address,
            args::{Args, Fault, atol, count},
            bind, log, row, row_nodef, server, source,
        },
        section::Loading,
    },
    model::{
        backend::{HttpReuse, RetryOn},
        persist::ServerState,
        proxy::{LogLineFormat, Mode},
    },
};

pub static ROWS: &[Row] = &[
    row("mode", Nothing, mode),
    row_nodef("id", Nothing, id),
    row("description", Nothing, |cx, a| {
        if a.get(1).is_empty() {
            return Err(a.tight(1, "'description' expects a string argument."));
        }
        cx.draft().proxy.description = Some(a.strings(1).join(" "));
        Ok(())
    }),
    row("disabled", Nothing, |cx, a| {
        a.at_most(0)?;
        cx.draft().proxy.disabled = true;
        Ok(())
    }),
    row("enabled", Nothing, |cx, a| {
        a.at_most(0)?;
        cx.draft().proxy.disabled = false;
        Ok(())
    }),
    row_nodef("guid", Nothing, |cx, a| {
        let guid = required(a, "'guid' : expects an argument")?;
        let owner = format!("{} {}", cx.draft().proxy.kind(), cx.draft().proxy.name);
        if let Some(former) = cx.draft().proxy.guid.take() {
            cx.guids.release(&former);
        }
        cx.guids.take(guid, owner).map_err(|text| a.fault(1, format!("'guid': {text}")))?;
        cx.draft().proxy.guid = Some(guid.to_owned());
        Ok(())
    }),
    row("maxconn", Frontend, maxconn),
    row("fullconn", Backend, |cx, a| {
        a.at_most(1)?;
        cx.draft().proxy.backend.fullconn = Some(integer(a)?).filter(|&n| n > 0);
        Ok(())
    }),
    row("backlog", Frontend, |cx, a| {
        a.at_most(1)?;
        cx.draft().proxy.frontend.backlog = Some(integer(a)?).filter(|&n| n > 0);
        Ok(())
    }),
    row("retries", Backend, |cx, a| {
        a.at_most(1)?;
        let word = required(a, "'retries' expects an integer argument (dispatch counts for one).")?;
        cx.draft().proxy.backend.retries = count(word);
        Ok(())
    }),
    row("retry-on", Backend, retry_on),
    row("http-reuse", Backend, http_reuse),
    row("max-keep-alive-queue", Backend, |cx, a| {
        let missing = "'max-keep-alive-queue' expects expects an integer value (or -1 to disable)";
        let n = whole(a, 1, a.get(0), missing)?;
        cx.draft().proxy.backend.max_keep_alive_queue = u32::try_from(n).ok();
        Ok(())
    }),
    row("max-session-srv-conns", Frontend, |cx, a| {
        let n = whole(a, 1, a.get(0), "'max-session-srv-conns' expects an integer argument.")?;
        cx.draft().proxy.backend.max_session_srv_conns = u32::try_from(n).ok();
        Ok(())
    }),
    row("rate-limit", Frontend, |cx, a| {
        if a.get(1) != "sessions" {
            return Err(a.fault(1, format!("'rate-limit' only supports 'sessions' (got '{}')", a.get(1))));
        }
        let missing = "'rate-limit sessions' expects expects an integer value (in sessions/second)";
        let n = whole(a, 2, "rate-limit sessions", missing)?;
        cx.draft().proxy.frontend.rate_limit_sessions = u32::try_from(n).ok().filter(|&n| n > 0);
        Ok(())
    }),
    row("default_backend", Frontend, |cx, a| {
        a.at_most(1)?;
        let name = required(a, "'default_backend' expects a backend name.")?;
        cx.draft().proxy.frontend.default_backend_name = Some(name.to_owned());
        cx.draft().proxy.frontend.default_backend_origin = Some(a.line.origin.clone());
        Ok(())
    }),
    row("monitor-uri", Frontend, |cx, a| {
        a.at_most(1)?;
        let uri = required(a, "'monitor-uri' expects an URI.")?;
        cx.draft().proxy.frontend.monitor_uri = Some(uri.to_owned());
        Ok(())
    }),
    row_nodef("bind", Frontend, bind::bind),
    row("server", Nothing, server::server),
    row("default-server", Nothing, server::server),
    row("server-template", Nothing, server::server),
    row("source", Backend, |cx, a| {
        let missing = "'source' expects <addr>[:<port>], and optionally 'usesrc' <addr>, and 'interface' <name>.";
        let (found, words) = source::read(cx, a, missing).map_err(|(at, text)| a.fault(at, text))?;
        if !a.get(words).is_empty() {
            return Err(a.fault(words, "'source' only supports optional keywords 'interface' and 'usesrc'."));
        }
        cx.draft().proxy.backend.source = Some(found);
        Ok(())
    }),
    row("usesrc", Nothing, |_, a| Err(a.fault(0, "'usesrc' only allowed after a 'source' statement."))),
    row_nodef("dispatch", Backend, dispatch),
    row("log", Nothing, log::proxy),
    row("log-tag", Nothing, |cx, a| {
        a.at_most(1)?;
        cx.draft().proxy.log.tag = Some(required(a, "'log-tag' expects a tag for use in syslog.")?.to_owned());
        Ok(())
    }),
    row("log-format", Nothing, log_format),
    row("log-format-sd", Nothing, |cx, a| {
        let format = format(a)?;
        cx.draft().format_origins.insert("log-format-sd", a.origin());
        cx.draft().proxy.log.structured_data = Some(format);
        Ok(())
    }),
    row("error-log-format", Nothing, |cx, a| {
        let format = format(a)?;
        cx.draft().format_origins.insert("error-log-format", a.origin());
        cx.draft().proxy.log.error_format = Some(format);
        Ok(())
    }),
    row("log-steps", Frontend, log_steps),
    row("unique-id-format", Nothing, |cx, a| {
        let format = format(a)?;
        cx.draft().format_origins.insert("unique-id-format", a.origin());
        cx.draft().proxy.frontend.unique_id_format = Some(format);
        Ok(())
    }),
    row("unique-id-header", Nothing, |cx, a| {
        let name = required(a, "unique-id-header expects an argument.")?;
        cx.draft().proxy.frontend.unique_id_header = Some(name.to_owned());
        Ok(())
    }),
    row("load-server-state-from-file", Backend, |cx, a| {
        cx.draft().proxy.backend.load_server_state = match a.get(1) {
            "none" => ServerState::None,
            "global" => ServerState::Global,
            "local" => ServerState::Local,
            other => {
                let text =
                    format!("'load-server-state-from-file' expects 'global', 'local' or 'none'. Got '{other}'");
                return Err(a.fault(1, text));
            }
        };
        Ok(())
    }),
    row_nodef("server-state-file-name", Backend, |cx, a| {
        let name = if a.get(1).is_empty() { cx.draft().proxy.name.clone() } else { a.get(1).to_owned() };
        cx.draft().proxy.backend.server_state_file_name = Some(name);
        Ok(())
    }),
    row("http-send-name-header", Backend, |cx, a| {
        let name = required(a, "'http-send-name-header' requires a header string.")?;
        let lower = name.to_ascii_lowercase();
        // Manual 4.2: what decides where a message ends and who it is for.
        if matches!(lower.as_str(), "host" | "content-length" | "transfer-encoding" | "connection") {
            let text = format!("'{name}' cannot be used as header name for 'http-send-name-header' directive.");
            return Err(a.fault(1, text));
        }
        cx.draft().proxy.backend.http_send_name_header = Some(lower);
        Ok(())
    }),
    row_nodef("use-fcgi-app", Backend, |cx, a| {
        let name = required(a, "'use-fcgi-app' expects an application name as argument.")?;
        cx.draft().proxy.backend.use_fcgi_app = Some(name.to_owned());
        Err(a.fault(0, crate::config::keyword::absent::text("use-fcgi-app")))
    }),
];

/// The first argument, or HAProxy's text for its absence.
pub fn required<'a>(a: &Args<'a>, missing: &str) -> Result<&'a str, Fault> {
    match a.get(1) {
        "" => Err(a.fault(1, missing)),
        word => Ok(word),
    }
}

fn integer(a: &Args<'_>) -> Result<u32, Fault> {
    let missing = format!("'{}' expects an integer argument.", a.get(0));
    Ok(count(required(a, &missing)?))
}

/// A whole number that must be all of the word.
pub fn whole(a: &Args<'_>, at: usize, keyword: &str, missing: &str) -> Result<i64, Fault> {
    let word = a.get(at);
    if word.is_empty() {
        return Err(a.fault(at, missing));
    }
    let digits = word.strip_prefix('-').unwrap_or(word);
    match digits.chars().find(|c| !c.is_ascii_digit()) {
        Some(c) => Err(a.fault(at, format!("'{keyword}' : unexpected character '{c}' in integer value '{word}'"))),
        None => Ok(atol(word)),
    }
}

fn mode(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    a.at_most(1)?;
    let mode = match a.get(1) {
        "tcp" => Mode::Tcp,
        "http" => Mode::Http,
        "log" => Mode::Log,
        "spop" => Mode::Spop,
        "health" => {
            return Err(a.fault(
                1,
                "'mode health' doesn't exist anymore. Please use 'http-request return status 200' instead.",
            ));
        }
        other => return Err(a.fault(1, format!("unknown proxy mode '{other}'."))),
    };
    if matches!(mode, Mode::Log | Mode::Spop) {
        return Err(a.fault(1, crate::config::keyword::absent::text(&format!("mode {}", a.get(1)))));
    }
    cx.draft().proxy.mode = mode;
    Ok(())
}

fn id(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    a.at_most(1)?;
    if a.get(1).is_empty() {
        return Err(a.tight(1, "'id' expects an integer argument."));
    }
    let id = match atol(a.get(1)) {
        n @ 1.. => n as u32,
        _ => return Err(a.tight(1, "custom id has to be > 0.")),
    };
    if let Some(other) = cx.proxies.iter().find(|p| p.proxy.id_forced && p.proxy.id == id) {
        let text = format!(
            "{} {} reuses same custom id as {} {} (declared at {}).",
            cx.proxies.last().map_or("proxy", |p| p.proxy.kind()),
            cx.proxies.last().map_or("", |p| p.proxy.name.as_str()),
            other.proxy.kind(),
            other.proxy.name,
            other.proxy.origin
        );
        return Err(a.tight(1, text));
    }
    let proxy = &mut cx.draft().proxy;
    proxy.id = id;
    proxy.id_forced = true;
    Ok(())
}

/// HAProxy reads `10k` as 10 without a word; here it means what its author meant, and says what HAProxy does.
fn maxconn(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    a.at_most(1)?;
    let word = required(a, "'maxconn' expects an integer argument.")?;
    let read = count(word);
    let value = match crate::config::keyword::args::size(word) {
        Ok(meant) if meant != u64::from(read) => {
            let meant = u32::try_from(meant).unwrap_or(u32::MAX);
            cx.warn(a, 1, format!("'maxconn {word}' is taken as {meant}; haproxy reads {read}."));
            meant
        }
        _ => read,
    };
    cx.draft().proxy.frontend.maxconn = Some(value);
    Ok(())
}

fn retry_on(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    required(a, "'retry-on' needs at least one keyword to specify when to retry")?;
    let mut on = RetryOn { conn_failure: false, ..RetryOn::default() };
    for (index, word) in a.from(1).enumerate() {
        match word {
            "none" if a.len() == 2 => {}
            "none" => return Err(a.fault(index + 1, "'retry-on' 'none' keyword only usable alone")),
            "conn-failure" => on.conn_failure = true,
            "empty-response" => on.empty_response = true,
            "junk-response" => on.junk_response = true,
            "response-timeout" => on.response_timeout = true,
            "0rtt-rejected" => on.zero_rtt_rejected = true,
            "all-retryable-errors" => {
                on = RetryOn {
                    conn_failure: true,
                    empty_response: true,
                    junk_response: true,
                    response_timeout: true,
                    zero_rtt_rejected: true,
                    statuses: vec![500, 502, 503, 504],
                };
            }
            status => match status.parse::<u16>() {
                Ok(n @ (401 | 403 | 404 | 408 | 421 | 425 | 429 | 500 | 501 | 502 | 503 | 504)) => {
                    on.statuses.push(n)
                }
                _ => return Err(a.fault(index + 1, format!("'retry-on': unknown keyword '{status}'"))),
            },
        }
    }
    cx.draft().proxy.backend.retry_on = on;
    Ok(())
}

fn http_reuse(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let reuse = match a.get(1) {
        "never" => HttpReuse::Never,
        "safe" => HttpReuse::Safe,
        "aggressive" => HttpReuse::Aggressive,
        "always" => HttpReuse::Always,
        _ => {
            let text = "'http-reuse' only supports 'never', 'safe', 'aggressive', 'always'.";
            return Err(a.fault(1, text));
        }
    };
    a.at_most_of(1, &format!("http-reuse {}", a.get(1)))?;
    cx.draft().proxy.backend.http_reuse = reuse;
    Ok(())
}

fn dispatch(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let word = a.get(1);
    let (address, _) =
        address::source(word, cx.environment).map_err(|text| a.fault(1, format!("'dispatch' : {text}")))?;
    if !cx.global.expose_deprecated_directives {
        let text = format!(
            "'dispatch' is deprecated in 3.3 and will be removed in 3.5. The modern way to do the same is to create a server \
             with the same address, and possibly to assign any extra server a weight of zero if any:\n    server dispatch \
             {word}\nNote that it is still possible to silence this warning by setting 'expose-deprecated-directives' in the \
             'global' section, but do not wait to fix your configuration!"
        );
        cx.diagnostics.at_tight(Severity::Warning, a.line, a.word(0), text);
    }
    cx.draft().proxy.backend.dispatch = Some(address);
    Ok(())
}

/// The single argument of `log-format` and its like.
fn format(a: &Args<'_>) -> Result<String, Fault> {
    let keyword = a.get(0);
    let word = required(a, &format!("{keyword} expects an argument."))?;
    if !a.get(2).is_empty() {
        let text = format!("{keyword} expects only one argument, don't forget to escape spaces!");
        return Err(a.fault(2, text));
    }
    Ok(word.to_owned())
}

fn log_format(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let format = format(a)?;
    let draft = cx.draft();
    if !draft.proxy.has_frontend {
        let text = format!("{} : 'log-format' directive is ignored in backends.", draft.title());
        cx.warn(a, 0, text);
        return Ok(());
    }
    draft.proxy.log.format = LogLineFormat::Custom(format);
    draft.log_option = Some((a.origin(), "log-format".to_owned()));
    Ok(())
}

const STEPS: [&str; 12] = [
    "accept",
    "request",
    "connect",
    "response",
    "close",
    "http-req",
    "http-res",
    "http-after-res",
    "tcp-req-conn",
    "tcp-req-sess",
    "tcp-req-cont",
    "tcp-res-cont",
];

fn log_steps(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let mut steps = Vec::new();
    for word in a.get(1).split(',').filter(|w| !w.is_empty()) {
        if word != "all" && !STEPS.contains(&word) {
            let text = format!("invalid log step name ({word}). Expected values are: {}", STEPS.join(", "));
            return Err(a.fault(1, text));
        }
        steps.push(word.to_owned());
    }
    cx.draft().proxy.log.steps = steps;
    Ok(())
}
