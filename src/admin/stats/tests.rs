//! Formats as HAProxy 3.4 wrote them for the same state.

use super::{
    Scene, csv,
    fields::Object,
    html, info, prometheus,
    report::Report,
    typed,
    walk::{Selection, Step, Walk},
};
use crate::{
    admin::{fixture::Fake, runtime_api::Process},
    base::{clock::Millis, origin::Origin},
    model::{
        state::{
            cell::Times,
            counters::{BackendCounter, FrontendCounter, ServerCounter},
        },
        stats::StatsPage,
    },
};

fn with_scene<T>(fake: &Fake, look: impl FnOnce(Scene<'_>) -> T) -> T {
    let facts = fake.facts();
    look(Scene { plan: &fake.plan, board: &fake.board, process: &facts, now: fake.now, legends: true })
}

/// All that a report writes.
fn whole(fake: &Fake, mut report: Report) -> String {
    let mut out = Vec::new();
    while with_scene(fake, |scene| report.write_slice(&scene, usize::MAX, &mut out)) {}
    String::from_utf8(out).unwrap()
}

fn line(fake: &Fake, object: Object) -> String {
    let mut out = Vec::new();
    with_scene(fake, |scene| csv::line(&scene, object, &mut out));
    String::from_utf8(out).unwrap()
}

#[test]
fn csv_lines_of_idle_objects_as_recorded() {
    let fake = Fake::new();
    let empty = ",".repeat(90);
    assert_eq!(
        line(&fake, Object::Server(1, 0)),
        format!(
            "be_web,s1,0,0,0,0,,0,0,0,,0,,0,0,0,0,UP,1,1,0,0,0,16,0,,1,3,1,,0,,2,0,,0,L7OK,200,0,0,0,0,0,0,0,,,,0,0,0,,,,,\
             -1,,,0,0,0,0,,,,Layer7 check passed,,2,3,4,,,,127.0.0.1:18081,,http,,,,,,,,0,0,0,,,0,,0,0,0,0,0,0,0,0,0,1,,,,0,,\
             ,,,,,,,,0,0,0,0,0,-,0,0,0,0,0,{}\n",
            &empty[..89]
        )
    );
    let down = line(&fake, Object::Server(1, 2));
    assert!(
        down.starts_with(
            "be_web,s3,0,0,0,0,,0,0,0,,0,,0,0,0,0,DOWN,1,0,1,0,1,16,16,,1,3,3,,0,,2,0,,0,L4CON,,0,0,0,0,0,0,0,,,,0,0,0,,,,,\
             -1,ECONNREFUSED returned by OS (Connection refused),,0,0,0,0,,,,Layer4 connection problem,,2,3,0,"
        ),
        "{down}"
    );
    let maint = line(&fake, Object::Server(1, 3));
    assert!(
        maint.starts_with("be_web,s4,0,0,0,0,,0,0,0,,0,,0,0,0,0,MAINT,1,1,0,,,16,,,1,3,4,,0,,2,0,,0,,,,0,0,0"),
        "{maint}"
    );
    let backend = line(&fake, Object::Backend(1));
    assert!(
        backend.starts_with(
            "be_web,BACKEND,0,0,0,0,100,0,0,0,0,0,,0,0,0,0,UP,51,2,0,,0,16,0,,1,3,0,,0,,1,0,,0,,,,0,0,0"
        ),
        "{backend}"
    );
    let frontend = line(&fake, Object::Frontend(0));
    assert!(
        frontend.starts_with(
            "web,FRONTEND,,,0,0,1000,0,0,0,0,0,0,,,,,OPEN,,,,,,,,,1,2,0,,,,0,0,0,0,,,,0,0,0,0,0,0,,0,0,0,,,0"
        ),
        "{frontend}"
    );
}

#[test]
fn every_line_has_the_headers_213_columns() {
    let fake = Fake::new();
    let mut header = Vec::new();
    csv::header(&mut header);
    let header = String::from_utf8(header).unwrap();
    assert_eq!(header.matches(',').count(), 213);
    assert!(header.starts_with("# pxname,svname,qcur,") && header.ends_with("h1_spliced_bytes_out,\n"));
    with_scene(&fake, |scene| {
        let mut walk = Walk::new(Selection::default());
        loop {
            let object = match walk.step(&scene) {
                Step::Object(object) => object,
                Step::Nothing => continue,
                Step::End => break,
            };
            let mut out = Vec::new();
            csv::line(&scene, object, &mut out);
            assert_eq!(out.iter().filter(|b| **b == b',').count(), 213, "{object:?}");
        }
    });
}

#[test]
fn counts_of_all_workers_are_summed_and_maxima_seen() {
    let fake = Fake::new();
    let now = Millis(16_000);
    for worker in 0..2 {
        let worker = fake.board.worker(worker);
        worker.frontend(0).session(now);
        worker.frontend(0).established();
        worker.frontend(0).request(now);
        worker.frontend(0).response(200);
        worker.backend(1).session(now);
        worker.server(1, 0).session(now);
        worker.server(1, 0).add(ServerCounter::Reqbin, 100);
        let times = Times::new([Some(0), Some(2_500), Some(9_000), Some(12_000)]);
        worker.server(1, 0).times(&times);
        worker.backend(1).times(&times);
    }
    fake.board.worker(1).frontend(0).session_ended();
    let text = line(&fake, Object::Frontend(0));
    let columns: Vec<&str> = text.split(',').collect();
    assert_eq!((columns[4], columns[5], columns[7]), ("1", "2", "2"), "scur, smax, stot");
    assert_eq!((columns[33], columns[35], columns[40]), ("2", "2", "2"), "rate, rate_max, hrsp_2xx");
    let text = line(&fake, Object::Server(1, 0));
    let columns: Vec<&str> = text.split(',').collect();
    assert_eq!((columns[8], columns[55]), ("200", "0"), "bin, lastsess");
    assert_eq!(columns[58..62], ["0", "2", "9", "12"], "averages");
    fake.board.clear_all();
    assert_eq!(fake.board.frontend(0, FrontendCounter::Stot), 0);
    assert_eq!(fake.board.frontend(0, FrontendCounter::Scur), 1, "a gauge stays");
    fake.board.worker(0).backend(1).add(BackendCounter::Stot, 1);
    assert_eq!(fake.board.backend(1, BackendCounter::Stot), 1);
}

#[test]
fn typed_lines_as_recorded() {
    let fake = Fake::new();
    let mut out = Vec::new();
    with_scene(&fake, |scene| typed::lines(&scene, Object::Frontend(0), false, &mut out));
    let text = String::from_utf8(out).unwrap();
    let expected = "F.2.0.0.pxname.1:KNSV:str:web\nF.2.0.1.svname.1:KNSV:str:FRONTEND\nF.2.0.4.scur.1:MGPV:u32:0\n\
                    F.2.0.5.smax.1:MMPV:u32:0\nF.2.0.6.slim.1:CLPV:u32:1000\nF.2.0.7.stot.1:MCPP:u64:0\n";
    // 3.4 marks counters that a stats file keeps as persistent: their tag ends in P, not V.
    assert!(text.starts_with(expected), "{}", &text[..300]);
}

#[test]
fn info_has_the_recorded_keys_in_order() {
    let fake = Fake::new();
    let mut out = Vec::new();
    with_scene(&fake, |scene| info::write(&scene, info::Format::Plain, false, &mut out));
    let text = String::from_utf8(out).unwrap();
    assert!(
        text.starts_with("Name: HAProxy\nVersion: 3.4.0\nRelease_date: 2026/06/03\nNbthread: 2\nNbproc: 1\n"),
        "{text}"
    );
    assert_eq!(text.lines().count(), 80, "HAProxy's 80 keys and ours, of which description is absent");
    for line in text.lines() {
        assert_eq!(line.split(": ").count(), 2, "{line}");
    }
    assert!(text.contains("\nUptime: 0d 0h00m16s\nUptime_sec: 16\n") && text.contains("\nMaxconn: 1000\n"));
}

#[test]
fn prometheus_families_and_selection() {
    let fake = Fake::new();
    let times = Times::new([None, None, None, Some(3_000)]);
    fake.board.worker(0).server(1, 0).times(&times);
    let write = |query: &str| whole(&fake, Report::metrics(prometheus::Request::parse(query).unwrap()));
    let all = write("");
    assert!(all.contains("haproxy_process_nbthread 2\n"));
    assert!(all.contains("haproxy_server_status{proxy=\"be_web\",server=\"s1\",state=\"UP\"} 1\n"));
    assert!(all.contains("haproxy_server_status{proxy=\"be_web\",server=\"s4\",state=\"MAINT\"} 1\n"));
    assert!(all.contains("haproxy_server_check_status{proxy=\"be_web\",server=\"s3\",state=\"L4CON\"} 1\n"));
    assert!(all.contains("haproxy_backend_http_responses_total{proxy=\"be_web\",code=\"2xx\"} 0\n"));
    assert!(!all.contains("haproxy_backend_http_responses_total{proxy=\"tcp1\""));
    assert!(all.contains("haproxy_server_limit_sessions{proxy=\"be_web\",server=\"s1\"} NaN\n"));
    let latency = "haproxy_server_total_duration_seconds_bucket{proxy=\"be_web\",server=\"s1\",le=\"0.004096\"} 1\n";
    assert!(!all.contains("histogram") && write("histograms").contains(latency));
    assert!(all.contains("haproxy_backend_agg_server_status{proxy=\"be_web\",state=\"MAINT\"} 1\n"));
    let global = write("scope=global");
    assert!(global.contains("haproxy_process_") && !global.contains("haproxy_frontend_"));
    assert!(!write("scope=server&no-maint").contains("server=\"s4\""));
    assert_eq!(write("filter=haproxy_process_nbproc").lines().count(), 3);
    assert!(prometheus::Request::parse("scope=foo").is_err());
}

#[test]
fn the_page_has_the_hooks_that_tools_use() {
    let fake = Fake::new();
    let page = StatsPage { show_version: true, show_legends: true, ..StatsPage::new(Origin::none()) };
    let text = whole(&fake, Report::page(page, html::Request::parse(";st=DONE"), true));
    for hook in [
        "HAProxy version 3.4.0, released 2026/06/03",
        "uptime = </b> 0d 0h00m16s; warnings = 3",
        "successfully",
        "name=\"be_web/s1\"",
        "name=\"web/Frontend\"",
        "name=\"be_web/Backend\"",
        "class=\"active_up\"",
        "class=\"backup_down\"",
        "class=\"maintain\"",
        "class=\"active_no_check\"",
        "name=\"s\" value=\"s1\"",
        "<select name=\"action\">",
        "name=\"b\" value=\"#3\"",
        "idle = 0 %",
        "/haproxy?stats;csv;norefresh",
        "/haproxy?stats;up",
    ] {
        assert!(text.contains(hook), "{hook}");
    }
    assert!(!text.contains("http://") && !text.contains("https://") && !text.contains(" onclick"));
}

#[test]
fn a_form_changes_the_servers_it_names() {
    let fake = Fake::new();
    let perform = |body: &str| super::action::perform(body.as_bytes(), &fake.plan, &fake.board.live, fake.now.mono);
    let (outcome, done) = perform("s=s1&s=s2&action=maint&b=%233");
    assert_eq!((outcome, done.events.len()), (html::Outcome::Done, 3), "two servers and the backend");
    assert!(fake.board.live.server(1, 0).unwrap().in_maintenance());
    assert_eq!(perform("s=s1&action=bad&b=be_web").0, html::Outcome::Error);
    assert_eq!(perform("s=s1&action=ready&b=nope").0, html::Outcome::Error);
    assert_eq!(perform("s=s1&s=zz&action=ready&b=be_web").0, html::Outcome::Partial);
    assert_eq!(perform("action=ready&b=be_web").0, html::Outcome::None);
}
