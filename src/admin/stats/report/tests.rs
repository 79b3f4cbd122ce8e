//! Reports in pieces, while servers come and go between two of them.

use super::*;
use crate::{
    admin::{
        fixture::Fake,
        runtime_api::Process,
        stats::{
            csv,
            fields::Object,
            typed,
            walk::{SERVERS, Step, Walk},
        },
    },
    base::{clock::Millis, origin::Origin},
    model::state::cell::Times,
};
use std::collections::BTreeMap;

/// The backend that gets many servers.
const BACKEND: usize = 1;
const MANY: usize = 300;
/// No object is told with more bytes than these; JSON says the most of it.
const OBJECT_MAX: usize = 40_000;

fn add(fake: &Fake, name: &str) {
    let server = fake.parse_server(BACKEND, name, &["check"]).unwrap();
    fake.board.live.add_server(BACKEND, server, Millis(0)).unwrap();
}

fn delete(fake: &Fake, name: &str) {
    let server = fake.board.live.backend(BACKEND).find(name).unwrap();
    fake.board.live.delete_server(BACKEND, server);
}

/// Many servers, each measured, so that histograms tell of them.
fn many() -> Fake {
    let fake = Fake::new();
    for number in 0..MANY {
        add(&fake, &format!("n{number}"));
    }
    for (server, _) in fake.board.live.backend(BACKEND).servers() {
        let times = Times::new([None, None, None, Some(3_000)]);
        fake.board.worker(0).server(BACKEND, server).times(&times);
    }
    fake
}

fn with_scene<T>(fake: &Fake, look: impl FnOnce(&Scene<'_>) -> T) -> T {
    let facts = fake.facts();
    look(&Scene { plan: &fake.plan, board: &fake.board, process: &facts, now: fake.now, legends: true })
}

fn page(query: &str, admin: bool) -> Report {
    let page = StatsPage { show_legends: true, ..StatsPage::new(Origin::none()) };
    Report::page(page, html::Request::parse(query), admin)
}

fn every_form() -> Vec<(&'static str, Report)> {
    let listing = |form| Report::listing(form, Some(Selection::default()));
    let servers = |form| Report::listing(form, Some(Selection { kinds: SERVERS, ..Selection::default() }));
    let metrics = |query| Report::metrics(prometheus::Request::parse(query).expect("a query"));
    vec![
        ("CSV", listing(Form::Csv)),
        ("typed", listing(Form::Typed { descriptions: true })),
        ("JSON", listing(Form::Json)),
        ("state", servers(Form::ServersState)),
        ("conn", servers(Form::ServersConn)),
        ("metrics", metrics("histograms")),
        ("page", page("", false)),
        ("page with forms", page("", true)),
        ("a page of what is up", page(";up;no-maint?scope=be", true)),
    ]
}

/// All slices of a report; `between` two of them the world may change.
fn slices(fake: &Fake, mut report: Report, enough: usize, mut between: impl FnMut(usize)) -> Vec<Vec<u8>> {
    let mut all = Vec::new();
    loop {
        let mut out = Vec::new();
        let more = with_scene(fake, |scene| report.write_slice(scene, enough, &mut out));
        all.push(out);
        if !more {
            return all;
        }
        between(all.len());
    }
}

fn text(slices: &[Vec<u8>]) -> String {
    String::from_utf8(slices.concat()).unwrap()
}

#[test]
fn slices_of_any_size_make_the_same_whole() {
    let fake = many();
    for (name, report) in every_form() {
        let whole = slices(&fake, report.clone(), usize::MAX, |_| {});
        for enough in [1, 100, 4096, 8192] {
            let some = slices(&fake, report.clone(), enough, |_| {});
            assert!(some.len() >= whole.len());
            assert!(text(&some) == text(&whole), "{name} in slices of {enough}");
        }
    }
}

#[test]
fn a_listing_has_the_line_of_each_object() {
    let fake = many();
    let (mut lines, mut tags) = (Vec::new(), Vec::new());
    csv::header(&mut lines);
    with_scene(&fake, |scene| {
        let mut walk = Walk::new(Selection::default());
        loop {
            match walk.step(scene) {
                Step::Object(object) => {
                    csv::line(scene, object, &mut lines);
                    typed::lines(scene, object, false, &mut tags);
                }
                Step::Nothing => {}
                Step::End => break,
            }
        }
    });
    let listing = |form| Report::listing(form, Some(Selection::default()));
    assert!(slices(&fake, listing(Form::Csv), 4096, |_| {}).concat() == lines);
    assert!(slices(&fake, listing(Form::Typed { descriptions: false }), 4096, |_| {}).concat() == tags);
}

#[test]
fn no_slice_is_longer_than_what_is_enough_and_one_object() {
    let fake = many();
    for (name, report) in every_form() {
        let most = slices(&fake, report, 4096, |_| {}).iter().map(Vec::len).max().unwrap();
        let object = if name == "JSON" { OBJECT_MAX } else { 16_384 };
        assert!(most < 4096 + object, "{name}: {most} bytes");
    }
}

#[test]
fn what_writes_nothing_does_not_go_on_for_ever() {
    let fake = many();
    let nothing = Selection { kinds: SERVERS, sid: Some(u32::MAX), ..Selection::default() };
    let parts = slices(&fake, Report::listing(Form::Json, Some(nothing)), usize::MAX, |_| {});
    assert!(parts.len() > MANY / PIECES_MAX, "{}", parts.len());
    assert_eq!(text(&parts), "[]\n");
}

/// Servers that are deleted and added while a report is written: names that stay, that go before they are reached or after, and
/// that come behind or before the place where it is.
fn shaken(fake: &Fake, report: Report) -> String {
    let mut left = (0..MANY).filter(|n| n % 3 == 0);
    let written = slices(fake, report, 1, |step| {
        // A deletion for each slice: first from the end, so that all are told before or gone before they would be.
        if let Some(number) = if step % 2 == 0 { left.next() } else { left.next_back() } {
            delete(fake, &format!("n{number}"));
            add(fake, &format!("later{number}"));
        }
    });
    text(&written)
}

/// How often each of the servers that stay is told by a line.
fn assert_all_are_told<'t>(name: &str, told: impl Iterator<Item = &'t str>) {
    let mut counts: BTreeMap<&str, usize> = BTreeMap::new();
    told.for_each(|server| *counts.entry(server).or_default() += 1);
    for number in (0..MANY).filter(|n| n % 3 != 0) {
        assert_eq!(counts.get(&*format!("n{number}")), Some(&1), "{name}: n{number}");
    }
    assert!(counts.values().all(|n| *n == 1), "{name}: {counts:?}");
    assert!(counts.len() > 2 * MANY / 3, "{name}: {}", counts.len());
}

#[test]
fn servers_come_and_go_between_two_pieces() {
    for (name, report) in every_form() {
        let fake = many();
        let text = shaken(&fake, report);
        let column = |separator, at| {
            let lines = text.lines().filter(|l| l.contains("be_web"));
            lines.filter_map(move |l| l.split(separator).nth(at)).filter(|s| *s != "BACKEND")
        };
        match name {
            "CSV" => assert_all_are_told(name, column(',', 1)),
            "state" => assert_all_are_told(name, column(' ', 3)),
            "conn" => {
                let names = column(' ', 0).filter_map(|s| s.strip_prefix("be_web/"));
                assert_all_are_told(name, names);
            }
            "typed" => {
                let names = text.lines().filter(|l| l.starts_with("S.3.") && l.contains(".svname."));
                assert_all_are_told(name, names.filter_map(|l| l.split(':').nth(3)));
            }
            "JSON" => {
                let whole: serde_json::Value = serde_json::from_str(&text).expect("valid JSON");
                let objects = whole.as_array().expect("a list").iter().map(|o| o.as_array().expect("fields"));
                let servers = objects.filter(|o| o[0]["objType"] == "Server" && o[0]["value"]["value"] == "be_web");
                assert_all_are_told(name, servers.filter_map(|o| o[1]["value"]["value"].as_str()));
            }
            "metrics" => {
                let start = "haproxy_server_current_sessions{proxy=\"be_web\",server=\"";
                let names = text.lines().filter_map(|l| l.strip_prefix(start)?.split('"').next());
                assert_all_are_told(name, names);
                let mut series: Vec<&str> = text.lines().filter_map(|l| l.rsplit_once(' ')).map(|s| s.0).collect();
                series.sort_unstable();
                assert!(series.windows(2).all(|w| w[0] != w[1]), "a series is told twice");
            }
            _ => {
                for (opened, closed) in [("<table", "</table>"), ("<tbody", "</tbody>"), ("<form", "</form>")] {
                    assert_eq!(text.matches(opened).count(), text.matches(closed).count(), "{name}: {opened}");
                }
                assert!(text.ends_with("</body></html>\n"), "{name}");
                let rows = text.split("<a name=\"be_web/").skip(1).filter_map(|row| row.split('"').next());
                let rows: Vec<&str> = rows.filter(|row| *row != "Backend").collect();
                match name {
                    "a page of what is up" => assert!(rows.iter().all(|row| row.starts_with("s")), "{rows:?}"),
                    _ => assert_all_are_told(name, rows.into_iter()),
                }
            }
        }
    }
}

#[test]
fn the_last_of_a_proxys_servers_goes_while_its_table_is_written() {
    let fake = Fake::new();
    let mut deleted = false;
    let written = slices(&fake, page("", true), 1, |_| {
        if !std::mem::replace(&mut deleted, true) {
            fake.board.live.delete_server(5, 0);
            fake.board.live.delete_server(2, 0);
        }
    });
    let text = text(&written);
    assert!(text.contains("be_web/s1") && !text.contains("be_down/d1") && !text.contains("tcp1/t1"));
    assert_eq!(text.matches("<form").count(), text.matches("</form>").count());
}

#[test]
fn a_walk_finds_the_same_object_but_once() {
    let fake = many();
    with_scene(&fake, |scene| {
        let mut walk = Walk::new(Selection::default());
        let mut found: Vec<Object> = Vec::new();
        loop {
            match walk.step(scene) {
                Step::Object(object) => found.push(object),
                Step::Nothing => {}
                Step::End => break,
            }
        }
        assert_eq!(walk.step(scene), Step::End, "it stays there");
        assert!(found.iter().enumerate().all(|(at, object)| !found[..at].contains(object)));
        assert!(found.len() > MANY);
    });
}
