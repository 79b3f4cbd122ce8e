//! The differences from the packaged haproxy (2.6) that are right, each with its reason. ringway's personality is
//! HAProxy 3.4's, so most are changes between the two. Those of the runtime API stand beside their exchanges, in
//! `cli/*.txt`: the answer of 3.4.0 where 2.6 has another, and ringway's own with its reason.

/// In this scenario (or in all: `*`), where haproxy's transcript has `theirs`, ours must have `ours`.
pub struct Allowed {
    pub scenario: &'static str,
    pub theirs: &'static str,
    pub ours: &'static str,
    pub reason: &'static str,
}

const fn allow(scenario: &'static str, theirs: &'static str, ours: &'static str, reason: &'static str) -> Allowed {
    Allowed { scenario, theirs, ours, reason }
}

const BAD_REQUEST: &str = concat!(
    "C1 < HTTP/1.1 400 Bad request\\r\\n\nC1 < Content-length: 90\\r\\n\nC1 < Cache-Control: no-cache\\r\\n\n",
    "C1 < Connection: close\\r\\n\nC1 < Content-Type: text/html\\r\\n\nC1 < \\r\\n\n",
    "C1 < <html><body><h1>400 Bad request</h1>\\n\nC1 < Your browser sent an invalid request.\\n\n"
);
const BAD_REQUEST_PAGE: &str = concat!(
    "C1 < HTTP/1.1 400 Bad request\\r\\n\nC1 < Content-length: 90\\r\\n\nC1 < Cache-Control: no-cache\\r\\n\n",
    "C1 < Connection: close\\r\\n\nC1 < Content-Type: text/html\\r\\n\nC1 < \\r\\n\n",
    "C1 < <html><body><h1>400 Bad request</h1>\\n\nC1 < Your browser sent an invalid request.\\n\n",
    "C1 < </body></html>\\n\n"
);
const TOO_LARGE: &str = concat!(
    "C1 < HTTP/1.1 431 Request Header Fields Too Large\\r\\n\nC1 < Content-length: 105\\r\\n\n",
    "C1 < Cache-Control: no-cache\\r\\n\nC1 < Content-Type: text/html\\r\\n\nC1 < \\r\\n\n",
    "C1 < <html><body><h1>431 Request Header Fields Too Large</h1>\\n\nC1 < Request Header Fields Too Large.\\n\n"
);
const TOO_LONG: &str = concat!(
    "C1 < HTTP/1.1 414 URI Too Long\\r\\n\nC1 < Content-length: 110\\r\\n\n",
    "C1 < Cache-Control: no-cache\\r\\n\nC1 < Content-Type: text/html\\r\\n\nC1 < \\r\\n\n",
    "C1 < <html><body><h1>414 URI Too Long</h1>\\n\n",
    "C1 < The URI provided was too long for the server to process.\\n\n"
);

const PASSED: &str = concat!(
    "C1 < HTTP/1.1 200 OK\\r\\n\nC1 < content-length: 0\\r\\n\n",
    "C1 < connection: close\\r\\n\nC1 < \\r\\n\n"
);
const REACHED: &str =
    concat!("\ns1.0 < GET / HTTP/1.1\\r\\n\ns1.0 < host: a\\r\\n\n", "s1.0 < x: a\\x00b\\r\\n\ns1.0 < \\r\\n");

const NUL: &str = "3.4 refuses a NUL in a header value, 2.6 passes it on";
const ABORT: &str = "3.4 gives up a request whose client has gone (option abortonclose, the default since 3.3) with \
                     status 400 and CH; 2.6 waits for the server once the request has been passed on";
const OVERSIZED: &str = "3.4 answers 431 (headers) or 414 (URI) where 2.6 answers 400";
const BODY_TIMEOUT: &str =
    "3.4 answers 400 with cH when the client is late with its body; 2.6 lets the server's timeout decide";

const NO_CHUNKS: &str =
    "RFC 9112 §6.1: no chunks to a client that has not heard of them; haproxy sends them all the same";

const NO_COOKIE: &str = "of a Cookie line whose only cookie is taken out, what is no cookie either (delimiters) goes too, and an \
                         attribute of RFC 2109 stays; haproxy has it the other way round";
const REASON: &str = "3.4 puts the usual reason where the server gave none, as HTTP/2 servers do";

const NO_KEY: &str = "3.4 says 0 of what makes no key of the table's type (in_table), 2.6 has no value";

const ALPN: &str = "3.4 offers h2 and http/1.1 by default";
const IN_ORDER: &str = "what a rule refuses after the handshake ends with close_notify";
const WRONG_NAME: &str = "the TLS library's alert for a certificate under another name";

/// Where ringway parts from both versions of HAProxy, on purpose.
pub const DECISIONS: &[Allowed] = &[
    allow(
        "tls::randoms_and_session_ids_have_their_lengths",
        "s1.0 < x-session: \\r\\n",
        "s1.0 < x-session: 64\\r\\n",
        "the TLS library gives a session of TLS 1.2 an id beside its ticket",
    ),
    allow("tls::rules_before_and_after_the_handshake_close_connections", "C2 cut off", "C2 closed", IN_ORDER),
    allow("tls::rules_before_and_after_the_handshake_close_connections", "C4 cut off", "C4 closed", IN_ORDER),
    allow("tls_servers::a_server_under_another_name", "alert: InternalError", "alert: BadCertificate", WRONG_NAME),
    allow("tls_servers::a_server_under_a_wildcard", "alert: InternalError", "alert: BadCertificate", WRONG_NAME),
    allow(
        "tls_servers::a_server_under_another_name_than_verifyhost",
        "alert: InternalError",
        "alert: BadCertificate",
        WRONG_NAME,
    ),
    allow(
        "tls_servers::no_version_in_common_with_a_server",
        "SupportedVersionsExtensionRequired",
        "Tls12NotOfferedOrEnabled",
        "the TLS library lists its versions even where TLS 1.2 is all it offers",
    ),
    allow(
        "tls_servers::a_server_that_says_nothing_in_the_handshake",
        "sC 0 -/- -/-",
        "sC 0 26/Timeout during SSL handshake 0000000000000000/-",
        "what went wrong is told although the connection is gone",
    ),
    allow("cookies::hostile_cookies_are_passed_or_ignored", "s2.4 < cookie: ;;;; ;;\\r\\n\n", "", NO_COOKIE),
    allow("cookies::hostile_cookies_are_passed_or_ignored", "s2.7 < cookie: ,,\\r\\n\n", "", NO_COOKIE),
    allow(
        "cookies::hostile_cookies_are_passed_or_ignored",
        "s2.6 < host: a\\r\\n\n",
        "s2.6 < host: a\\r\\n\ns2.6 < cookie: $Version=1; $Path=/\\r\\n\n",
        NO_COOKIE,
    ),
    allow("framing::chunked_response_to_http10_client", "C1 < transfer-encoding: chunked\\r\\n\n", "", NO_CHUNKS),
    allow("framing::chunked_response_to_http10_client", "<chunked>hello<end>\\r\\n", "hello", NO_CHUNKS),
    allow(
        "headers::response_reasons_and_versions",
        "200 47 - -",
        "200 49 - -",
        "the empty reason that we fill in counts with the head",
    ),
    allow(
        "errors::answer_with_a_bad_chunk_502",
        "T/T/T/-1/T 502 209",
        "T/T/T/T/T 502 58",
        "the head was read before its first chunk, and counts",
    ),
    allow(
        "keepalive::max_reuse",
        "s1.0 < GET / HTTP/1.1\\r\\n\ns1.0 < host: a\\r\\n\ns1.0 < \\r\\n\ns1.0 < GET / HTTP/1.1\\r\\n\ns1.0 < host: a\\r\\n\n\
         s1.0 < \\r\\n\ns1.0 < GET / HTTP/1.1\\r\\n\ns1.0 < host: a\\r\\n\ns1.0 < \\r\\n\ns1.0 < GET / HTTP/1.1\\r\\n\n\
         s1.0 < host: a\\r\\n\ns1.0 < \\r\\n",
        "s1.0 < GET / HTTP/1.1\\r\\n\ns1.0 < host: a\\r\\n\ns1.0 < \\r\\n\ns1.0 < GET / HTTP/1.1\\r\\n\ns1.0 < host: a\\r\\n\n\
         s1.0 < \\r\\n\ns1.1 < GET / HTTP/1.1\\r\\n\ns1.1 < host: a\\r\\n\ns1.1 < \\r\\n\ns1.1 < GET / HTTP/1.1\\r\\n\n\
         s1.1 < host: a\\r\\n\ns1.1 < \\r\\n",
        "max-reuse holds as the manual says; haproxy does not count the requests of one client",
    ),
];

pub const ALLOWED: &[Allowed] = &[
    allow(
        "compression::weak_etag_stays",
        "(vary accept-encoding+Accept-Encoding)",
        "(vary accept-encoding)",
        "3.4 does not repeat what Vary says already",
    ),
    allow(
        "framing::status_without_body_that_a_rule_has_set_drops_it",
        "204 No Content\\r\\n\nC1 < \\r\\n",
        "204 No Content\\r\\n\nC1 < content-length: 5\\r\\n\nC1 < \\r\\n",
        "3.4 leaves the length that the server has said",
    ),
    allow(
        "timeouts::who_waits_for_a_body_asks_for_it",
        "200 91 - -",
        "200 51 - -",
        "%B counts what the server sent since 3.x; 2.6 counts the 100 of its own",
    ),
    allow(
        "timeouts::wait_for_body_of_a_response_504_when_its_time_is_over",
        "T/T/T/-1/T 504 252 - - sR--",
        "T/T/T/T/T 504 50 - - sH--",
        "3.4 takes the wait for a part of the response, whose head has come",
    ),
    allow("errors::nul_in_header_400", PASSED, BAD_REQUEST_PAGE, NUL),
    allow(
        "errors::nul_in_header_400",
        "fe be/s1 T/T/T/T/T 200 49 - - ---- 1/1/0/0/0 0/0 \"GET / HTTP/1.1\"",
        "fe fe/<NOSRV> -1/-1/-1/-1/T 400 0 - - PR-- 1/1/0/0/0 0/0 \"<BADREQ>\"",
        NUL,
    ),
    allow("errors::nul_in_header_400", REACHED, "", NUL),
    allow(
        "keepalive::httpclose",
        "s1.0 < connection: close\\r\\n\n",
        "",
        "3.4 closes only the side that has the option: here the client's",
    ),
    allow(
        "logs::long_uris_are_cut",
        "1025 bytes",
        "1024 bytes",
        "3.4 counts the newline into the length, 2.6 adds it",
    ),
    allow(
        "errors::client_leaves_before_the_answer",
        "T/T/T/-1/T 504 198 - - sH--",
        "T/T/T/-1/T 400 0 - - CH--",
        ABORT,
    ),
    allow(
        "framing::client_that_leaves_in_the_middle_of_its_body",
        "T/T/T/-1/T -1 0 - - CD--",
        "T/T/T/-1/T 400 0 - - CH--",
        ABORT,
    ),
    allow(
        "rules::each_rule_alone",
        "http-request return status 204: \\r\\n",
        "http-request return status 204: content-length: 0\\r\\n\nhttp-request return status 204: \\r\\n",
        "3.4 says the length of an answer without a body, 2.6 not with 204",
    ),
    allow("errors::oversized_request_head_431", BAD_REQUEST, TOO_LARGE, OVERSIZED),
    allow("errors::oversized_request_head_431", "-1/-1/-1/-1/T 400 ", "-1/-1/-1/-1/T 431 ", OVERSIZED),
    allow("errors::oversized_uri", BAD_REQUEST, TOO_LONG, OVERSIZED),
    allow("errors::oversized_uri", "-1/-1/-1/-1/T 400 ", "-1/-1/-1/-1/T 414 ", OVERSIZED),
    allow(
        "errors::server_stops_in_its_head_502",
        "- - SH-- ",
        "- - PH-- ",
        "3.4 calls a head that ends in the middle an invalid response (P), 2.6 an aborting server (S)",
    ),
    allow("timeouts::client_timeout_in_the_body", "504 Gateway Time-out", "400 Bad request", BODY_TIMEOUT),
    allow("timeouts::client_timeout_in_the_body", "content-length: 92", "content-length: 90", BODY_TIMEOUT),
    allow(
        "timeouts::client_timeout_in_the_body",
        "The server didn't respond in time.",
        "Your browser sent an invalid request.",
        BODY_TIMEOUT,
    ),
    allow("timeouts::client_timeout_in_the_body", "504 198 - - sH--", "400 0 - - cH--", BODY_TIMEOUT),
    allow(
        "headers::redirect_location",
        "C1 < connection: close\\r\\n\n",
        "",
        "3.4 keeps the connection after redirecting a POST whose body has come, 2.6 closes it",
    ),
    allow(
        "headers::response_reasons_and_versions",
        "HTTP/1.1 200 \\r\\n",
        "HTTP/1.1 200 OK\\r\\n",
        "3.4 puts the usual reason where the server gave none",
    ),
    allow(
        "headers::return_without_body",
        "HTTP/1.1 204 No Content\\r\\n\n",
        "HTTP/1.1 204 No Content\\r\\n\nC1 < content-length: 0\\r\\n\n",
        "3.4 adds a length of 0 to a 204 that a rule returns",
    ),
    allow(
        "logs::check_state_changes",
        "info: \"Connection refused\"",
        "info: \"ECONNREFUSED returned by OS (Connection refused)\"",
        "3.4 names the error as well as describing it",
    ),
    allow("tables::keys_of_each_type", "/8/1//1/1", "/8/1/0/1/1", NO_KEY),
    allow("tables::keys_of_each_type", "/9/2//1/1", "/9/2/0/1/1", NO_KEY),
    allow(
        "http2_servers::a_head_that_is_too_large_is_reset",
        "goaway INTERNAL_ERROR(0x2)",
        "reset PROTOCOL_ERROR(0x1)",
        "3.4 resets the stream, 2.6 ends the connection",
    ),
    allow("http2_servers::client_resets_its_request", "T/T/T/-1/T -1 0 - - CD--", "T/T/T/-1/T 400 0 - - CH--", ABORT),
    allow("tls::protocols_without_the_word_alpn", "alpn - certificate", "alpn http/1.1 certificate", ALPN),
    allow("tls::protocols_without_the_word_alpn", "x-alpn: \\r\\n", "x-alpn: http/1.1\\r\\n", ALPN),
    allow(
        "tls_servers::without_the_word_sni",
        "sni - alpn",
        "sni localhost alpn",
        "3.4 sends the request's host as SNI (sni-auto)",
    ),
    allow(
        "tls_servers::a_refused_connection_over_tls",
        "SC 0 -/-",
        "SC 0 47/ECONNREFUSED returned by OS",
        "3.4 tells the system's error",
    ),
    // Behind those that look for the same text in their own scenario.
    allow("*", "HTTP/1.1 103 \\r\\n", "HTTP/1.1 103 Early Hints\\r\\n", REASON),
    allow("*", "HTTP/1.1 200 \\r\\n", "HTTP/1.1 200 OK\\r\\n", REASON),
    allow("*", "HTTP/1.1 204 \\r\\n", "HTTP/1.1 204 No Content\\r\\n", REASON),
    allow("*", "HTTP/1.1 304 \\r\\n", "HTTP/1.1 304 Not Modified\\r\\n", REASON),
];

/// In this scenario both texts are right, and become the last one in both transcripts.
pub struct Either {
    pub scenario: &'static str,
    pub texts: &'static [&'static str],
    pub becomes: &'static str,
    pub reason: &'static str,
}

pub const EITHER: &[Either] = &[Either {
    scenario: "timeouts::tunnel_timeout",
    texts: &["cD--", "sD--"],
    becomes: "?D--",
    reason: "both sides expire at the same moment",
}];

/// `%B` counts what the server sent since 3.x: nothing, for a reply of the proxy's own. 2.6 counts the reply.
pub fn own_replies_count_no_bytes(wanted: &str) -> String {
    let lines = wanted.lines().map(|line| {
        let words: Vec<&str> = line.split(' ').collect();
        let is_own = |word: &str| word.split('/').count() == 5 && word.split('/').nth(3) == Some("-1");
        let Some(timers) = words.iter().position(|word| is_own(word)).filter(|_| line.starts_with("log ")) else {
            return line.to_string();
        };
        let zeroed = words.iter().enumerate().map(|(index, word)| if index == timers + 2 { "0" } else { word });
        zeroed.collect::<Vec<_>>().join(" ")
    });
    lines.collect::<Vec<_>>().join("\n")
}

/// The short line of a failed handshake ends with OpenSSL's error in 3.4, which 2.6 tells in formats alone: there it is
/// compared.
pub fn short_lines_of_handshakes_tell_no_error(ours: &str) -> String {
    let lines = ours.lines().map(|line| match line.split_once(": SSL handshake failure (error:") {
        Some((start, _)) if line.starts_with("log ") => format!("{start}: SSL handshake failure"),
        _ => line.to_string(),
    });
    lines.collect::<Vec<_>>().join("\n")
}
