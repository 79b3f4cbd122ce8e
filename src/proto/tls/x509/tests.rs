//! Against what HAProxy 3.4.0 told of the same certificate.

use super::*;
use base64::Engine;

/// Made with `openssl req -x509`; nobody kept its key.
const CERTIFICATE: &str = "\
MIIEPjCCAyagAwIBAgIFAKGyw9QwDQYJKoZIhvcNAQELBQAwgZMxCzAJBgNVBAYTAkZSMQ0wCwYDVQQIDATDjmxlMQ4wDAYDVQQH\
DAVQYXJpczERMA8GA1UECgwIRm9vLCBJbmMxDDAKBgNVBAsMA09uZTEMMAoGA1UECwwDVHdvMRAwDgYDVQQDDAdhL2IrYyB4MRcw\
FQYJKoZIhvcNAQkBFghtZUB4Lm9yZzELMAkGA1UEBRMCNzcwHhcNMjYxMTI2MDEzOTQyWhcNMjYxMjI2MDEzOTQyWjCBkzELMAkG\
A1UEBhMCRlIxDTALBgNVBAgMBMOObGUxDjAMBgNVBAcMBVBhcmlzMREwDwYDVQQKDAhGb28sIEluYzEMMAoGA1UECwwDT25lMQww\
CgYDVQQLDANUd28xEDAOBgNVBAMMB2EvYitjIHgxFzAVBgkqhkiG9w0BCQEWCG1lQHgub3JnMQswCQYDVQQFEwI3NzCCASIwDQYJ\
KoZIhvcNAQEBBQADggEPADCCAQoCggEBAOrGnTwVKDgMe2FV0vlaeoJlhNsp5NYHq8me55fLHo8LUUqh0X9MIqePvFm2U0Et0dWt\
R7vVFXc+gQU6bAUqcifSLRjvfpDxx9vzjqi1GNuF+5geCFd2rZWh5VHTvk/eiZN+BffZNpaJY7OhMN3bVFUJuXq+nseqKZMvkM5z\
LWSTGy88/atm3j2gygI3l+Ai5HIaA/Jy9OC4EtKbAtKUTmlvy4TRUf/y+Rr0DYIvj1+q3FC96XnzAmuZCkG+sen81N/WplOCeJy0\
5EQrXSohnlNQO4k7a47U+4fXti5Jmv1CUaqfUSXU9WzxD84LhxVEDROfBScb2fyvq5vjIf9c53cCAwEAAaOBljCBkzByBgNVHREE\
azBpgglhLmV4YW1wbGWCCyouYi5leGFtcGxlhwR/AAABhxAAAAAAAAAAAAAAAAAAAAABhglodHRwOi8veC+BCG1lQHgub3JnpB0w\
GzELMAkGA1UEBhMCRlIxDDAKBgNVBAMMA3plZIgDKgMEMB0GA1UdDgQWBBTR0ThpEZ6khMomJNivtnf9CxBrtjANBgkqhkiG9w0B\
AQsFAAOCAQEAE2LOZqsb3A7ckbu9p9deeHon+UybZ+sty6YaHqKQtFo/f0jLk61WI6g6o59FpsnwldIZpz0o1li2ERuo8TtpqJZX\
2Bk/cU+xRZLkj0BURFKYXpceNo4nYzeKJNQNJVRKTw60KgswPMZFZoUjrS1csHTY5e5P1T61JzEu8+aC6oh1+NXqOUNh7HxyaHEE\
6TWDGJmT/XP7rAuJc44YEnVHG3IggOrfy4WyUoCthHG/zmqyvIS4EDX3YOd5zCG21XX5yUlvjCwEv7gZfBQYe2+EReDZPLOF1Vmc\
339PnwktZh9tRmC++CDK+7UOOG3CweRk4rql08ZNPWuVvwlYN4F6Yg==";

fn der() -> Vec<u8> {
    base64::engine::general_purpose::STANDARD.decode(CERTIFICATE).unwrap()
}

fn dn(entry: &str, occurrence: i64, rfc2253: bool) -> Option<String> {
    let der = der();
    let certificate = Certificate::parse(&der).unwrap();
    let mut out = Vec::new();
    let there = certificate.dn(Name::Subject, DnSelector { entry, occurrence, rfc2253 }, &mut out);
    there.then(|| String::from_utf8(out).unwrap())
}

#[test]
fn names_read_as_haproxy_writes_them() {
    assert_eq!(
        dn("", 0, false).unwrap(),
        "/C=FR/ST=Île/L=Paris/O=Foo, Inc/OU=One/OU=Two/CN=a/b+c x/emailAddress=me@x.org/serialNumber=77"
    );
    assert_eq!(
        dn("", 0, true).unwrap(),
        "serialNumber=77,emailAddress=me@x.org,CN=a/b\\+c x,OU=Two,OU=One,O=Foo\\, Inc,L=Paris,ST=\\C3\\8Ele,C=FR"
    );
    for (occurrence, expected) in [(1, "One"), (2, "Two"), (-1, "Two"), (-2, "One")] {
        assert_eq!(dn("OU", occurrence, false).as_deref(), Some(expected), "{occurrence}");
    }
    assert_eq!(dn("OU", 0, false), None);
    assert_eq!(dn("OU", 3, false), None);
    assert_eq!(dn("OU", -3, false), None);
    assert_eq!(dn("DC", 1, false), None);
    assert_eq!(dn("emailAddress", 1, false).as_deref(), Some("me@x.org"));
}

#[test]
fn facts_read_as_haproxy_writes_them() {
    let der = der();
    let certificate = Certificate::parse(&der).unwrap();
    assert_eq!(certificate.serial(), [0xa1, 0xb2, 0xc3, 0xd4]);
    assert_eq!(certificate.not_before(), "261126013942Z");
    assert_eq!(certificate.not_after(), "261226013942Z");
    assert_eq!(certificate.key_algorithm(), "rsaEncryption");
    assert_eq!(certificate.signature_algorithm(), "RSA-SHA256");
    assert_eq!(certificate.version(), 3);
    let sha1: String = certificate.sha1().iter().map(|b| format!("{b:02X}")).collect();
    assert_eq!(sha1, "8D214461709AF2FCA857170FD54DA425BCF33F74");
    assert_eq!(
        certificate.san(),
        "DNS:a.example, DNS:*.b.example, IP Address:127.0.0.1, IP Address:0:0:0:0:0:0:0:1, URI:http://x/, \
         email:me@x.org, DirName:C = FR, CN = zed, Registered ID:1.2.3.4"
    );
    assert_eq!(certificate.san_of_show(), "DNS:a.example, DNS:*.b.example, , , , , , ");
    assert_eq!(certificate.key_description(), "RSA2048");
    assert_eq!(certificate.validity_text().0, "Nov 26 01:39:42 2026 GMT");
    assert!(certificate.is_self_issued());
    assert_eq!(certificate.validity_at(0), Validity::NotYet);
    assert_eq!(certificate.validity_at(u64::MAX), Validity::Expired);
}

#[test]
fn hosts_match_alternative_names() {
    let der = der();
    let certificate = Certificate::parse(&der).unwrap();
    for host in ["a.example", "A.Example", "x.b.example", "127.0.0.1", "::1", "a/b+c x"] {
        assert!(certificate.matches_host(host), "{host}");
    }
    for host in ["b.example", "x.y.b.example", ".b.example", "c.example", "127.0.0.2"] {
        assert!(!certificate.matches_host(host), "{host}");
    }
    for (pattern, host, matches) in [
        ("f*.p.example", "foo.p.example", true),
        ("f*.p.example", "f.p.example", true),
        ("f*.p.example", "g.p.example", false),
        ("f*o.p.example", "fo.p.example", true),
        ("f*o.p.example", "f.p.example", false),
        ("x.*.example", "x.y.example", false),
        ("*", "a", false),
    ] {
        assert_eq!(name_matches(pattern, host), matches, "{pattern} {host}");
    }
}

#[test]
fn cut_certificates_are_refused() {
    let der = der();
    for end in 0..der.len() {
        assert!(Certificate::parse(&der[..end]).is_none());
    }
}
