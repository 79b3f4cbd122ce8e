//! `agent-check` (manual 5.2): an agent beside the server says how it feels, in one line of words. What it says is read
//! by [`read`], which knows no socket; the rest is the task that asks.

use super::line::Line;
use super::watch::Watch;
use super::{CheckContext, pace, text};
use crate::base::address::Address;
use crate::engine::driver::ConnectOptions;
use crate::engine::task::before;
use crate::model::backend::Balance;
use crate::model::server::AgentSettings;
use crate::model::state::event::Event;
use crate::model::state::health::{CheckReport, CheckStatus};
use crate::model::state::live::AdminState;
use crate::model::state::server::ServerLive;
use std::io;
use std::net::SocketAddr;
use std::rc::Rc;
use std::time::Duration;

/// Highest weight.
const WEIGHT_MAX: u32 = 256;

/// What an agent's line asks for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Said {
    pub weight: Option<Weight>,
    pub maxconn: Option<u32>,
    pub admin: Option<AdminState>,
    /// `up`, or `down`, `fail`, `stopped`.
    pub up: Option<bool>,
    /// For the report: `via agent : down (why)`, a warning, or nothing.
    pub info: String,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Weight {
    Absolute(u32),
    Percent(u32),
}

/// Reads a line. The first word that is none of the agent's, or what follows a `#`, is why.
pub fn read(line: &[u8]) -> Said {
    let line = String::from_utf8_lossy(text::first_line(line));
    let mut said = Said::default();
    let (mut status, mut unknown, mut why, mut warning) = ("", "", "", "");
    let mut rest: &str = &line;
    loop {
        rest = rest.trim_start_matches([' ', '\t', ',']);
        if rest.is_empty() {
            break;
        }
        if let Some(words) = rest.strip_prefix('#') {
            why = words.trim_start_matches([' ', '\t']);
            break;
        }
        let (word, behind) = rest.split_at(rest.find([' ', '\t', ',']).unwrap_or(rest.len()));
        rest = behind;
        match word.to_ascii_lowercase().as_str() {
            "ready" => said.admin = Some(AdminState::Ready),
            "drain" => said.admin = Some(AdminState::Drain),
            "maint" => said.admin = Some(AdminState::Maint),
            "up" => (said.up, status) = (Some(true), word),
            "down" | "fail" | "stopped" => (said.up, status) = (Some(false), word),
            lower => match number_word(lower) {
                Some(Ok(Number::Weight(weight))) => said.weight = Some(weight),
                Some(Ok(Number::Maxconn(maxconn))) => said.maxconn = Some(maxconn),
                Some(Err(text)) => warning = text,
                None if unknown.is_empty() => unknown = word,
                None => {}
            },
        }
    }
    let description = [unknown, why, warning].into_iter().find(|text| !text.is_empty());
    said.info = match (status, description) {
        ("", _) if !unknown.is_empty() => format!("agent reports an error : {unknown}"),
        ("", _) if !warning.is_empty() => format!("agent warns : {warning}"),
        ("", _) => String::new(),
        (status, None) => format!("via agent : {status}"),
        (status, Some(description)) => format!("via agent : {status} ({description})"),
    };
    text::clip(&mut said.info);
    said
}

enum Number {
    Weight(Weight),
    Maxconn(u32),
}

/// `75%`, `weight:…`, `maxconn:…`; `None` for other words.
fn number_word(word: &str) -> Option<Result<Number, &'static str>> {
    if let Some(number) = word.strip_prefix("maxconn:") {
        return Some(match leading(number) {
            _ if number.is_empty() => Err("Require <maxconn>."),
            None => Err("maxconn string empty or preceded by garbage"),
            // What is out of range wraps, as in HAProxy.
            Some((n, "")) => Ok(Number::Maxconn(n as u32)),
            Some(_) => Err("Trailing garbage in maxconn string"),
        });
    }
    let number = match word.strip_prefix("weight:") {
        Some(number) => number,
        None if word.starts_with(|c: char| c.is_ascii_digit()) && word.contains('%') => word,
        None => return None,
    };
    Some(match leading(number) {
        _ if number.is_empty() => Err("Require <weight> or <weight%>."),
        None => Err("Empty weight string empty or preceded by garbage"),
        Some((..0, "%")) => Err("Relative weight must be positive."),
        Some((n, "%")) => Ok(Number::Weight(Weight::Percent(n.min(u32::MAX.into()) as u32))),
        Some((n @ 0..=256, "")) => Ok(Number::Weight(Weight::Absolute(n as u32))),
        Some((_, "")) => Err("Absolute weight can only be between 0 and 256 inclusive."),
        Some(_) => Err("Trailing garbage in weight string"),
    })
}

/// The number that a text begins with, as `strtol` reads it, and the rest.
fn leading(text: &str) -> Option<(i64, &str)> {
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    let end = digits.find(|c: char| !c.is_ascii_digit()).unwrap_or(digits.len());
    let (number, rest) = text.split_at(text.len() - digits.len() + end);
    let limit = if text.starts_with('-') { i64::MIN } else { i64::MAX };
    (end > 0).then(|| (number.parse().unwrap_or(limit), rest))
}

/// Asks the agent of one server until the server is deleted.
pub async fn watch(cx: Rc<CheckContext>, watch: Rc<Watch>) {
    loop {
        watch.wait(&cx.rt).await;
        let Some(live) = cx.board.live.server(watch.proxy, watch.server).filter(|s| !s.is_deleted()) else { return };
        let Some(settings) = live.settings.agent.as_ref() else { return };
        // Maintenance stops health checks; an agent that may end it is still asked.
        let enabled = || live.detail().agent.is_some_and(|a| a.enabled);
        if enabled() {
            watch.set_due(crate::base::clock::Millis::NEVER);
            let turn = cx.gate.enter(&cx.rt).await;
            let (report, said) = ask(&cx, &watch, live, settings).await;
            drop(turn);
            if enabled() && !live.is_deleted() {
                cx.tell(apply(&cx, &watch, live, report, said));
            }
        }
        let spread = pace::spread_ms(settings.inter_ms.max(1), cx.plan.global.spread_checks, cx.random());
        watch.set_due(cx.rt.now().mono.plus(spread));
    }
}

/// One question; without an answer only the report.
async fn ask(
    cx: &CheckContext,
    watch: &Watch,
    live: &ServerLive,
    settings: &AgentSettings,
) -> (CheckReport, Option<Said>) {
    let started = cx.rt.now();
    let result = exchange(cx, watch, live, settings).await;
    let nanos = cx.rt.fresh_now().nanos.saturating_sub(started.nanos);
    let (status, mut info, said) = match result {
        Ok(said) => {
            let status = match said.up {
                Some(true) => CheckStatus::L7Ok,
                Some(false) => CheckStatus::L7Status,
                None => CheckStatus::Checked,
            };
            (status, said.info.clone(), Some(said))
        }
        Err((status, info)) => (status, info, None),
    };
    text::clip(&mut info);
    (CheckReport { status, code: 0, duration: Duration::from_nanos(nanos), info }, said)
}

async fn exchange(
    cx: &CheckContext,
    watch: &Watch,
    live: &ServerLive,
    settings: &AgentSettings,
) -> Result<Said, (CheckStatus, String)> {
    let timeouts = &cx.plan.proxies[watch.proxy].timeouts;
    let (connect_ms, check_ms) = pace::timeouts_ms(settings.inter_ms, timeouts.connect, timeouts.check);
    let mut deadline = cx.rt.now().mono.plus(connect_ms);
    let Some(agent) = live.detail().agent else { return Err((CheckStatus::SocketError, "no agent".to_owned())) };
    let to = match (agent.address, live.address().as_deref()) {
        (Some(ip), _) => Address::Ip(SocketAddr::new(ip, agent.port)),
        (None, Some(Address::Ip(a))) => Address::Ip(SocketAddr::new(a.ip(), agent.port)),
        _ => return Err((CheckStatus::SocketError, "no address".to_owned())),
    };
    let options = ConnectOptions::default();
    let mut line = match before(&cx.rt, deadline, Line::connect(&cx.rt, &to, &options, false)).await {
        Err(_) => return Err((CheckStatus::L4Timeout, String::new())),
        Ok(Err(e)) => return Err((CheckStatus::L4Connection, text::system_error(&e))),
        Ok(Ok(line)) => line,
    };
    if let Some(ms) = check_ms {
        deadline = cx.rt.now().mono.plus(ms);
    }
    let broken = |e: &io::Error| (CheckStatus::SocketError, text::system_error(e));
    let late = || (CheckStatus::L7Timeout, String::new());
    if let Some(question) = &agent.send {
        before(&cx.rt, deadline, line.send(question.as_bytes()))
            .await
            .map_err(|_| late())?
            .map_err(|e| broken(&e))?;
    }
    let bound = cx.plan.global.tune.bufsize.max(1024);
    let mut input = Vec::new();
    loop {
        let more =
            before(&cx.rt, deadline, line.recv(&mut input)).await.map_err(|_| late())?.map_err(|e| broken(&e))?;
        if memchr::memchr2(b'\r', b'\n', &input).is_some() {
            return Ok(read(&input));
        }
        if !more || input.len() >= bound {
            return Err(match input.is_empty() {
                true => (CheckStatus::L7Response, "TCPCHK got an empty response at step 2".to_owned()),
                false => (CheckStatus::L7Timeout, "Ignoring incomplete line from agent".to_owned()),
            });
        }
    }
}

/// Does what the agent asks for: weight and limit, then the administrative state, then up or down.
fn apply(
    cx: &CheckContext,
    watch: &Watch,
    live: &ServerLive,
    mut report: CheckReport,
    said: Option<Said>,
) -> Vec<Event> {
    let (proxy, server, now) = (watch.proxy, watch.server, cx.rt.now().mono);
    let board = &cx.board.live;
    let Some(said) = said else { return board.agent_was_silent(proxy, server, report) };
    let mut events = Vec::new();
    if let Some(weight) = said.weight {
        let initial = live.settings.weight;
        let weight = match weight {
            Weight::Absolute(weight) => weight,
            Weight::Percent(percent) => {
                (u64::from(initial) * u64::from(percent) / 100).min(u64::from(WEIGHT_MAX)) as u32
            }
        };
        let backend = &cx.plan.proxies[proxy].backend;
        let is_static = match &backend.balance {
            Balance::StaticRr => true,
            Balance::Source | Balance::Uri { .. } | Balance::UrlParam { .. } | Balance::Hdr { .. } => {
                !backend.hash.consistent
            }
            Balance::Hash(_) | Balance::RdpCookie(_) => !backend.hash.consistent,
            _ => false,
        };
        if is_static && weight != 0 && weight != initial {
            if said.up.is_none() {
                report.info =
                    "agent warns : Backend is using a static LB algorithm and only accepts weights '0%' and \
                               '100%'."
                        .to_owned();
            }
        } else {
            events.extend(board.set_weight(proxy, server, weight, now));
        }
    }
    if let Some(maxconn) = said.maxconn {
        events.extend(board.set_maxconn(proxy, server, maxconn));
    }
    if let Some(admin) = said.admin {
        events.extend(board.set_admin(proxy, server, admin, now));
    }
    events.extend(match said.up {
        Some(up) => board.agent_reported(proxy, server, up, report, now),
        None => board.agent_was_silent(proxy, server, report),
    });
    events
}

#[cfg(test)]
mod tests {
    use super::*;

    fn said(line: &str) -> String {
        let s = read(line.as_bytes());
        let mut out = Vec::new();
        out.extend(s.weight.map(|w| format!("{w:?}")));
        out.extend(s.maxconn.map(|m| format!("maxconn {m}")));
        out.extend(s.admin.map(|a| format!("{a:?}")));
        out.extend(s.up.map(|up| if up { "UP".to_owned() } else { "DOWN".to_owned() }));
        out.push(format!("[{}]", s.info));
        out.join(" ")
    }

    /// Each as seen on HAProxy 3.4.0.
    #[test]
    fn the_agent_s_vocabulary() {
        let table = [
            ("up\n", "UP [via agent : up]"),
            ("UP\n", "UP [via agent : UP]"),
            ("down\n", "DOWN [via agent : down]"),
            ("fail #bad \"x\"\n", "DOWN [via agent : fail (bad \"x\")]"),
            ("stopped\r\n", "DOWN [via agent : stopped]"),
            ("up foo\n", "UP [via agent : up (foo)]"),
            ("down#my reason\n", "[agent reports an error : down#my]"),
            ("failed\n", "[agent reports an error : failed]"),
            ("garbage words\n", "[agent reports an error : garbage]"),
            ("maint\n", "Maint []"),
            ("drain\n", "Drain []"),
            ("ready\n", "Ready []"),
            ("maint down#x\n", "Maint [agent reports an error : down#x]"),
            ("load:3 up\n", "UP [via agent : up (load:3)]"),
            ("foo 50% bar\n", "Percent(50) [agent reports an error : foo]"),
            ("up foo # bar\n", "UP [via agent : up (foo)]"),
            ("up down\n", "DOWN [via agent : down]"),
            ("50% # why\n", "Percent(50) []"),
            ("# up\n", "[]"),
            ("50%up\n", "[agent warns : Trailing garbage in weight string]"),
            ("5x 5\n", "[agent reports an error : 5x]"),
            ("weight:\n", "[agent warns : Require <weight> or <weight%>.]"),
            ("weight:%\n", "[agent warns : Empty weight string empty or preceded by garbage]"),
            ("weight:5x\n", "[agent warns : Trailing garbage in weight string]"),
            ("weight:-5%\n", "[agent warns : Relative weight must be positive.]"),
            ("weight:257 # x\n", "[agent warns : Absolute weight can only be between 0 and 256 inclusive.]"),
            ("maxconn:\n", "[agent warns : Require <maxconn>.]"),
            ("maxconn:5x\n", "[agent warns : Trailing garbage in maxconn string]"),
            ("maxconn:-1\n", "maxconn 4294967295 []"),
            ("maxconn:99999999999\n", "maxconn 1215752191 []"),
            ("50%\n", "Percent(50) []"),
            ("300%\n", "Percent(300) []"),
            ("weight:5\n", "Absolute(5) []"),
            ("weight:30% up\n", "Percent(30) UP [via agent : up]"),
            ("weight:999\n", "[agent warns : Absolute weight can only be between 0 and 256 inclusive.]"),
            ("weight:-5\n", "[agent warns : Absolute weight can only be between 0 and 256 inclusive.]"),
            ("maxconn:30\n", "maxconn 30 []"),
            ("maxconn:x\n", "[agent warns : maxconn string empty or preceded by garbage]"),
            ("ready up 75% maxconn:10\n", "Percent(75) maxconn 10 Ready UP [via agent : up]"),
            ("up,50%,maxconn:3\r\n", "Percent(50) maxconn 3 UP [via agent : up]"),
            ("\n", "[]"),
            ("%\n", "[agent reports an error : %]"),
            ("99999999999%\n", "Percent(4294967295) []"),
        ];
        for (line, expected) in table {
            assert_eq!(said(line), expected, "{line:?}");
        }
    }

    #[test]
    fn any_bytes_are_an_answer() {
        for line in [&b"\xff\xfe\0\x01\n"[..], b"#", b"#\n", b",,,,\t\n", &[b'#'; 9000], &[b'u'; 9000]] {
            assert!(read(line).info.len() <= 127);
        }
    }
}
