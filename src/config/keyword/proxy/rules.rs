//! ACLs and rules (manual 4.2, 4.3, 7): the lines whose words `language` compiles.

use crate::{
    config::{
        diagnostic::Severity,
        keyword::{
            NO_PRIORITIES,
            Needs::{Backend, Frontend, Nothing},
            Row, absent,
            args::{Args, Bare, Fault, TimeFault, time_ms},
            expr, row_named, row_nodef, unserved,
        },
        section::{Loading, draft::Placed},
    },
    language::{
        acl::AclSet,
        parse::Words,
        rules::{Phase, RuleSet},
        sample::scope::Points,
    },
    model::rules::Rules,
};

pub static ROWS: &[Row] = &[
    row_named("acl", Nothing, |cx, a| {
        remember(cx, a);
        let words: Vec<&str> = a.from(1).collect();
        expr::line(cx, a, |p, _| AclSet::parse_line(&words, p))
    }),
    row_named("http-request", Nothing, |cx, a| http(cx, a, Phase::HttpRequest)),
    row_named("http-response", Nothing, |cx, a| http(cx, a, Phase::HttpResponse)),
    row_named("http-after-response", Nothing, |cx, a| http(cx, a, Phase::HttpAfterResponse)),
    row_named("tcp-request", Nothing, tcp_request),
    row_named("tcp-response", Backend, tcp_response),
    row_nodef("redirect", Nothing, |cx, a| {
        order(cx, a, Placed::Redirect);
        http_rules(cx, "redirect");
        let words: Vec<&str> = a.from(1).collect();
        expr::line(cx, a, |p, rules| rules.redirects.parse_rule(&words, p))
    }),
    row_nodef("use_backend", Frontend, |cx, a| {
        order(cx, a, Placed::UseBackend);
        let words: Vec<&str> = a.from(1).collect();
        expr::line(cx, a, |p, rules| rules.use_backend.parse_rule("use_backend", &words, p))
    }),
    row_nodef("use-server", Backend, use_server),
    row_nodef("monitor", Frontend, |cx, a| {
        if a.get(1) != "fail" {
            return Err(a.fault(1, "'monitor' only supports 'fail'."));
        }
        gate(cx, a, 2, "monitor fail", "condition", Points::FE_HRQ_HDR, |rules| &mut rules.monitor_fail)
    }),
    row_nodef("force-persist", Nothing, |cx, a| {
        let points = Points::FE_REQ_CNT;
        gate(cx, a, 1, "force-persist", "rule", points, |rules| &mut rules.force_persist)
    }),
    row_nodef("ignore-persist", Nothing, |cx, a| {
        let points = Points::FE_REQ_CNT;
        gate(cx, a, 1, "ignore-persist", "rule", points, |rules| &mut rules.ignore_persist)
    }),
];

/// A `defaults` section keeps its rule lines: proxies that inherit compile them anew, before their own.
fn remember(cx: &mut Loading<'_>, a: &Args<'_>) {
    if cx.in_defaults() {
        let line = a.line.clone();
        cx.draft().rule_lines.push(line);
    }
}

/// Notes that a family of rules was written, for the warning that they need HTTP mode.
fn http_rules(cx: &mut Loading<'_>, family: &'static str) {
    let draft = cx.draft();
    if !draft.http_rules.contains(&family) {
        draft.http_rules.push(family);
    }
}

/// Warns where a rule stands below one that is evaluated after it.
fn order(cx: &mut Loading<'_>, a: &Args<'_>, placed: Placed) {
    let draft = cx.draft();
    let later = draft.placed.iter().copied().filter(|p| p.follows(placed)).min();
    draft.placed.insert(placed);
    if cx.replaying {
        return;
    }
    if let Some(later) = later {
        let text = format!(
            "a '{}' rule placed after {} '{}' rule will still be processed before.",
            placed.words(),
            later.article(),
            later.words()
        );
        cx.warn(a, 0, text);
    }
}

fn set(rules: &mut Rules, phase: Phase) -> &mut RuleSet {
    match phase {
        Phase::TcpRequestConnection => &mut rules.tcp_request_connection,
        Phase::TcpRequestSession => &mut rules.tcp_request_session,
        Phase::TcpRequestContent => &mut rules.tcp_request_content,
        Phase::TcpResponseContent => &mut rules.tcp_response_content,
        Phase::HttpRequest => &mut rules.http_request,
        Phase::HttpResponse => &mut rules.http_response,
        Phase::HttpAfterResponse => &mut rules.http_after_response,
    }
}

/// Compiles the words from `at` on as a rule of a phase.
fn rule(cx: &mut Loading<'_>, a: &Args<'_>, at: usize, phase: Phase) -> Result<(), Fault> {
    let words: Vec<&str> = a.from(at).collect();
    let action = a.get(at).split('(').next().unwrap_or_default();
    if cx.options.refuse_unserved && unserved::reason(phase.words(), action).is_some() {
        return Err(a.fault(at, absent::text(&format!("{} {action}", phase.words()))));
    }
    if cx.options.refuse_unserved && unserved::reason("proxy", phase.words()).is_some() {
        return Err(a.fault(0, absent::text(phase.words())));
    }
    if action == "set-nice" && !cx.replaying {
        cx.notice(a, at, format!("'set-nice': {NO_PRIORITIES}."));
    }
    let base = a.word(at);
    expr::line(cx, a, |p, rules| set(rules, phase).parse_rule(phase, &words, base, p))
}

fn http(cx: &mut Loading<'_>, a: &Args<'_>, phase: Phase) -> Result<(), Fault> {
    remember(cx, a);
    let (placed, family) = match phase {
        Phase::HttpRequest => (Placed::HttpRequest, "http-request"),
        Phase::HttpResponse => (Placed::HttpResponse, "http-response"),
        _ => (Placed::HttpAfterResponse, "http-after-response"),
    };
    order(cx, a, placed);
    http_rules(cx, family);
    let after_final = cx.draft().final_rules.contains(family);
    if after_final && !cx.replaying {
        let text =
            format!("previous '{family}' action is final and has no condition attached, further entries are NOOP.");
        cx.warn_tight(a, 0, text);
    }
    rule(cx, a, 1, phase)?;
    let unconditional = !a.from(2).any(|w| matches!(w, "if" | "unless"));
    let last = FINAL.contains(&a.get(1)) && unconditional;
    let draft = cx.draft();
    if last {
        draft.final_rules.insert(family);
    } else {
        draft.final_rules.remove(family);
    }
    Ok(())
}

/// Actions that end the rules of their phase.
const FINAL: [&str; 6] = ["allow", "auth", "deny", "redirect", "return", "tarpit"];

fn delay(cx: &mut Loading<'_>, a: &Args<'_>, keyword: &str) -> Result<Option<u64>, Fault> {
    let title = cx.draft().title();
    let wrong = |detail: String| {
        let text = format!("'{keyword} inspect-delay' expects a positive delay in milliseconds, in {title}{detail}");
        a.fault(2, text)
    };
    match time_ms(a.get(2), Bare::Ms) {
        Ok(ms) => Ok(Some(ms).filter(|&ms| ms > 0)),
        Err(TimeFault::Char('\0')) => Err(wrong(String::new())),
        Err(TimeFault::Char(c)) => Err(wrong(format!(" (unexpected character '{c}')"))),
        Err(TimeFault::Overflow) => Err(wrong(" (timer overflow)".to_owned())),
    }
}

fn tcp_request(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let title = cx.draft().title();
    let front = cx.draft().proxy.has_frontend;
    remember(cx, a);
    match a.get(1) {
        "" => Err(a.fault(1, format!("missing argument for 'tcp-request' in {title}"))),
        "inspect-delay" => {
            let delay = delay(cx, a, "tcp-request")?;
            cx.draft().rules.inspect_delay_ms = delay;
            Ok(())
        }
        "content" => {
            order(cx, a, Placed::TcpRequestContent);
            rule(cx, a, 2, Phase::TcpRequestContent)
        }
        phase @ ("connection" | "session") if !front => {
            let text = format!("tcp-request {phase} is not allowed because {title} is not a frontend");
            Err(a.fault(1, text))
        }
        "connection" => {
            order(cx, a, Placed::TcpRequestConnection);
            rule(cx, a, 2, Phase::TcpRequestConnection)
        }
        "session" => {
            order(cx, a, Placed::TcpRequestSession);
            rule(cx, a, 2, Phase::TcpRequestSession)
        }
        other => {
            let text = format!(
                "'tcp-request' expects 'inspect-delay', 'connection', or 'content' in {title} (got '{other}')"
            );
            Err(a.fault(1, text))
        }
    }
}

fn tcp_response(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let title = cx.draft().title();
    remember(cx, a);
    match a.get(1) {
        "" => Err(a.fault(1, format!("missing argument for 'tcp-response' in {title}"))),
        "inspect-delay" => {
            let delay = delay(cx, a, "tcp-response")?;
            cx.draft().rules.response_inspect_delay_ms = delay;
            Ok(())
        }
        "content" => {
            order(cx, a, Placed::TcpResponseContent);
            rule(cx, a, 2, Phase::TcpResponseContent)
        }
        other => {
            let text = format!("'tcp-response' expects 'inspect-delay' or 'content' in {title} (got '{other}')");
            Err(a.fault(1, text))
        }
    }
}

fn use_server(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let name = a.get(1);
    if name.is_empty() {
        return Err(a.fault(1, "'use-server' expects a server name."));
    }
    if !matches!(a.get(2), "if" | "unless") {
        return Err(a.fault(2, "'use-server' requires either 'if' or 'unless' followed by a condition."));
    }
    order(cx, a, Placed::UseServer);
    let entry = (a.origin(), name.to_owned());
    cx.draft().use_servers.push(entry);
    let words: Vec<&str> = a.from(1).collect();
    expr::line(cx, a, |p, rules| rules.use_server.parse_rule("use-server", &words, p))
}

/// A line whose condition says yes or no. `what` is how HAProxy calls it in a message.
pub fn gate(
    cx: &mut Loading<'_>,
    a: &Args<'_>,
    at: usize,
    keyword: &str,
    what: &str,
    points: Points,
    field: fn(&mut Rules) -> &mut crate::language::rules::switching::Gate,
) -> Result<(), Fault> {
    let words: Vec<&str> = a.from(at).collect();
    let base = a.word(at);
    expr::line(cx, a, |p, rules| {
        let mut w = Words::new(&words, base);
        field(rules).parse_rule(keyword, &mut w, points, p)
    })
    .map_err(|mut fault| {
        let (before, after) = (format!("parsing a '{keyword}' rule"), format!("parsing a '{keyword}' {what}"));
        fault.text = fault.text.replace(&before, &after);
        fault
    })
}

/// Compiles again, for a proxy that inherits, the rule lines of its `defaults`.
pub fn replay(cx: &mut Loading<'_>, lines: &[crate::config::lexer::Line]) {
    cx.replaying = true;
    for line in lines {
        let args = Args::new(line, 0);
        // What is wrong with them was said where they stand.
        if let Some(row) = ROWS.iter().find(|r| r.name == args.get(0)) {
            let _ = (row.read)(cx, &args);
        }
    }
    cx.replaying = false;
}

/// A `listen` can't take the rules of its defaults: they would have to run twice.
pub fn refuse_for_listen(cx: &mut Loading<'_>, a: &Args<'_>, base: usize) {
    if cx.defaults[base].rule_lines.is_empty() {
        return;
    }
    let text = "a listen section cannot inherit from a defaults section defining TCP/HTTP rules.";
    cx.diagnostics.at_tight(Severity::Alert, a.line, a.word(0), text);
}
