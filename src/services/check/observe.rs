//! `observe layer4|layer7` (manual 5.2): traffic itself tells of a server's health. Workers call [`seen`] after each
//! connect or response; without `observe` that is one comparison.

use crate::base::clock::Millis;
use crate::model::plan::{ProxyIndex, ServerIndex};
use crate::model::server::{Observe, OnError};
use crate::model::state::event::Event;
use crate::model::state::health::{CheckReport, CheckStatus};
use crate::model::state::live::Live;
use crate::model::state::server::{Operation, ServerLive};

/// What traffic showed of a server.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Seen {
    Connected,
    ConnectFailed,
    /// A response with this status.
    Status(u16),
    /// A response that is none.
    ResponseInvalid,
    ResponseTimedOut,
    /// The connection ended before a response came.
    ResponseBroken,
}

/// What follows for the caller when a server has erred as often as may be: a failure that counts (`hanafail`).
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Observed {
    pub events: Vec<Event>,
    /// The next check is to come after `fastinter`: tell the checks' handle (`CheckHandle::hurry`).
    pub hurry: bool,
}

/// Takes one piece of traffic into account. Cheap where the server does not observe.
#[inline]
pub fn seen(
    live: &Live,
    proxy: ProxyIndex,
    server: ServerIndex,
    s: &ServerLive,
    what: Seen,
    now: Millis,
) -> Option<Observed> {
    match s.settings.observe {
        Observe::None => None,
        layer => weigh(live, proxy, server, s, layer, what, now),
    }
}

fn weigh(
    live: &Live,
    proxy: ProxyIndex,
    server: ServerIndex,
    s: &ServerLive,
    layer: Observe,
    what: Seen,
    now: Millis,
) -> Option<Observed> {
    let good = match (layer, what) {
        (Observe::Layer4, Seen::Connected) => true,
        (Observe::Layer4, Seen::ConnectFailed) => false,
        // A connection says nothing of responses yet; a response says nothing of layer 4.
        (Observe::Layer7, Seen::Connected) | (Observe::Layer4, _) | (Observe::None, _) => return None,
        // Manual, "observe": valid statuses are 100 to 499, 501 and 505.
        (Observe::Layer7, Seen::Status(status)) => matches!(status, 100..=499 | 501 | 505),
        (Observe::Layer7, _) => false,
    };
    let errors = live.with_detail(proxy, server, |d| {
        let judged = d.checked && d.check_enabled && s.operation() != Operation::Stopped;
        d.consecutive_errors = match (good, judged) {
            (true, _) | (_, false) => 0,
            (false, true) => d.consecutive_errors + 1,
        };
        d.consecutive_errors
    })?;
    if good || errors < s.settings.error_limit.max(1) || s.in_maintenance() {
        return None;
    }
    let last = match what {
        Seen::ConnectFailed => "L4 unsuccessful connection",
        Seen::ResponseInvalid => "Invalid http response (headers)",
        Seen::ResponseTimedOut => "Read timeout (http)",
        Seen::ResponseBroken => "Read error (http)",
        _ => "Wrong http response",
    };
    let info = format!("Detected {errors} consecutive errors, last one was: {last}");
    live.with_detail(proxy, server, |d| {
        d.consecutive_errors = 0;
        if s.settings.on_error == OnError::SuddenDeath {
            // One more failure, this one, takes it down.
            d.health.value = d.health.value.min(d.health.rise + 1);
        }
    });
    let report = || CheckReport { status: CheckStatus::Analysis, info: info.clone(), ..CheckReport::default() };
    let events = match s.settings.on_error {
        OnError::FastInter => Vec::new(),
        OnError::FailCheck | OnError::SuddenDeath => live.check_failed(proxy, server, report(), now),
        OnError::MarkDown => live.mark_down_by_observation(proxy, server, info.clone(), now),
    };
    Some(Observed { events, hurry: true })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::services::check::tests::plan_of;

    fn sequence(observe: Observe, on_error: OnError, limit: u32, seen_in_turn: &[Seen]) -> Vec<String> {
        let plan = plan_of(|p| {
            let s = &mut p.backend.servers[0];
            (s.observe, s.on_error, s.error_limit) = (observe, on_error, limit);
        });
        let live = Live::new(&plan);
        // Settled: surely up.
        for _ in 0..2 {
            live.check_passed(
                0,
                0,
                CheckReport { status: CheckStatus::L4Ok, ..Default::default() },
                false,
                Millis(1),
            );
        }
        let mut out = Vec::new();
        for what in seen_in_turn {
            let s = live.server(0, 0).unwrap();
            if let Some(observed) = seen(&live, 0, 0, s, *what, Millis(5)) {
                let health = live.server(0, 0).unwrap().detail().health.value;
                let texts: Vec<String> = observed.events.iter().filter_map(|e| e.text(Default::default())).collect();
                out.push(format!("hurry={} health={health} {}", observed.hurry, texts.join("|")));
            }
        }
        out
    }

    #[test]
    fn a_run_of_errors_counts_as_a_failed_check() {
        use Seen::*;
        let seen = [Status(500), Status(200), Status(500), Status(503), ResponseBroken];
        assert_eq!(sequence(Observe::Layer7, OnError::FailCheck, 3, &seen), ["hurry=true health=3 "]);
        assert_eq!(
            sequence(Observe::Layer7, OnError::FailCheck, 3, &[Status(501), Status(505), Status(404)]).len(),
            0
        );
        assert_eq!(sequence(Observe::Layer4, OnError::FailCheck, 2, &[Status(500), Status(500)]).len(), 0);
        assert_eq!(sequence(Observe::None, OnError::MarkDown, 1, &[ConnectFailed]).len(), 0);
        assert_eq!(sequence(Observe::Layer4, OnError::FastInter, 2, &[ConnectFailed; 2]), ["hurry=true health=4 "]);
    }

    #[test]
    fn mark_down_is_at_once_and_sudden_death_is_at_the_next_failure() {
        use Seen::*;
        let down = sequence(Observe::Layer4, OnError::MarkDown, 2, &[ConnectFailed; 2]);
        let sentence = "Server b/s is DOWN, reason: Health analyze, info: \"Detected 2 consecutive errors, last one was: L4 \
                        unsuccessful connection\". 0 active and 0 backup servers left. 0 sessions \
                        active, 0 requeued, 0 remaining in queue.";
        assert_eq!(down, [format!("hurry=true health=0 {sentence}|backend b has no server available!")]);
        let dying = sequence(Observe::Layer4, OnError::SuddenDeath, 2, &[ConnectFailed; 2]);
        assert_eq!(dying, ["hurry=true health=2 "]);
    }
}
