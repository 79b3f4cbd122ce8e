//! `balance rdp-cookie`: the same user comes to the same server, chosen by the cookie of the first packet.

use crate::common::cli::ask;
use crate::common::client::Client;
use crate::common::origin::Step;
use crate::run::Run;

/// Of each backend: what it says, and the weights of its four servers.
const BACKENDS: [(&str, [u32; 4]); 4] = [
    ("balance rdp-cookie", [1, 1, 1, 1]),
    ("balance rdp-cookie\n hash-type consistent", [10, 20, 5, 1]),
    ("balance rdp-cookie(token)\n hash-type consistent djb2 avalanche", [10, 20, 5, 1]),
    ("balance rdp-cookie(token)\n hash-type map-based crc32", [256, 100, 3, 7]),
];

/// What happens to the servers before the users come again.
const STEPS: [&[&str]; 7] = [
    &[],
    &["weight s2 3"],
    &["state s3 drain"],
    &["state s1 maint"],
    &["state s1 ready", "state s3 ready"],
    &["health s2 down"],
    &["health s2 up", "weight s2 100%"],
];

/// A connection request (MS-RDPBCGR 2.2.1.1) with this line.
fn request(line: &str) -> Vec<u8> {
    let length = 11 + line.len() + 2;
    let mut packet = vec![3, 0, 0, length as u8, length as u8 - 5, 0xE0, 0, 0, 0, 0, 0];
    packet.extend_from_slice(line.as_bytes());
    packet.extend_from_slice(b"\r\n");
    packet
}

/// Servers that say their number to whoever connects.
fn start(run: &mut Run) {
    for number in 1..=4 {
        let script = vec![Step::Until(b"\r\n".to_vec()), Step::Send(number.to_string().into()), Step::Close];
        run.origin(&format!("s{number}"), script);
    }
    let mut text = "global\n log {log} local0\n maxconn 500\n nbthread 1\n stats socket {dir}sock level admin\n\
                    defaults\n mode tcp\n timeout connect 1s\n timeout client 5s\n timeout server 5s\n"
        .to_string();
    for (index, (lines, weights)) in BACKENDS.iter().enumerate() {
        run.listen(&format!("fe{index}"));
        text.push_str(&format!(
            "listen b{index}\n bind 127.0.0.1:{{fe{index}}}\n tcp-request inspect-delay 100ms\n \
             tcp-request content accept if {{ req.rdp_cookie_cnt gt 0 }}\n {lines}\n"
        ));
        for (server, weight) in weights.iter().enumerate() {
            let number = server + 1;
            text.push_str(&format!(" server s{number} 127.0.0.1:{{s{number}}} weight {weight}\n"));
        }
    }
    run.start(&text);
}

/// Who answers a first packet.
fn server_of(run: &Run, index: usize, packet: &[u8]) -> String {
    let mut client = Client::connect(run.port(&format!("fe{index}")));
    client.send(packet);
    let (answer, _) = client.closed();
    String::from_utf8_lossy(&answer).into_owned()
}

scenario!(each_user_has_a_server_through_all_changes, |run| {
    start(run);
    let socket = run.path("sock");
    for changes in STEPS {
        for change in changes {
            for index in 0..BACKENDS.len() {
                let (what, rest) = change.split_once(' ').expect("words");
                let (server, value) = rest.split_once(' ').expect("words");
                let answer = ask(&socket, &format!("set server b{index}/{server} {what} {value}"));
                run.note("change", &format!("{change}: {}", answer.trim_end()));
            }
        }
        for (index, (lines, _)) in BACKENDS.iter().enumerate() {
            let name = if lines.contains("token") { "token" } else { "mstshash" };
            let user = |n: u32| request(&format!("Cookie: {name}=user{}", n.wrapping_mul(2_654_435_761)));
            let servers: String = (0..60).map(|n| server_of(run, index, &user(n))).collect();
            run.note(&format!("{lines} after {changes:?}"), &servers);
        }
    }
    run.forget();
});

scenario!(without_the_cookie_all_go_round, |run| {
    start(run);
    for (index, (lines, _)) in BACKENDS.iter().enumerate() {
        let another = request("Cookie: another=user");
        let servers: String = (0..12).map(|_| server_of(run, index, &another)).collect();
        run.note(&format!("another cookie, {lines}"), &servers);
        // Nobody knows before the delay is over that no cookie comes.
        let servers: String = (0..4).map(|_| server_of(run, index, b"GET / HTTP/1.0\r\n\r\n")).collect();
        run.note(&format!("another protocol, {lines}"), &servers);
    }
    run.forget();
});
