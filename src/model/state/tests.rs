//! Transitions and sentences as HAProxy 3.4 showed them, and slots under contention.

use super::{
    event::{Effect, Load},
    health::{CheckReport, CheckStatus},
    live::{AdminState, ForcedHealth, Live},
    server::{Operation, WEIGHT_SCALE},
};
use crate::{
    base::{clock::Millis, origin::Origin},
    model::{
        plan::Plan,
        proxy::Proxy,
        server::{AgentSettings, CheckSettings, InitState, Server},
    },
};

fn plan(edit: impl FnOnce(&mut Proxy)) -> Plan {
    let server = |name: &str, id| Server {
        name: name.into(),
        id,
        check: Some(CheckSettings { rise: 2, fall: 2, ..CheckSettings::default() }),
        ..Server::new(Origin::none())
    };
    let mut proxy = Proxy::new("be", Origin::none(), false, true);
    proxy.backend.servers = vec![server("a", 1), server("b", 2), server("t", 3)];
    proxy.backend.servers[1].backup = true;
    proxy.backend.servers[2].check = None;
    proxy.backend.servers[2].track = Some("be/a".into());
    edit(&mut proxy);
    let mut plan = Plan::default();
    plan.proxies.push(proxy);
    plan
}

fn report(status: CheckStatus, code: u16, info: &str) -> CheckReport {
    CheckReport { status, code, info: info.into(), ..CheckReport::default() }
}

fn texts(events: Vec<super::event::Event>) -> Vec<String> {
    events.iter().filter_map(|e| e.text(Load::default())).collect()
}

const TOTAL: &str = "0 sessions requeued, 0 total in queue.";
const LEFT: &str = "0 sessions active, 0 requeued, 0 remaining in queue.";

#[test]
fn a_server_that_tracks_another_follows_it() {
    let plan = plan(|_| {});
    let live = Live::new(&plan);
    let ok = || report(CheckStatus::L7Ok, 200, "");
    assert!(live.check_passed(0, 0, ok(), false, Millis(1)).is_empty());
    assert!(live.check_passed(0, 0, ok(), false, Millis(2)).is_empty());
    assert_eq!(
        texts(live.check_passed(0, 0, report(CheckStatus::L7OkConditional, 404, ""), true, Millis(3))),
        [
            format!(
                "Server be/a is stopping, reason: Layer7 check conditionally passed, code: 404, check duration: 0ms. 1 \
                 active and 1 backup servers online. {TOTAL}"
            ),
            format!(
                "Server be/t is stopping via be/a. 0 active and 1 backup servers online. Running on backup. {TOTAL}"
            ),
        ]
    );
    assert!(live.server(0, 0).unwrap().takes_persistent() && !live.server(0, 0).unwrap().is_usable());
    assert_eq!(
        texts(live.check_passed(0, 0, ok(), false, Millis(4))),
        [
            format!(
                "Server be/a is UP, reason: Layer7 check passed, code: 200, check duration: 0ms. 1 active and 1 backup \
                 servers online. {TOTAL}"
            ),
            format!("Server be/t is UP via be/a. 2 active and 1 backup servers online. {TOTAL}"),
        ]
    );
    let wrong = || report(CheckStatus::L7Status, 500, "Internal Server Error");
    assert!(live.check_failed(0, 0, wrong(), Millis(5)).is_empty());
    assert_eq!(
        texts(live.check_failed(0, 0, wrong(), Millis(6))),
        [
            format!(
                "Server be/a is DOWN, reason: Layer7 wrong status, code: 500, info: \"Internal Server Error\", check \
                 duration: 0ms. 1 active and 1 backup servers left. {LEFT}"
            ),
            format!("Server be/t is DOWN via be/a. 0 active and 1 backup servers left. Running on backup. {LEFT}"),
        ]
    );
    assert_eq!(
        texts(live.set_admin(0, 0, AdminState::Maint, Millis(7))).last().unwrap(),
        "Server be/t was DOWN and now enters maintenance via be/a."
    );
    assert_eq!(
        texts(live.set_admin(0, 0, AdminState::Ready, Millis(8))),
        ["Server be/a is UP/READY (leaving forced maintenance).", "Server be/t is UP/READY (leaving maintenance)."]
    );
}

#[test]
fn a_server_leaves_maintenance_as_its_agent_said_last() {
    let plan = plan(|p| {
        p.backend.servers[0].check = None;
        p.backend.servers[0].agent = Some(AgentSettings::default());
    });
    for said_before in [true, false] {
        let live = Live::new(&plan);
        let says = |up, at| live.agent_reported(0, 0, up, report(CheckStatus::L7Status, 0, ""), Millis(at));
        if said_before {
            assert_eq!(says(false, 1).len(), 2);
        }
        live.set_admin(0, 0, AdminState::Maint, Millis(2));
        if !said_before {
            assert!(says(false, 3).is_empty());
        }
        assert_eq!(
            texts(live.set_admin(0, 0, AdminState::Ready, Millis(4))),
            [
                "Server be/a is DOWN/READY (leaving forced maintenance).",
                "Server be/t is DOWN/READY (leaving maintenance)."
            ]
        );
        assert!([0, 2].iter().all(|s| !live.server(0, *s).unwrap().is_usable()));
        assert_eq!(says(true, 5).len(), 2);
        assert!([0, 2].iter().all(|s| live.server(0, *s).unwrap().is_usable()));
    }
}

#[test]
fn an_agent_lifts_what_the_administrator_took_down_without_checks() {
    let plan = plan(|p| p.backend.servers[0].agent = Some(AgentSettings::default()));
    let live = Live::new(&plan);
    let says_up = |at| live.agent_reported(0, 0, true, report(CheckStatus::L7Ok, 0, ""), Millis(at));
    live.force_health(0, 0, ForcedHealth::Down, Millis(1));
    assert!(says_up(2).is_empty(), "a check has to pass first");
    live.set_check_enabled(0, 0, false);
    assert_eq!(says_up(3).len(), 2);
    assert!(live.server(0, 0).unwrap().is_usable());
}

#[test]
fn a_server_that_tracks_one_that_is_down_is_down_after_its_own_maintenance() {
    let plan = plan(|_| {});
    let live = Live::new(&plan);
    live.check_failed(0, 0, report(CheckStatus::L4Connection, 0, ""), Millis(1));
    assert_eq!(
        texts(live.set_admin(0, 2, AdminState::Maint, Millis(2))),
        ["Server be/t was DOWN and now enters maintenance."]
    );
    assert_eq!(
        texts(live.set_admin(0, 2, AdminState::Ready, Millis(3))),
        ["Server be/t is DOWN/READY (leaving forced maintenance)."]
    );
    assert!(!live.server(0, 2).unwrap().is_usable());
}

#[test]
fn a_server_that_is_added_follows_the_one_that_it_tracks() {
    let plan = plan(|_| {});
    let live = Live::new(&plan);
    live.set_admin(0, 0, AdminState::Maint, Millis(1));
    let server = Server { name: "n".into(), id: 9, track: Some("a".into()), ..Server::new(Origin::none()) };
    let added = live.add_server(0, server, Millis(2)).unwrap();
    live.set_admin(0, added, AdminState::Ready, Millis(3));
    assert!(!live.server(0, added).unwrap().is_usable());
    live.set_admin(0, 0, AdminState::Ready, Millis(4));
    assert!(live.server(0, added).unwrap().is_usable());
}

#[test]
fn a_drain_that_replaces_maintenance_reaches_those_that_track() {
    let plan = plan(|_| {});
    let live = Live::new(&plan);
    live.set_admin(0, 0, AdminState::Maint, Millis(1));
    assert_eq!(
        texts(live.set_admin(0, 0, AdminState::Drain, Millis(2))),
        [
            "Server be/a is UP/DRAIN (leaving forced maintenance).",
            "Server be/a remains in forced drain mode.",
            "Server be/t is UP/DRAIN (leaving maintenance).",
            "Server be/t remains in drain mode via be/a.",
        ]
    );
    assert!(live.server(0, 2).unwrap().in_drain());
    assert_eq!(
        texts(live.set_admin(0, 0, AdminState::Ready, Millis(3))),
        ["Server be/a is UP (leaving forced drain).", "Server be/t is UP (leaving drain) via be/a."]
    );
    live.set_admin(0, 2, AdminState::Drain, Millis(3));
    let again = texts(live.set_admin(0, 0, AdminState::Drain, Millis(3)));
    assert_eq!(again[1..], ["Server be/t remains in forced drain mode."]);
    let again = texts(live.set_admin(0, 2, AdminState::Ready, Millis(3)));
    assert_eq!(again, ["Server be/t remains in drain mode via be/a."]);
    live.set_admin(0, 0, AdminState::Ready, Millis(3));
    live.check_failed(0, 0, report(CheckStatus::L4Connection, 0, ""), Millis(4));
    assert_eq!(
        texts(live.set_admin(0, 0, AdminState::Drain, Millis(5))),
        [
            format!("Server be/a enters drain state. 0 active and 1 backup servers left. Running on backup. {LEFT}"),
            format!(
                "Server be/t enters drain state via be/a. 0 active and 1 backup servers left. Running on backup. {LEFT}"
            ),
        ]
    );
}

#[test]
fn with_log_health_checks_the_results_are_told_by_themselves() {
    let plan = plan(|p| p.options.log_health_checks = true);
    let live = Live::new(&plan);
    let ok = || report(CheckStatus::L4Ok, 0, "");
    let passed = "Health check for server be/a succeeded, reason: Layer4 check passed, check duration: 0ms,";
    assert_eq!(texts(live.check_passed(0, 0, ok(), false, Millis(1))), [format!("{passed} status: 1/2 DOWN.")]);
    assert_eq!(texts(live.check_passed(0, 0, ok(), false, Millis(2))), [format!("{passed} status: 2/2 UP.")]);
    assert!(live.check_passed(0, 0, ok(), false, Millis(3)).is_empty());
    let refused = || report(CheckStatus::L4Connection, 0, "refused");
    let failed = "Health check for server be/a failed, reason: Layer4 connection problem, info: \"refused\", check \
                  duration: 0ms,";
    assert_eq!(texts(live.check_failed(0, 0, refused(), Millis(4))), [format!("{failed} status: 1/2 UP.")]);
    let down = texts(live.check_failed(0, 0, refused(), Millis(5)));
    assert_eq!(down[0], format!("{failed} status: 0/2 DOWN."));
    assert_eq!(down[1], format!("Server be/a is DOWN. 1 active and 1 backup servers left. {LEFT}"));
}

#[test]
fn the_last_server_that_goes_takes_the_backend_down_and_time_is_kept() {
    let plan = plan(|p| p.backend.servers.truncate(1));
    let live = Live::new(&plan);
    let events = live.check_failed(0, 0, report(CheckStatus::L4Connection, 0, ""), Millis(1000));
    assert_eq!(events.last().unwrap().effect, Effect::NoServer);
    assert_eq!(events.last().unwrap().text(Load::default()).unwrap(), "backend be has no server available!");
    for at in [2000, 5000] {
        live.check_passed(0, 0, report(CheckStatus::L4Ok, 0, ""), false, Millis(at));
    }
    assert_eq!(live.backend(0).detail().down_ms, 4000);
    assert_eq!(live.server(0, 0).unwrap().detail().down_ms, 4000);
    assert_eq!(live.server(0, 0).unwrap().detail().down_transitions, 1);
}

#[test]
fn a_slow_start_raises_the_weight_step_by_step() {
    let plan = plan(|p| {
        p.backend.servers.truncate(1);
        p.backend.servers[0].weight = 10;
        p.backend.servers[0].slowstart_ms = Some(10_000);
    });
    let live = Live::new(&plan);
    let server = live.server(0, 0).unwrap();
    live.set_admin(0, 0, AdminState::Maint, Millis(500));
    live.set_admin(0, 0, AdminState::Ready, Millis(1000));
    assert_eq!(server.operation(), Operation::Starting);
    assert!(live.starts_slowly() && live.tick(Millis(6000)).is_empty());
    assert_eq!(server.effective_weight(), 5 * WEIGHT_SCALE);
    assert_eq!(live.throttle(server, Millis(6000)), Some(50));
    let said = texts(live.tick(Millis(11_000)));
    assert_eq!(said, [format!("Server be/a is UP. 1 active and 0 backup servers online. {TOTAL}")]);
    assert!(!live.starts_slowly());
    assert_eq!((server.operation(), server.effective_weight()), (Operation::Running, 10 * WEIGHT_SCALE));
}

#[test]
fn slots_are_exact_over_threads() {
    let plan = plan(|p| p.backend.servers[0].maxconn = 7);
    let live = Live::new(&plan);
    let most = std::sync::atomic::AtomicU32::new(0);
    std::thread::scope(|scope| {
        for _ in 0..4 {
            scope.spawn(|| {
                let server = live.server(0, 0).unwrap();
                for stamp in 0..20_000 {
                    if server.take_slot(server.maxconn(), stamp) {
                        most.fetch_max(server.served(), std::sync::atomic::Ordering::Relaxed);
                        server.release_slot(stamp);
                    }
                }
            });
        }
    });
    assert!(most.into_inner() <= 7);
    assert_eq!(live.server(0, 0).unwrap().served(), 0);
}

#[test]
fn minconn_grows_with_the_backends_load() {
    let plan = plan(|p| (p.backend.servers[0].maxconn, p.backend.servers[0].minconn) = (100, 10));
    let live = Live::new(&plan);
    let server = live.server(0, 0).unwrap();
    assert_eq!([0, 100, 500, 1000, 2000].map(|load| server.limit(load, 1000)), [10, 10, 50, 100, 100]);
}

#[test]
fn init_state_says_what_a_server_is_before_its_checks_and_after_maintenance() {
    // The state, whether it is up, and how many results of the other kind turn it.
    let cases = [
        (InitState::FullyUp, true, 2),
        (InitState::Up, true, 1),
        (InitState::Down, false, 1),
        (InitState::FullyDown, false, 2),
    ];
    for (state, up, turns) in cases {
        let live = Live::new(&plan(|p| p.backend.servers[0].init_state = state));
        let is_up = || live.server(0, 0).unwrap().operation() == Operation::Running;
        for round in 0..2 {
            assert_eq!(is_up(), up, "{state:?}");
            for turn in 1..=turns {
                match up {
                    true => live.check_failed(0, 0, report(CheckStatus::L4Connection, 0, ""), Millis(turn)),
                    false => live.check_passed(0, 0, report(CheckStatus::L4Ok, 0, ""), false, Millis(turn)),
                };
                assert_eq!(is_up(), up == (turn < turns), "{state:?} after {turn}");
            }
            live.set_admin(0, 0, AdminState::Maint, Millis(10));
            let said = texts(live.set_admin(0, 0, AdminState::Ready, Millis(11)));
            let word = if up { "UP" } else { "DOWN" };
            assert_eq!(
                said[0],
                format!("Server be/a is {word}/READY (leaving forced maintenance)."),
                "round {round}"
            );
        }
    }
}
