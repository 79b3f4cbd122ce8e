//! Checks over time: states, sentences, agents.

use super::Part::*;
use super::*;

/// A server that takes connection after connection; each runs the parts that `next` hands out.
fn keep_serving(parts: Vec<&'static [Part]>) -> (SocketAddr, mpsc::Receiver<Vec<u8>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let (tell, told) = mpsc::channel();
    thread::spawn(move || {
        for parts in parts {
            let Ok((stream, _)) = listener.accept() else { return };
            let _ = tell.send(serve(stream, parts));
        }
    });
    (address, told)
}

/// Runs all checks of a plan until `until` of the sentences told is true, and gives the sentences.
fn sentences(plan: Plan, until: impl Fn(&[String]) -> bool + 'static) -> Vec<String> {
    let told: Rc<RefCell<Vec<String>>> = Rc::default();
    let out = told.clone();
    on_engine(async move |rt| {
        let plan = Arc::new(plan);
        let board = Arc::new(Board::new(&plan, 1));
        let sink = out.clone();
        let on_events = Box::new(move |events: Vec<crate::model::state::event::Event>| {
            sink.borrow_mut().extend(events.iter().filter_map(|e| e.text(Load::default())));
        });
        let cx = Rc::new(CheckContext::new(rt.clone(), plan, board, on_events, 1));
        let handle = start(cx).ok().unwrap();
        while !until(&out.borrow()) {
            sleep(&rt, 1).await;
        }
        drop(handle);
    });
    told.take()
}

/// Without what no two runs have in common.
fn timeless(sentence: &str) -> String {
    match (sentence.find("check duration: "), sentence.find("ms")) {
        (Some(from), Some(_)) => {
            let to = sentence[from..].find("ms").map_or(sentence.len(), |at| from + at + 2);
            format!("{}D{}", &sentence[..from], &sentence[to..])
        }
        _ => sentence.to_owned(),
    }
}

#[test]
fn a_server_goes_down_after_fall_failures_and_up_after_rise_passes() {
    const OK: &[Part] = &[Take, Give(b"HTTP/1.0 200 OK\r\n\r\n")];
    const BAD: &[Part] = &[Take, Give(b"HTTP/1.0 500 Oops\r\n\r\n")];
    let (address, _told) = keep_serving(vec![OK, BAD, BAD, BAD, OK, OK, OK, OK, OK, OK]);
    let plan = plan_of(|p| {
        http(Vec::new())(p);
        p.timeouts.check = Some(3000);
        let s = &mut p.backend.servers[0];
        s.address = Some(Address::Ip(address));
        s.check = Some(CheckSettings { inter_ms: 100, ..Default::default() });
    });
    let told = sentences(plan, |told| told.len() == 3);
    let told: Vec<String> = told.iter().map(|s| timeless(s)).collect();
    assert_eq!(
        told,
        [
            "Server b/s is DOWN, reason: Layer7 wrong status, code: 500, info: \"Oops\", D. 0 active and 0 backup servers \
         left. 0 sessions active, 0 requeued, 0 remaining in queue.",
            "backend b has no server available!",
            "Server b/s is UP, reason: Layer7 check passed, code: 200, D. 1 active and 0 backup servers online. 0 sessions \
         requeued, 0 total in queue.",
        ]
    );
}

#[test]
fn log_health_checks_tells_every_change() {
    let (_socket, address) = closed();
    let plan = plan_of(|p| {
        p.options.log_health_checks = true;
        let s = &mut p.backend.servers[0];
        s.address = Some(Address::Ip(address));
        s.backup = true;
        s.check = Some(CheckSettings { inter_ms: 100, ..Default::default() });
    });
    let told: Vec<String> = sentences(plan, |told| told.len() == 3).iter().map(|s| timeless(s)).collect();
    assert_eq!(
        told,
        [
            "Health check for backup server b/s failed, reason: Layer4 connection problem, info: \"ECONNREFUSED returned by \
         OS (Connection refused)\", D, status: 0/2 DOWN.",
            "Backup Server b/s is DOWN. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 remaining in \
         queue.",
            "backend b has no server available!",
        ]
    );
}

#[test]
fn an_agent_moves_state_and_weight() {
    let (address, questions) = keep_serving(vec![
        &[Take, Give(b"up 50% maxconn:9\n")],
        &[Take, Give(b"down #over\n")],
        &[Take, Give(b"up\n")],
        &[Take, Give(b"maint\n")],
        &[Take, Hold],
    ]);
    let weights: Rc<RefCell<Vec<(u32, u32)>>> = Rc::default();
    let told: Rc<RefCell<Vec<String>>> = Rc::default();
    let (out, seen) = (told.clone(), weights.clone());
    on_engine(async move |rt| {
        let plan = Arc::new(plan_of(|p| {
            let s = &mut p.backend.servers[0];
            s.check = None;
            s.weight = 10;
            let send = Some("who\n".to_owned());
            s.address = Some(Address::Ip(address));
            // The interval bounds connecting, and the answer too where there is no `timeout check`.
            p.timeouts.check = Some(3000);
            let s = &mut p.backend.servers[0];
            s.agent = Some(AgentSettings { port: address.port(), address: None, inter_ms: 100, send });
        }));
        let board = Arc::new(Board::new(&plan, 1));
        let (sink, watched) = (out.clone(), board.clone());
        let on_events = Box::new(move |events: Vec<crate::model::state::event::Event>| {
            sink.borrow_mut().extend(events.iter().filter_map(|e| e.text(Load::default())));
            let s = watched.live.server(0, 0).unwrap();
            seen.borrow_mut().push((s.user_weight(), s.maxconn()));
        });
        let cx = Rc::new(CheckContext::new(rt.clone(), plan, board, on_events, 1));
        let handle = start(cx).ok().unwrap();
        while out.borrow().len() < 5 {
            sleep(&rt, 1).await;
        }
        drop(handle);
    });
    assert_eq!(questions.recv().unwrap(), b"who\n");
    let told: Vec<String> = told.take().iter().map(|s| timeless(s)).collect();
    assert_eq!(
        told,
        [
            "Server b/s is DOWN, reason: Layer7 wrong status, code: 0, info: \"via agent : down (over)\", D. 0 active and 0 \
         backup servers left. 0 sessions active, 0 requeued, 0 remaining in queue.",
            "backend b has no server available!",
            "Server b/s is UP, reason: Layer7 check passed, code: 0, info: \"via agent : up\", D. 1 active and 0 backup \
         servers online. 0 sessions requeued, 0 total in queue.",
            "Server b/s is going DOWN for maintenance. 0 active and 0 backup servers left. 0 sessions active, 0 requeued, 0 \
         remaining in queue.",
            "backend b has no server available!",
        ]
    );
    assert_eq!(weights.take(), [(5, 9); 4]);
}
