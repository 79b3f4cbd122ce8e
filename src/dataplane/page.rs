//! The statistics page as a stream meets it (`stats …`, manual 4.2): is the request for it, who may see it, who may act.
//! What the page says is made by a function of the floors above.

use super::rules::{self, Phase, with_context};
use super::session::Session;
use super::stream::body::Body;
use super::stream::termination::Failure;
use super::stream::{Exchange, Next, reply, request};
use super::worker::Answer;
use crate::language::auth;
use crate::language::context::{Payload, Side};
use crate::language::rules::reply::Reply;
use crate::model::plan::ProxyIndex;
use crate::model::state::counters::FrontendCounter;
use crate::model::stats::StatsPage;
use crate::proto::http::head::Head;
use crate::proto::http::uri::Uri;

const REALM: &str = "HAProxy Statistics";

/// What a request asks of the page.
pub struct Asked<'a> {
    pub proxy: ProxyIndex,
    pub page: &'a StatsPage,
    /// The target behind the page's own URI.
    pub rest: &'a str,
    /// The body of a POST, and whether it is all there.
    pub form: Option<(&'a [u8], bool)>,
    /// The conditions of `stats admin` hold.
    pub admin: bool,
}

/// Answers the request if it is for the page of this proxy.
pub async fn serve(
    s: &Session,
    ex: &mut Exchange,
    body: &mut Body,
    proxy: ProxyIndex,
) -> Result<Option<Next>, Failure> {
    let settings = &s.w.plan.proxies[proxy];
    let Some(page) = &settings.stats else { return Ok(None) };
    if !matches!(ex.request.method(), b"GET" | b"HEAD" | b"POST") || target(&ex.request, page).is_none() {
        return Ok(None);
    }
    let rules = &settings.rules;
    if !rules.stats_http_request.is_empty() {
        if let Phase::Over(next) = rules::run_request(s, ex, &rules.stats_http_request, body, None).await? {
            return Ok(Some(next));
        }
    } else if !page.auth.is_empty() && !is_known(&ex.request, page) {
        let mut reply = challenge(page);
        return Ok(Some(reply::rule(s, ex, body, &mut reply, *b"PR").await));
    }
    let admin = !rules.stats_admin.conditions.is_empty()
        && with_context(s, ex, Side::Request, Payload::default(), true, |cx| rules.stats_admin.holds(cx));
    let posted = ex.request.method() == b"POST";
    if posted {
        let tune = &s.w.plan.global.tune;
        let wait = s.settings().timeouts.http_request.or(s.settings().timeouts.client);
        let deadline = wait.map_or(crate::base::clock::Millis::NEVER, |ms| s.w.rt.now().mono.plus(ms));
        request::gather(s, ex, body, tune.buffer_room(), deadline).await?;
    }
    let mut answer = Answer::default();
    let rest = target(&ex.request, page).unwrap_or_default();
    let form = posted.then(|| body.arrived());
    let asked = Asked { proxy, page, rest: &rest, form, admin };
    (s.w.shared.services.stats)(&s.w, &asked, &mut answer);
    ex.facts.service = Some("<STATS>");
    s.w.counts().frontend(s.proxy).add(FrontendCounter::Intercepted, 1);
    Ok(Some(reply::answer(s, ex, body, answer, *b"LR").await))
}

/// What follows the page's URI in the target; `None`: it is not for the page.
fn target(request: &Head, page: &StatsPage) -> Option<String> {
    let uri = request.uri();
    let uri = match uri.first() {
        Some(b'/') => uri,
        _ => Uri::split(uri).path_and_query,
    };
    uri.strip_prefix(page.uri.as_bytes()).map(|rest| String::from_utf8_lossy(rest).into_owned())
}

/// The request has the name and password of a `stats auth` line.
fn is_known(request: &Head, page: &StatsPage) -> bool {
    let Some((scheme, credentials)) = request.first(b"authorization").and_then(auth::split) else { return false };
    let mut pair = Vec::new();
    let Some(colon) = auth::basic(credentials, &mut pair).filter(|_| scheme.eq_ignore_ascii_case(b"basic")) else {
        return false;
    };
    let (user, password) = (&pair[..colon], &pair[colon + 1..]);
    page.auth.iter().any(|(name, secret)| {
        name.as_bytes() == user && auth::Password::Plain(secret.as_bytes().into()).verify(password)
    })
}

fn challenge(page: &StatsPage) -> Reply {
    let mut reply = Reply::of_proxy(401);
    let realm = page.realm.as_deref().unwrap_or(REALM).replace("\\ ", " ");
    reply.head.append(b"www-authenticate", format!("Basic realm=\"{realm}\"").as_bytes());
    reply
}
