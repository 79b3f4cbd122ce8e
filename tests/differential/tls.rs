//! Clients over TLS: what is told of their connections and of our certificate, which certificate they are shown, and
//! what is agreed on. [`HOUSE`] has what all scenarios of TLS are certified with, the same for both programs.

use crate::common::h2::get;
use crate::common::origin::Step;
use crate::common::tls::{Authority, Issued, Settings};
use crate::run::Run;
use rcgen::{DistinguishedName, DnType, DnValue, date_time_ymd};
use rustls::ClientConfig;
use rustls::version::{TLS12, TLS13};
use std::sync::{Arc, LazyLock};

pub const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
pub const GET: &str = "GET /x HTTP/1.1\r\nHost: localhost\r\n\r\n";

/// The usual line without the numbers of connections: those before may not have ended yet.
const LOG: &str = "log-format \"%ci:%cp [%tr] %ft %b/%s %TR/%Tw/%Tc/%Tr/%Ta %ST %B %CC %CS %tsc %rc %sq/%bq %{+Q}r\"";

/// Authorities and what they have issued.
pub struct House {
    pub ca: Authority,
    pub other: Authority,
    /// Files that configurations name, with what stands in them.
    files: Vec<(&'static str, String)>,
    pub server: Issued,
    /// For `elsewhere.example`, of the other authority.
    pub stranger: Issued,
    pub outdated: Issued,
    pub wild: Issued,
    pub alice: Issued,
    pub eve: Issued,
    pub expired: Issued,
    pub early: Issued,
    pub long_lived: Issued,
    pub mallory: Issued,
    /// Mallory with the authority that nobody knows.
    pub mallory_and_authority: Issued,
    /// Below an authority below the root.
    pub carol: Issued,
    /// The same without what is between.
    pub lone_carol: Issued,
    pub hermit: Issued,
}

pub static HOUSE: LazyLock<House> = LazyLock::new(House::build);

impl House {
    fn build() -> House {
        let (ca, other) = (Authority::new("Test"), Authority::new("Other"));
        let middle = ca.under("Middle");
        let server = ca.issue(&["localhost"], false, 0x10);
        let stranger = other.issue(&["elsewhere.example"], false, 0x1f);
        let of_the_past = |params: &mut rcgen::CertificateParams| {
            (params.not_before, params.not_after) = (date_time_ymd(2020, 1, 1), date_time_ymd(2021, 1, 1));
        };
        let outdated = ca.issue_as(&["localhost"], false, 0x1e, of_the_past);
        let wild = ca.issue(&["*.wild.example"], false, 0x14);
        let alice = ca.issue_as(&["alice"], false, 0xfedc_ba98_7654_3210, |params| {
            params.distinguished_name = name_of_many_entries();
            (params.not_before, params.not_after) = (date_time_ymd(2020, 2, 3), date_time_ymd(2040, 11, 12));
        });
        let mut mallory_and_authority = other.issue(&["mallory"], false, 0x31);
        mallory_and_authority.chain.push(other.der().clone());
        let mut lone_carol = middle.issue(&["carol"], false, 0x41);
        lone_carol.chain.clear();
        let files = vec![
            ("ca.pem", ca.pem()),
            ("other.pem", other.pem()),
            ("crl.pem", ca.revocations(0x21)),
            ("server.pem", server.pem.clone()),
            ("rsa.pem", ca.issue(&["localhost"], true, 0x11).pem),
            ("a.pem", ca.issue(&["a.example"], false, 0x12).pem),
            ("b.pem", ca.issue(&["b.example", "also-b.example"], false, 0x13).pem),
            ("wild.pem", wild.pem.clone()),
            ("alice.pem", alice.pem.clone()),
            ("mallory.pem", mallory_and_authority.pem.clone()),
        ];
        House {
            server,
            stranger,
            outdated,
            wild,
            alice,
            eve: ca.issue(&["eve"], false, 0x21),
            expired: ca.issue_as(&["expired"], false, 0x22, of_the_past),
            early: ca.issue_as(&["early"], false, 0x23, |params| params.not_before = date_time_ymd(2090, 1, 1)),
            long_lived: ca.issue_as(&["long-lived"], false, 0x24, |params| {
                (params.not_before, params.not_after) = (date_time_ymd(1999, 12, 31), date_time_ymd(2100, 1, 1));
            }),
            mallory: other.issue(&["mallory"], false, 0x30),
            mallory_and_authority,
            carol: middle.issue(&["carol"], false, 0x40),
            lone_carol,
            hermit: Issued::self_signed("hermit", 0x50),
            files,
            ca,
            other,
        }
    }

    fn file(&self, name: &str) -> &str {
        self.files.iter().find(|(n, _)| *n == name).map(|(_, content)| content.as_str()).expect("a file of that name")
    }
}

/// A subject with an entry twice, of several kinds of string, with what RFC 2253 escapes.
fn name_of_many_entries() -> DistinguishedName {
    let mut name = DistinguishedName::new();
    name.push(DnType::CountryName, DnValue::PrintableString("FR".try_into().expect("printable")));
    name.push(DnType::OrganizationName, "Acme, Inc. + \"Sons\"");
    name.push(DnType::OrganizationalUnitName, "first");
    // The same entry once more.
    name.push(DnType::CustomDnType(vec![2, 5, 4, 11]), "second");
    name.push(DnType::CommonName, "Alice Ünal");
    let email = DnValue::Ia5String("alice@a.example".try_into().expect("ASCII"));
    name.push(DnType::CustomDnType(vec![1, 2, 840, 113_549, 1, 9, 1]), email);
    name
}

/// Writes all files of the house.
pub fn files(run: &Run) {
    HOUSE.files.iter().for_each(|(name, content)| run.write(name, content));
}

/// A client that takes any certificate.
pub fn anyone() -> Settings {
    HOUSE.ca.client().trusting_all()
}

/// One of each version.
pub fn both() -> [Arc<ClientConfig>; 2] {
    [anyone().version(&TLS12).build(), anyone().version(&TLS13).build()]
}

/// A frontend over TLS with more words on its bind line, and rules.
pub fn front(run: &mut Run, words: &str, rules: &str) {
    files(run);
    run.listen("fe");
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http(&format!("bind 127.0.0.1:{{fe}} ssl {words}\n {LOG}\n {rules}"), "server s1 127.0.0.1:{s1}");
}

/// The usual sections around others.
pub fn start(run: &mut Run, global: &str, sections: &str) {
    files(run);
    run.start(&format!(
        "global\n log {{log}} local0\n maxconn 500\n nbthread 1\n {global}\ndefaults\n log global\n mode http\n \
         {LOG}\n retries 0\n timeout connect 3s\n timeout client 5s\n timeout server 5s\n{sections}"
    ));
}

/// What is known of a connection, for the server and for the log.
const CONNECTION: &str = "http-request set-header x-tls \"%[ssl_fc]/%[ssl_fc_protocol]/%[ssl_fc_cipher]/\
                          %[ssl_fc_use_keysize]/%[ssl_fc_alg_keysize]/%[ssl_fc_sni]/%[ssl_fc_has_sni]/%[ssl_fc_alpn]/\
                          %[ssl_fc_is_resumed]/%[ssl_fc_has_crt]/%[ssl_c_used]/%[ssl_c_verify]\"\n \
                          log-format \"%ci %ft %b/%s %ST %ts %{+Q}r %sslv %sslc\"";

scenario!(what_fetches_tell_of_a_connection, |run| {
    front(run, "crt server.pem", CONNECTION);
    for client in both() {
        run.tls_ask(&client, "localhost", GET);
        run.logs(1);
    }
});

scenario!(what_fetches_tell_without_a_name, |run| {
    front(run, "crt server.pem", CONNECTION);
    for client in both() {
        run.tls_ask(&client, "127.0.0.1", GET);
        run.logs(1);
    }
});

scenario!(what_fetches_tell_in_the_clear, |run| {
    run.origin("s1", vec![Step::Serve(OK.into())]);
    run.http(CONNECTION, "server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(what_fetches_tell_of_a_resumed_session, |run| {
    front(run, "crt server.pem", CONNECTION);
    for client in both() {
        for _ in 0..2 {
            run.tls_ask(&client, "localhost", GET);
            run.logs(1);
        }
    }
});

scenario!(sessions_of_tls_12_resume_by_their_id, |run| {
    front(run, "crt server.pem no-tls-tickets", CONNECTION);
    let client = anyone().version(&TLS12).build();
    for _ in 0..2 {
        run.tls_ask(&client, "localhost", GET);
        run.logs(1);
    }
});

scenario!(what_fetches_tell_by_name_and_protocol, |run| {
    // Our order counts.
    front(run, "crt server.pem alpn http/1.1,h2", CONNECTION);
    for offer in [&["http/1.1"][..], &["h2", "http/1.1"], &["http/1.0"]] {
        run.tls_ask(&anyone().alpn(offer).build(), "LocalHost", GET);
        run.logs(1);
    }
});

scenario!(http2_by_alpn, |run| {
    front(run, "crt server.pem alpn h2", CONNECTION);
    run.h2_tls(&HOUSE.ca).ask(&get("/"), b"");
    run.logs(1);
});

scenario!(protocols_without_the_word_alpn, |run| {
    front(run, "crt server.pem", "http-request set-header x-alpn \"%[ssl_fc_alpn]\"");
    run.tls_ask(&anyone().alpn(&["http/1.1"]).build(), "localhost", GET);
    run.logs(1);
});

scenario!(randoms_and_session_ids_have_their_lengths, |run| {
    let rules = "http-request set-header x-random %[ssl_fc_client_random,hex,length]/%[ssl_fc_server_random,hex,length]\n \
                 http-request set-header x-session %[ssl_fc_session_id,hex,length]\n \
                 http-request set-header x-hello %[ssl_fc_protocol_hello_id]/%[ssl_fc_err]/%[ssl_fc_err_str]/%[fc_err]/%[fc_err_str]";
    front(run, "crt server.pem", rules);
    for client in both() {
        run.tls_ask(&client, "localhost", GET);
        run.logs(1);
    }
});

scenario!(what_a_hello_offered, |run| {
    files(run);
    run.listen("fe");
    run.origin("s1", vec![Step::Serve(OK.into())]);
    start(
        run,
        "tune.ssl.capture-buffer-size 800",
        "frontend fe\n bind 127.0.0.1:{fe} ssl crt server.pem\n \
         http-request set-header x-ciphers %[ssl_fc_cipherlist_hex]\n \
         http-request set-header x-bin %[ssl_fc_cipherlist_bin,hex]/%[ssl_fc_cipherlist_bin(1),hex]\n \
         http-request set-header x-xxh %[ssl_fc_cipherlist_xxh]\n \
         http-request set-header x-groups %[ssl_fc_eclist_bin,hex]\n \
         http-request set-header x-formats %[ssl_fc_ecformats_bin,hex]\n \
         default_backend be\nbackend be\n server s1 127.0.0.1:{s1}\n",
    );
    for client in both() {
        run.tls_ask(&client, "localhost", GET);
        run.logs(1);
    }
});

/// All that is told of a certificate.
fn certificate(side: &str) -> String {
    format!(
        "http-request set-header x-names \"%[ssl_{side}_s_dn]|%[ssl_{side}_i_dn]|%[ssl_{side}_i_dn(CN)]\"\n \
         http-request set-header x-serial %[ssl_{side}_serial,hex]/%[ssl_{side}_version]\n \
         http-request set-header x-sha1 %[ssl_{side}_sha1,hex]/%[ssl_{side}_der,sha1,hex]\n \
         http-request set-header x-dates %[ssl_{side}_notbefore]/%[ssl_{side}_notafter]\n \
         http-request set-header x-algorithms %[ssl_{side}_key_alg]/%[ssl_{side}_sig_alg]\n"
    )
}

scenario!(what_fetches_tell_of_our_certificate, |run| {
    front(run, "crt server.pem", &certificate("f"));
    run.tls_ask(&anyone().build(), "localhost", GET);
    run.logs(1);
});

scenario!(what_fetches_tell_of_our_rsa_certificate, |run| {
    front(run, "crt rsa.pem", &certificate("f"));
    for client in both() {
        run.tls_ask(&client, "localhost", GET);
        run.logs(1);
    }
});

scenario!(what_fetches_tell_of_the_clients_certificate, |run| {
    front(run, "crt server.pem ca-file ca.pem verify required", &certificate("c"));
    run.tls_ask(&anyone().identity(&HOUSE.alice).build(), "localhost", GET);
    run.logs(1);
});

scenario!(what_fetches_tell_of_no_client_certificate, |run| {
    front(run, "crt server.pem ca-file ca.pem verify optional", &format!("{}\n {CONNECTION}", certificate("c")));
    for client in both() {
        run.tls_ask(&client, "localhost", GET);
        run.logs(1);
    }
});

scenario!(entries_and_forms_of_names, |run| {
    let fetches =
        "(CN)|(cn)|(OU)|(OU,2)|(OU,-1)|(OU,3)|(emailAddress)|(O)|(C)|(L)|(,0,rfc2253)|(CN,1,rfc2253)|(OU,0)|(OU,-3)";
    let rules: Vec<String> = fetches
        .split('|')
        .enumerate()
        .map(|(n, args)| format!("http-request set-header x-{n} \"<%[ssl_c_s_dn{args}]> <%[ssl_c_i_dn{args}]>\""))
        .collect();
    front(run, "crt server.pem ca-file ca.pem verify required", &rules.join("\n "));
    run.tls_ask(&anyone().identity(&HOUSE.alice).build(), "localhost", GET);
    run.logs(1);
});

scenario!(dates_beyond_this_century, |run| {
    let words = "crt server.pem ca-file ca.pem verify required crt-ignore-err all";
    front(run, words, "http-request set-header x-dates \"%[ssl_c_notbefore] %[ssl_c_notafter]\"");
    for issued in [&HOUSE.early, &HOUSE.long_lived] {
        run.tls_ask(&anyone().identity(issued).build(), "localhost", GET);
        run.logs(1);
    }
});

scenario!(a_chain_is_told_whole, |run| {
    let rules = "http-request set-header x-chain %[ssl_c_chain_der,sha1,hex]/%[ssl_c_chain_der,hex,length]/%[ssl_c_der,hex,length]\n \
                 http-request set-header x-names \"%[ssl_c_s_dn] %[ssl_c_i_dn]\"";
    front(run, "crt server.pem ca-file ca.pem verify required", rules);
    for client in [&HOUSE.carol, &HOUSE.alice] {
        run.tls_ask(&anyone().identity(client).build(), "localhost", GET);
        run.logs(1);
    }
    let client = anyone().identity(&HOUSE.carol).build();
    for _ in 0..2 {
        run.tls_ask(&client, "localhost", GET);
        run.logs(1);
    }
});

scenario!(certificates_of_resumed_sessions_are_told, |run| {
    let rules = format!("{}\n {CONNECTION}", certificate("c"));
    front(run, "crt server.pem ca-file ca.pem verify required", &rules);
    for version in [&TLS12, &TLS13] {
        let client = anyone().version(version).identity(&HOUSE.alice).build();
        for _ in 0..2 {
            run.tls_ask(&client, "localhost", GET);
            run.logs(1);
        }
    }
});

/// The manual's example (chapter of `http-request set-header`), and Mozilla's and Horizon's.
const HEADERS: &str = "http-request set-header X-SSL %[ssl_fc]\n \
                       http-request set-header X-SSL-Client-Verify %[ssl_c_verify]\n \
                       http-request set-header X-SSL-Client-DN %{+Q}[ssl_c_s_dn]\n \
                       http-request set-header X-SSL-Client-CN %{+Q}[ssl_c_s_dn(cn)]\n \
                       http-request set-header X-SSL-Issuer %{+Q}[ssl_c_i_dn]\n \
                       http-request set-header X-SSL-Client-NotBefore %{+Q}[ssl_c_notbefore]\n \
                       http-request set-header X-SSL-Client-NotAfter %{+Q}[ssl_c_notafter]\n \
                       http-request set-header X-SSL-Client-SHA1 %[ssl_c_sha1,hex,lower]\n \
                       http-request set-header X-Forwarded-Proto https if { ssl_fc }\n \
                       http-request set-header X-Forwarded-Proto http if !{ ssl_fc }\n \
                       http-request set-header X-Forwarded-Port %[dst_port]\n \
                       http-response set-header Strict-Transport-Security \"max-age=63072000; includeSubDomains\"";

scenario!(headers_of_the_manuals_example, |run| {
    front(run, "crt server.pem ca-file ca.pem verify optional", HEADERS);
    run.tls_ask(&anyone().build(), "localhost", GET);
    run.tls_ask(&anyone().identity(&HOUSE.alice).build(), "localhost", GET);
    run.logs(2);
});

scenario!(who_comes_in_the_clear_is_sent_to_https, |run| {
    run.listen("fe");
    run.listen("clear");
    run.origin("s1", vec![Step::Serve(OK.into())]);
    let frontend = "frontend fe\n bind 127.0.0.1:{fe} ssl crt server.pem\n bind 127.0.0.1:{clear}\n \
                    http-request redirect scheme https code 301 if { path_beg /301 } !{ ssl_fc }\n \
                    redirect scheme https unless { ssl_fc }\n \
                    http-response set-header Strict-Transport-Security max-age=16000000\n \
                    http-request set-header x-forwarded-proto %[ssl_fc,iif(https,http)]\n default_backend be\n\
                    backend be\n server s1 127.0.0.1:{s1}\n";
    start(run, "", frontend);
    run.client_to("clear").ask("GET /a?b HTTP/1.1\r\nHost: localhost\r\n\r\n");
    run.client_to("clear").ask("GET /301 HTTP/1.1\r\nHost: localhost:80\r\n\r\n");
    run.tls_ask(&anyone().build(), "localhost", GET);
    run.logs(3);
});

/// Shows which certificate each of these names gets.
fn shown(run: &mut Run, names: &[&str]) {
    for name in names {
        run.note("asked", name);
        for client in both() {
            run.tls_ask(&client, name, GET);
            run.logs(1);
        }
    }
}

scenario!(certificates_by_name, |run| {
    front(run, "crt server.pem crt a.pem crt b.pem crt wild.pem", "");
    let names = ["a.example", "A.EXAMPLE", "b.example", "also-b.example", "x.wild.example", "X.Wild.Example"];
    shown(run, &names);
    shown(run, &["wild.example", "x.y.wild.example", "unknown.example", "xa.example", "localhost", "127.0.0.1"]);
});

scenario!(certificates_of_a_directory, |run| {
    std::fs::create_dir(run.path("certs")).expect("a directory");
    for (place, name) in [("certs/1.pem", "wild.pem"), ("certs/2.pem", "a.pem"), ("certs/3.pem", "b.pem")] {
        run.write(place, HOUSE.file(name));
    }
    front(run, "crt certs", "");
    shown(run, &["a.example", "b.example", "x.wild.example", "unknown.example"]);
});

scenario!(strict_sni_refuses_what_no_certificate_is_for, |run| {
    front(run, "crt a.pem crt wild.pem strict-sni", "");
    for name in ["a.example", "x.wild.example", "unknown.example", "wild.example", "127.0.0.1"] {
        for client in both() {
            match run.tls(&client, name) {
                Some(mut c) => drop(c.ask(GET)),
                None => run.note("refused", name),
            }
            run.logs(1);
        }
    }
});

scenario!(a_list_with_filters, |run| {
    run.write(
        "list",
        "# a comment\n\nserver.pem\na.pem *.a.example !not.a.example\nb.pem b.example exact.a.example\n\
         wild.pem *.wild.example\n",
    );
    front(run, "crt-list list", "");
    let names = ["x.a.example", "not.a.example", "exact.a.example", "b.example", "also-b.example", "a.example"];
    shown(run, &names);
    shown(run, &["y.wild.example", "localhost", "unknown.example", "127.0.0.1"]);
});

scenario!(a_list_with_filters_of_every_form, |run| {
    run.write(
        "list",
        "server.pem !localhost\na.pem A.Example *.case.EXAMPLE\nwild.pem !x.wild.example *.wild.example y.example\n\
         b.pem !z.wild.example\n",
    );
    front(run, "crt-list list", "");
    shown(run, &["localhost", "a.example", "q.case.example", "unknown.example", "x.wild.example", "z.wild.example"]);
    shown(run, &["b.example", "also-b.example", "y.example", "x.y.example"]);
});

scenario!(a_list_that_answers_all_names, |run| {
    run.write("list", "a.pem a.example\nb.pem *\nserver.pem localhost\n");
    front(run, "crt-list list strict-sni", "");
    shown(run, &["localhost", "a.example", "unknown.example", "127.0.0.1"]);
});

scenario!(a_list_with_options, |run| {
    run.write(
        "list",
        "server.pem\na.pem [ssl-max-ver TLSv1.2] a.example\nb.pem [alpn h2] b.example\n\
         wild.pem [verify required ca-file ca.pem] *.wild.example\n",
    );
    front(run, "crt-list list alpn http/1.1", CONNECTION);
    let client = anyone().alpn(&["h2", "http/1.1"]).build();
    run.tls_ask(&client, "localhost", GET);
    run.tls_ask(&client, "a.example", GET);
    run.tls_ask(&anyone().alpn(&["http/1.1"]).build(), "b.example", GET);
    run.logs(3);
    run.tls_ask(&anyone().alpn(&["http/1.1"]).identity(&HOUSE.alice).build(), "x.wild.example", GET);
    run.logs(1);
    run.tls_ask(&anyone().version(&TLS12).build(), "x.wild.example", GET);
    run.tls_ask(&anyone().version(&TLS13).build(), "x.wild.example", GET);
    run.logs(2);
});

scenario!(kinds_of_keys_by_what_the_client_knows, |run| {
    front(run, "crt rsa.pem crt server.pem", CONNECTION);
    for client in [anyone(), anyone().version(&TLS12), anyone().version(&TLS12).rsa_only()] {
        run.tls_ask(&client.build(), "localhost", GET);
        run.logs(1);
    }
});

/// Makes a handshake of each version, and a request.
fn versions(run: &mut Run, words: &str) {
    front(run, words, CONNECTION);
    for client in both() {
        run.tls_ask(&client, "localhost", GET);
        run.logs(1);
    }
}

scenario!(ssl_min_ver, |run| versions(run, "crt server.pem ssl-min-ver TLSv1.3"));

scenario!(ssl_max_ver, |run| versions(run, "crt server.pem ssl-max-ver TLSv1.2"));

scenario!(force_tlsv12, |run| versions(run, "crt server.pem force-tlsv12"));

scenario!(no_tlsv12, |run| versions(run, "crt server.pem no-tlsv12"));

scenario!(ciphers_of_each_version, |run| {
    versions(
        run,
        "crt server.pem ciphers ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES128-GCM-SHA256 \
         ciphersuites TLS_CHACHA20_POLY1305_SHA256:TLS_AES_128_GCM_SHA256",
    );
});

scenario!(ciphers_in_the_clients_order, |run| {
    versions(run, "crt server.pem prefer-client-ciphers curves P-256");
});

scenario!(defaults_of_the_global_section, |run| {
    run.listen("fe");
    run.origin("s1", vec![Step::Serve(OK.into())]);
    start(
        run,
        "ssl-default-bind-options ssl-min-ver TLSv1.2 ssl-max-ver TLSv1.2\n \
         ssl-default-bind-ciphers ECDHE-ECDSA-CHACHA20-POLY1305\n crt-base {dir}",
        &format!(
            "frontend fe\n bind 127.0.0.1:{{fe}} ssl crt server.pem\n {CONNECTION}\n default_backend be\n\
             backend be\n server s1 127.0.0.1:{{s1}}\n"
        ),
    );
    for client in [anyone(), anyone().version(&TLS13)] {
        run.tls_ask(&client.build(), "localhost", GET);
        run.logs(1);
    }
});

scenario!(requests_follow_each_other_until_the_end, |run| {
    front(run, "crt server.pem", "");
    for client in both() {
        let mut c = run.tls(&client, "localhost").expect("a connection");
        c.ask(GET);
        c.ask("POST /p HTTP/1.1\r\nHost: a\r\nContent-Length: 3\r\n\r\nabc");
        c.ask("GET /last HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n");
        c.closed();
        run.logs(3);
    }
});

scenario!(a_client_that_ends_is_ended, |run| {
    front(run, "crt server.pem", "");
    for client in both() {
        let mut c = run.tls(&client, "localhost").expect("a connection");
        c.ask(GET);
        run.logs(1);
        c.close_notify();
        c.closed();
    }
});

scenario!(rules_before_and_after_the_handshake_close_connections, |run| {
    run.listen("no");
    run.listen("fe");
    let sections = "frontend no\n no log\n bind 127.0.0.1:{no} ssl crt server.pem\n tcp-request connection reject\n\
                    frontend fe\n no log\n bind 127.0.0.1:{fe} ssl crt server.pem\n tcp-request session reject unless { ssl_c_used }\n";
    start(run, "", sections);
    for client in both() {
        run.tls_to("no", &client, "localhost", b"");
        let mut c = run.tls(&client, "localhost").expect("a connection");
        c.send(GET);
        c.closed();
    }
});

scenario!(connections_that_are_kept_end_in_time, |run| {
    front(run, "crt server.pem", "timeout http-keep-alive 200ms");
    for client in both() {
        let mut c = run.tls_ask(&client, "localhost", GET).expect("a connection");
        c.closed();
        drop(c);
        run.logs(1);
    }
});

scenario!(a_request_that_does_not_come_in_time, |run| {
    front(run, "crt server.pem", "timeout http-request 200ms");
    let mut c = run.tls(&anyone().build(), "localhost").expect("a connection");
    c.send("GET / HTTP/1.1\r\n");
    c.response();
    c.closed();
    run.logs(1);
});

scenario!(a_client_that_breaks_off_its_request, |run| {
    front(run, "crt server.pem", "");
    for client in both() {
        let mut c = run.tls(&client, "localhost").expect("a connection");
        c.ask(GET);
        c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-");
        drop(c);
        run.logs(2);
    }
});

scenario!(clients_are_tracked_by_their_certificates, |run| {
    let rules = "stick-table type string len 40 size 10 store http_req_cnt\n http-request track-sc0 ssl_c_s_dn(CN)\n \
                 http-request set-header x-count %[sc_http_req_cnt(0)]";
    front(run, "crt server.pem ca-file ca.pem verify optional", rules);
    for client in [&HOUSE.carol, &HOUSE.eve, &HOUSE.carol] {
        run.tls_ask(&anyone().identity(client).build(), "localhost", GET);
        run.logs(1);
    }
    run.tls_ask(&anyone().build(), "localhost", GET);
    run.logs(1);
});
