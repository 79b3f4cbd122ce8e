//! Two peers in memory: our server and our client, and the library's own as the stranger.

use super::super::client::ClientSettings;
use super::super::keys::Secret;
use super::super::policy::{self, Policy, Written};
use super::super::records::HANDSHAKE;
use super::super::server::{ServerOptions, ServerSettings};
use super::super::session_cache::SessionCache;
use super::super::tickets::TicketKeys;
use super::super::verify::{ClientVerifier, ServerVerifier, Trust};
use super::super::verify_code::{self as code, IgnoreErrors};
use super::super::version::{Version, Versions};
use super::*;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use rustls::pki_types::{CertificateDer, CertificateRevocationListDer, PrivateKeyDer};
use rustls::sign::CertifiedKey;

const NOW: u64 = 1_800_000_000;

struct Authority(CertifiedIssuer<'static, KeyPair>);

impl Authority {
    fn new() -> Authority {
        Authority::named("Authority")
    }

    fn named(name: &str) -> Authority {
        let mut params = CertificateParams::new(vec![]).unwrap();
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
        Authority(CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap())
    }

    fn issue(&self, name: &str, years: (i32, i32)) -> Arc<CertifiedKey> {
        let mut params = CertificateParams::new(vec![name.to_owned()]).unwrap();
        params.serial_number = Some(rcgen::SerialNumber::from(7));
        params.not_before = rcgen::date_time_ymd(years.0, 1, 1);
        params.not_after = rcgen::date_time_ymd(years.1, 1, 1);
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &self.0).unwrap();
        certified(certificate.der().clone(), &key)
    }

    fn trust(&self, revoked: bool) -> Arc<Trust> {
        let mut crls = Vec::new();
        if revoked {
            let params = rcgen::CertificateRevocationListParams {
                this_update: rcgen::date_time_ymd(2020, 1, 1),
                next_update: rcgen::date_time_ymd(2050, 1, 1),
                crl_number: rcgen::SerialNumber::from(1),
                issuing_distribution_point: None,
                revoked_certs: vec![rcgen::RevokedCertParams {
                    serial_number: rcgen::SerialNumber::from(7),
                    revocation_time: rcgen::date_time_ymd(2021, 1, 1),
                    reason_code: None,
                    invalidity_date: None,
                }],
                key_identifier_method: rcgen::KeyIdMethod::Sha256,
            };
            let crl = params.signed_by(&self.0).unwrap();
            crls.push(CertificateRevocationListDer::from(crl.der().to_vec()));
        }
        Arc::new(Trust::new(vec![self.0.der().clone()], crls).unwrap())
    }
}

fn certified(der: CertificateDer<'static>, key: &KeyPair) -> Arc<CertifiedKey> {
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    let key = PrivateKeyDer::try_from(key.serialize_der()).unwrap();
    Arc::new(CertifiedKey::from_der(vec![der], key, &provider).unwrap())
}

/// A bind line with one certificate.
struct Line {
    options: ServerOptions,
    certificate: Arc<CertifiedKey>,
    binding: [u8; 16],
}

impl ServerChooser for Line {
    fn choose(&self, hello: &hello::ClientHello) -> Result<Choice, TlsError> {
        if hello.sni == Some(b"refused") {
            return Err(TlsError::UnknownName);
        }
        Ok(Choice {
            config: self.options.config(hello).clone(),
            certificate: self.certificate.clone(),
            name: "line.pem".into(),
            binding: self.binding,
        })
    }

    fn capture_size(&self) -> usize {
        4
    }
}

/// What a test varies.
struct Setup {
    version: Version,
    authority: Arc<Authority>,
    tickets: Option<Arc<TicketKeys>>,
    sessions: Option<Arc<SessionCache>>,
    verify: Option<(bool, IgnoreErrors, bool)>,
    client_certificate: Option<Arc<CertifiedKey>>,
    binding: u8,
    ciphersuites: Option<&'static str>,
}

impl Setup {
    fn new(version: Version) -> Setup {
        Setup {
            version,
            authority: Arc::new(Authority::new()),
            tickets: None,
            sessions: None,
            verify: None,
            client_certificate: None,
            binding: 1,
            ciphersuites: None,
        }
    }

    fn policy(&self) -> Policy {
        let mut versions = Versions::default();
        versions.force(self.version);
        policy::resolve(&Written { versions, ciphersuites: self.ciphersuites, ..Written::default() }).unwrap()
    }

    fn line(&self) -> Arc<Line> {
        let policy = self.policy();
        let verifier = self.verify.as_ref().map(|(required, ignored, revoked)| {
            let trust = self.authority.trust(*revoked);
            ClientVerifier::new(trust, &policy.provider, *required, ignored.clone(), IgnoreErrors::Nothing, None)
                .unwrap()
        });
        let options = ServerOptions::new(ServerSettings {
            policy: &policy,
            alpn: vec![b"http/1.1".to_vec()],
            verifier,
            tickets: self.tickets.clone(),
            sessions: self.sessions.clone(),
            prefer_client_ciphers: false,
            keylog: true,
        })
        .unwrap();
        let certificate = self.authority.issue("www.example", (2020, 2050));
        Arc::new(Line { options, certificate, binding: [self.binding; 16] })
    }

    fn client(&self, alpn: &str) -> Arc<ClientContext> {
        let policy = self.policy();
        let trust = Some(self.authority.trust(false));
        let verifier = ServerVerifier::new(policy.provider.clone(), trust, None).unwrap();
        let settings = ClientSettings {
            policy,
            alpn: vec![alpn.as_bytes().to_vec()],
            verifier: Arc::new(arc_swap::ArcSwap::new(verifier)),
            certificate: self.client_certificate.clone().map(|key| Arc::new(key) as _),
            reuse: true,
            tickets: true,
            keylog: true,
        };
        ClientContext::new(&settings, &settings.in_force()).unwrap()
    }
}

/// Gives `wire` to `session` in pieces of `piece` bytes; returns the plain text.
fn feed(session: &mut Session, wire: &[u8], piece: usize, out: &mut Vec<u8>) -> Result<Vec<u8>, TlsError> {
    let mut plain = Vec::new();
    for part in wire.chunks(piece) {
        let mut part = part.to_vec();
        let fed = session.feed(NOW, &mut part, out)?;
        plain.extend_from_slice(&fed.carried);
        plain.extend_from_slice(&part[fed.plain]);
    }
    Ok(plain)
}

struct Pair {
    server: Session,
    client: Session,
    /// What the server has ready to send.
    to_client: Vec<u8>,
}

/// Shakes hands; on error says which side erred.
fn connect(
    line: &Arc<Line>,
    client: &Arc<ClientContext>,
    name: &str,
    piece: usize,
) -> Result<Pair, (&'static str, TlsError)> {
    let mut to_server = Vec::new();
    let mut to_client = Vec::new();
    let sizes = RecordSizes::default();
    let mut client =
        Session::client(client.clone(), Some(name), sizes, NOW, &mut to_server).map_err(|e| ("client", e))?;
    let mut server = Session::server(line.clone(), sizes);
    while !to_server.is_empty() || !to_client.is_empty() {
        let wire = std::mem::take(&mut to_server);
        let fed = feed(&mut server, &wire, piece, &mut to_client);
        let server_error = fed.err();
        if server.is_established() && client.is_established() {
            break;
        }
        let wire = std::mem::take(&mut to_client);
        let fed = feed(&mut client, &wire, piece, &mut to_server);
        if let Some(error) = server_error {
            return Err(("server", error));
        }
        fed.map_err(|e| ("client", e))?;
    }
    assert!(server.is_established() && client.is_established());
    Ok(Pair { server, client, to_client })
}

/// Both ends after a handshake of this version.
fn established(version: Version) -> Pair {
    let setup = Setup::new(version);
    connect(&setup.line(), &setup.client("x"), "www.example", 1 << 20).unwrap()
}

impl Pair {
    /// The client's keys.
    fn traffic(&mut self) -> &mut Traffic {
        let Stage::Traffic(traffic) = &mut self.client.stage else { panic!() };
        traffic
    }

    /// Sends both ways and compares.
    fn exchange(&mut self, piece: usize) {
        let request = b"GET / HTTP/1.1\r\n\r\n";
        let mut wire = Vec::new();
        self.client.encrypt(request, &mut wire).unwrap();
        let got = feed(&mut self.server, &wire, piece, &mut self.to_client).unwrap();
        assert_eq!(got, request);
        let response: Vec<u8> = (0..100_000u32).map(|i| i as u8).collect();
        let mut wire = std::mem::take(&mut self.to_client);
        self.server.encrypt_parts(&[b"HTTP/1.1 200 OK\r\n\r\n", &response], &mut wire).unwrap();
        let mut back = Vec::new();
        let got = feed(&mut self.client, &wire, piece, &mut back).unwrap();
        assert!(got.ends_with(&response) && got.len() == response.len() + 19);
        assert!(back.is_empty());
        assert!(!self.client.holds_bytes() && self.client.carry.capacity() == 0);
        assert!(self.server.carry.capacity() == 0);
    }
}

#[test]
fn both_versions_carry_data_however_it_is_cut() {
    for version in [Version::Tlsv12, Version::Tlsv13] {
        let setup = Setup::new(version);
        let (line, client) = (setup.line(), setup.client("http/1.1"));
        for piece in [1, 2, 3, 5, 7, 100, 1460, 16_384, 1 << 20] {
            let mut pair = connect(&line, &client, "www.example", piece).unwrap();
            pair.exchange(piece);
            pair.exchange(piece + 1);
            let facts = pair.server.facts();
            assert_eq!(facts.version, version.name());
            assert_eq!(facts.sni.as_deref(), Some("www.example"));
            assert_eq!(facts.alpn.as_deref(), Some(&b"http/1.1"[..]));
            assert_eq!((facts.curve, facts.resumed, facts.cipher_bits), ("X25519", false, 256));
            assert_eq!(facts.certificate_name.as_deref(), Some("line.pem"));
            assert_eq!(
                facts.captured.as_ref().unwrap().ciphers.len(),
                4.min(facts.captured.as_ref().unwrap().ciphers.len())
            );
            assert_eq!(facts.server_random, pair.client.facts().server_random);
            assert_eq!(facts.client_random, pair.client.facts().client_random);
            assert_ne!(facts.server_random, [0; 32]);
            assert_eq!(pair.client.facts().peer_chain.len(), 1);
            let secret = |session: &Session, kind| session.facts().secrets.as_ref()?.get(kind).map(<[u8]>::to_vec);
            let known = [Secret::Master, Secret::ServerHandshakeTraffic, Secret::ClientTraffic0, Secret::Exporter]
                .map(|kind| (secret(&pair.server, kind), secret(&pair.client, kind)));
            assert!(known.iter().all(|(server, client)| server == client));
            assert_eq!(
                known.map(|k| k.0.is_some()),
                [[true, false, false, false], [false, true, true, true]][usize::from(version == Version::Tlsv13)]
            );
        }
    }
}

#[test]
fn each_suite_of_13_and_chacha_of_12_carry_data() {
    for suite in ["TLS_AES_128_GCM_SHA256", "TLS_CHACHA20_POLY1305_SHA256", "TLS_AES_256_GCM_SHA384"] {
        let setup = Setup { ciphersuites: Some(suite), ..Setup::new(Version::Tlsv13) };
        let mut pair = connect(&setup.line(), &setup.client("x"), "www.example", 4096).unwrap();
        pair.exchange(4096);
        assert_eq!(pair.server.facts().cipher, suite);
        assert_eq!(pair.server.facts().alpn, None, "nothing in common is no error");
    }
}

#[test]
fn close_notify_ends_both_directions() {
    for version in [Version::Tlsv12, Version::Tlsv13] {
        let setup = Setup::new(version);
        let mut pair = connect(&setup.line(), &setup.client("x"), "www.example", 1 << 20).unwrap();
        let mut wire = Vec::new();
        pair.client.encrypt(b"bye", &mut wire).unwrap();
        pair.client.close_notify(&mut wire);
        pair.client.close_notify(&mut wire);
        assert_eq!(pair.client.encrypt(b"x", &mut Vec::new()), Err(TlsError::NotReady));
        let fed = pair.server.feed(NOW, &mut wire, &mut Vec::new()).unwrap();
        assert!(fed.closed);
        assert_eq!(&wire[fed.plain], b"bye");
    }
}

#[test]
fn altered_records_are_answered_with_an_alert() {
    for version in [Version::Tlsv12, Version::Tlsv13] {
        let setup = Setup::new(version);
        let mut pair = connect(&setup.line(), &setup.client("x"), "www.example", 1 << 20).unwrap();
        let mut wire = Vec::new();
        pair.client.encrypt(b"hello", &mut wire).unwrap();
        *wire.last_mut().unwrap() ^= 1;
        let mut alert = Vec::new();
        assert_eq!(pair.server.feed(NOW, &mut wire, &mut alert), Err(TlsError::BadMac));
        let mut wire = std::mem::take(&mut pair.to_client);
        wire.extend(alert);
        let told = pair.client.feed(NOW, &mut wire, &mut Vec::new());
        assert_eq!(told, Err(TlsError::AlertReceived(AlertDescription::BadRecordMac)));
        assert_eq!(pair.server.feed(NOW, &mut [0; 5], &mut Vec::new()), Err(TlsError::NotReady));
    }
}

#[test]
fn what_is_no_hello_ends_with_the_right_alert() {
    let line = Setup::new(Version::Tlsv13).line();
    for (bytes, error, alert) in [
        (&b"GET / HTTP/1.0\r\n\r\n"[..], TlsError::NotTls { http: true }, None),
        (&[22, 3, 1, 0, 0], TlsError::Malformed, Some(50)),
        (&[22, 3, 1, 0, 4, 1, 0, 0, 0], TlsError::Malformed, Some(50)),
        (&[22, 3, 1, 0, 4, 2, 0, 0, 0], TlsError::Unexpected, Some(10)),
    ] {
        let mut session = Session::server(line.clone(), RecordSizes::default());
        let mut out = Vec::new();
        assert_eq!(session.feed(NOW, &mut bytes.to_vec(), &mut out), Err(error));
        assert_eq!(out.last().copied(), alert, "{bytes:?}");
    }
}

#[test]
fn unknown_name_is_told_the_client() {
    let setup = Setup::new(Version::Tlsv13);
    let refused = connect(&setup.line(), &setup.client("x"), "refused", 1 << 20).err().unwrap();
    assert_eq!(refused, ("server", TlsError::UnknownName));
}

/// Connects twice, to two lines that share keys or cache as two workers or processes do; whether the second resumed.
fn resumes(setup: &Setup, other: &Setup) -> bool {
    let client = setup.client("http/1.1");
    let (first, second) = (setup.line(), other.line());
    connect(&first, &client, "www.example", 1 << 20).unwrap().exchange(1 << 20);
    let mut pair = connect(&second, &client, "www.example", 1 << 20).unwrap();
    pair.exchange(1 << 20);
    assert_eq!(pair.server.facts().resumed, pair.client.facts().resumed);
    pair.server.facts().resumed
}

#[test]
fn sessions_resume_by_ticket_and_by_id_under_the_same_policy_only() {
    for version in [Version::Tlsv12, Version::Tlsv13] {
        for by_ticket in [true, false] {
            let tickets = by_ticket.then(|| TicketKeys::random(300));
            let sessions = (!by_ticket).then(|| SessionCache::new(100, 300));
            let setup = |binding| Setup {
                tickets: tickets.clone(),
                sessions: sessions.clone(),
                binding,
                ..Setup::new(version)
            };
            let (one, same, other) = (setup(1), setup(1), setup(2));
            assert!(resumes(&one, &one), "{version:?} ticket {by_ticket}");
            // A full handshake with another authority's certificate would fail: the session is what makes it pass.
            assert!(resumes(&one, &same), "{version:?} ticket {by_ticket}");
            let other = Setup { authority: one.authority.clone(), ..other };
            assert!(!resumes(&one, &other), "{version:?} ticket {by_ticket}");
        }
    }
}

#[test]
fn client_certificates_are_judged_in_openssl_numbers() {
    for version in [Version::Tlsv12, Version::Tlsv13] {
        let setup = |verify: (bool, IgnoreErrors, bool)| Setup { verify: Some(verify), ..Setup::new(version) };
        let run = |mut s: Setup, make: &dyn Fn(&Setup) -> Option<Arc<CertifiedKey>>| {
            s.client_certificate = make(&s);
            let (line, client) = (s.line(), s.client("http/1.1"));
            connect(&line, &client, "www.example", 1000).map(|mut pair| {
                pair.exchange(1000);
                pair.server.facts().clone()
            })
        };
        let none = |_: &Setup| None;
        let good = |s: &Setup| Some(s.authority.issue("me", (2020, 2050)));
        let old = |s: &Setup| Some(s.authority.issue("me", (2020, 2021)));
        let stranger = |_: &Setup| Some(Authority::named("Stranger").issue("me", (2020, 2050)));
        let nothing = IgnoreErrors::Nothing;

        let facts = run(setup((true, nothing.clone(), false)), &good).unwrap();
        assert_eq!((facts.peer_chain.len(), facts.verify.result, facts.verify.presented), (1, 0, true));
        let facts = run(setup((false, nothing.clone(), false)), &none).unwrap();
        assert_eq!((facts.peer_chain.len(), facts.verify.presented), (0, false));
        let error = run(setup((true, nothing.clone(), false)), &none).unwrap_err();
        assert_eq!(error, ("server", TlsError::NoCertificate));
        let error = run(setup((true, nothing.clone(), false)), &old).unwrap_err();
        assert_eq!(error, ("server", TlsError::Certificate(code::CERT_HAS_EXPIRED)));
        let error = run(setup((false, nothing.clone(), false)), &stranger).unwrap_err();
        assert_eq!(error, ("server", TlsError::Certificate(code::UNABLE_TO_GET_ISSUER_CERT_LOCALLY)));
        let error = run(setup((false, nothing.clone(), true)), &good).unwrap_err();
        assert_eq!(error, ("server", TlsError::Certificate(code::CERT_REVOKED)));
        let facts = run(setup((true, IgnoreErrors::These(vec![code::CERT_HAS_EXPIRED]), false)), &old).unwrap();
        assert_eq!((facts.verify.result, facts.verify.crt_err), (10, 10));
        let facts = run(setup((true, IgnoreErrors::All, true)), &good).unwrap();
        assert_eq!(facts.verify.crt_err, code::CERT_REVOKED);
    }
}

#[test]
fn servers_are_verified_by_name() {
    let setup = Setup::new(Version::Tlsv13);
    let refused = connect(&setup.line(), &setup.client("x"), "other.example", 1 << 20).err().unwrap();
    // The client errs first; the server hears of it.
    assert_eq!(refused, ("client", TlsError::Certificate(code::HOSTNAME_MISMATCH)));
    let refused = connect(&setup.line(), &setup.client("x"), "10.0.0.1", 1 << 20).err().unwrap();
    assert_eq!(refused, ("client", TlsError::Certificate(code::HOSTNAME_MISMATCH)), "addresses are verified too");
    let refused = connect(&setup.line(), &setup.client("x"), "no name", 1 << 20).err().unwrap();
    assert!(matches!(refused, ("client", TlsError::Library(_))));
    assert!(connect(&setup.line(), &setup.client("x"), "", 1 << 20).is_ok(), "nothing to verify");
}

#[test]
fn key_updates_are_followed_and_answered() {
    let mut pair = established(Version::Tlsv13);
    for _ in 0..3 {
        let mut wire = Vec::new();
        let traffic = pair.traffic();
        // A request for an answer, then our own new keys.
        traffic.send.seal(HANDSHAKE, &[24, 0, 0, 1, 1], &mut wire).unwrap();
        let Some(Kernel::Client(kernel)) = &mut traffic.kernel else { panic!() };
        let (sequence, secret) = kernel.update_tx_secret().unwrap();
        traffic.send = Protection::new(secret, sequence, true).unwrap();
        pair.client.encrypt(b"after", &mut wire).unwrap();
        let mut answer = Vec::new();
        assert_eq!(feed(&mut pair.server, &wire, 3, &mut answer).unwrap(), b"after");
        assert!(!answer.is_empty());
        pair.to_client.extend(answer);
        pair.exchange(77);
    }
}

#[test]
fn floods_of_messages_without_data_end_the_session() {
    let mut pair = established(Version::Tlsv12);
    let mut wire = Vec::new();
    let traffic = pair.traffic();
    for _ in 0..40 {
        traffic.send.seal(ALERT, &[1, 90], &mut wire).unwrap();
    }
    assert_eq!(pair.server.feed(NOW, &mut wire, &mut Vec::new()), Err(TlsError::Unexpected));
}

#[test]
fn empty_data_between_messages_does_not_hide_a_flood() {
    let mut pair = established(Version::Tlsv12);
    let mut wire = Vec::new();
    let traffic = pair.traffic();
    for _ in 0..40 {
        traffic.send.seal(ALERT, &[1, 90], &mut wire).unwrap();
        traffic.send.seal(APPLICATION_DATA, &[], &mut wire).unwrap();
    }
    assert_eq!(pair.server.feed(NOW, &mut wire, &mut Vec::new()), Err(TlsError::Unexpected));
}

#[test]
fn many_messages_in_one_record_are_many() {
    let mut pair = established(Version::Tlsv12);
    let mut wire = Vec::new();
    let traffic = pair.traffic();
    traffic.send.seal(HANDSHAKE, &[0; 4 * 4000], &mut wire).unwrap();
    let mut answer = Vec::new();
    assert_eq!(pair.server.feed(NOW, &mut wire, &mut answer), Err(TlsError::Unexpected));
    assert!(answer.len() < 100, "{} bytes of answers", answer.len());
}

#[test]
fn renegotiation_is_refused_once_and_then_ends_the_session() {
    let mut pair = established(Version::Tlsv12);
    for turn in 0..2 {
        let mut wire = Vec::new();
        let traffic = pair.traffic();
        traffic.send.seal(HANDSHAKE, &[0; 4], &mut wire).unwrap();
        traffic.send.seal(APPLICATION_DATA, b"data", &mut wire).unwrap();
        let mut answer = Vec::new();
        let fed = pair.server.feed(NOW, &mut wire, &mut answer);
        // Who asks may wait for the answer, and we for what it would say then.
        assert_eq!(fed.is_ok_and(|fed| fed.send_now), turn == 0);
        // A warning at first, then a fatal alert.
        assert!((1..100).contains(&answer.len()));
    }
}

#[test]
fn small_records_open_a_transfer() {
    let mut pair = established(Version::Tlsv13);
    pair.server.sizes = RecordSizes { maxrecord: 1000, hard_maxrecord: 0 };
    let mut wire = Vec::new();
    pair.server.encrypt(&[1; 60_000], &mut wire).unwrap();
    let mut lengths = Vec::new();
    let mut rest = &wire[..];
    while let Some(length) = records::record_length(rest).unwrap() {
        lengths.push(length);
        rest = &rest[length..];
    }
    assert_eq!(lengths[..40], [1022; SMALL_RECORDS as usize]);
    assert_eq!(lengths[40], 16_384 + 22);
}

#[test]
fn tickets_wait_for_the_response() {
    let setup = Setup { tickets: Some(TicketKeys::random(300)), ..Setup::new(Version::Tlsv13) };
    let mut to_server = Vec::new();
    let context = setup.client("x");
    let mut client =
        Session::client(context, Some("www.example"), RecordSizes::default(), NOW, &mut to_server).unwrap();
    let mut server = Session::server(setup.line(), RecordSizes::default());
    let mut flight = Vec::new();
    assert!(server.feed(NOW, &mut to_server, &mut flight).unwrap().send_now);
    to_server.clear();
    let fed = client.feed(NOW, &mut flight, &mut to_server).unwrap();
    assert!(fed.established && fed.send_now);
    client.encrypt(b"request", &mut to_server).unwrap();
    let mut tickets = Vec::new();
    let fed = server.feed(NOW, &mut to_server, &mut tickets).unwrap();
    assert!(fed.established && !fed.send_now && !tickets.is_empty());
    assert_eq!(&to_server[fed.plain], b"request");
}

#[test]
fn altered_handshakes_err_and_never_panic() {
    for version in [Version::Tlsv12, Version::Tlsv13] {
        let setup = Setup { tickets: Some(TicketKeys::random(300)), ..Setup::new(version) };
        let (line, context) = (setup.line(), setup.client("http/1.1"));
        // Each round alters one byte of everything that crosses, further on each time.
        for round in 0..700usize {
            let mut to_server = Vec::new();
            let sizes = RecordSizes::default();
            let mut client = Session::client(context.clone(), Some("a"), sizes, NOW, &mut to_server).unwrap();
            let mut server = Session::server(line.clone(), sizes);
            let mut crossed = 0;
            let mut alter = |wire: &mut Vec<u8>| {
                let at = (round * 3).wrapping_sub(crossed);
                crossed += wire.len();
                if let Some(byte) = wire.get_mut(at) {
                    *byte ^= 1 << (round % 8);
                }
            };
            for _ in 0..4 {
                alter(&mut to_server);
                let mut to_client = Vec::new();
                let heard = server.feed(NOW, &mut to_server, &mut to_client);
                to_server.clear();
                alter(&mut to_client);
                let told = client.feed(NOW, &mut to_client, &mut to_server);
                if heard.is_err() && told.is_err() {
                    break;
                }
            }
        }
    }
}

#[test]
fn resumed_sessions_keep_the_client_certificate_and_its_verdict() {
    for version in [Version::Tlsv12, Version::Tlsv13] {
        for tickets in [Some(TicketKeys::random(300)), None] {
            let sessions = tickets.is_none().then(|| SessionCache::new(100, 300));
            let ignored = IgnoreErrors::These(vec![code::CERT_HAS_EXPIRED]);
            let mut setup = Setup { tickets, sessions, verify: Some((true, ignored, false)), ..Setup::new(version) };
            setup.client_certificate = Some(setup.authority.issue("me", (2020, 2021)));
            let (line, client) = (setup.line(), setup.client("http/1.1"));
            connect(&line, &client, "www.example", 1 << 20).unwrap().exchange(1 << 20);
            let pair = connect(&line, &client, "www.example", 1 << 20).unwrap();
            let facts = pair.server.facts();
            assert!(facts.resumed);
            assert_eq!((facts.peer_chain.len(), facts.verify.result, facts.verify.presented), (1, 10, true));
        }
    }
}

#[test]
fn tickets_received_are_dated_by_the_loop() {
    let setup = Setup { tickets: Some(TicketKeys::random(300)), ..Setup::new(Version::Tlsv13) };
    let (line, client) = (setup.line(), setup.client("x"));
    connect(&line, &client, "www.example", 1 << 20).unwrap().exchange(1 << 20);
    // A ticket that has outlived its lifetime is not offered.
    let mut hello = Vec::new();
    Session::client(client.clone(), Some("www.example"), RecordSizes::default(), NOW + 301, &mut hello).unwrap();
    let Peek::Complete(peeked) = hello::peek(&hello) else { panic!() };
    assert!(!peeked.parse().unwrap().has_psk);
    connect(&line, &client, "www.example", 1 << 20).unwrap().exchange(1 << 20);
    let mut hello = Vec::new();
    Session::client(client, Some("www.example"), RecordSizes::default(), NOW + 299, &mut hello).unwrap();
    let Peek::Complete(peeked) = hello::peek(&hello) else { panic!() };
    assert!(peeked.parse().unwrap().has_psk);
}
