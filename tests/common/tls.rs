//! Certificates made while tests run, and a TLS client of another implementation's state machine: rustls's buffered one.

use super::BOUND;
use super::directory::Directory;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair, SerialNumber};
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::CryptoProvider;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime};
use rustls::{ClientConfig, ClientConnection, RootCertStore, StreamOwned, SupportedProtocolVersion};
use rustls::{DigitallySignedStruct, Error, SignatureScheme};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::Arc;

/// An authority and what it issues.
pub struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    /// Itself and those above it but the root: empty, if it is one.
    chain: Vec<CertificateDer<'static>>,
}

/// A certificate with its key.
pub struct Issued {
    pub der: CertificateDer<'static>,
    key: KeyPair,
    pub pem: String,
    /// What is sent with it.
    pub chain: Vec<CertificateDer<'static>>,
}

impl Authority {
    pub fn new(name: &str) -> Authority {
        let key = KeyPair::generate().expect("a key");
        let issuer = CertifiedIssuer::self_signed(Authority::params(name), key).expect("an authority");
        Authority { issuer, chain: Vec::new() }
    }

    /// An authority below this one.
    pub fn under(&self, name: &str) -> Authority {
        let key = KeyPair::generate().expect("a key");
        let params = Authority::params(name);
        let issuer = CertifiedIssuer::signed_by(params, key, &self.issuer).expect("an authority");
        let chain = std::iter::once(issuer.der().clone()).chain(self.chain.iter().cloned()).collect();
        Authority { issuer, chain }
    }

    fn params(name: &str) -> CertificateParams {
        let mut params = CertificateParams::new(vec![]).expect("parameters");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![rcgen::KeyUsagePurpose::KeyCertSign, rcgen::KeyUsagePurpose::CrlSign];
        params
    }

    /// For the names, the first of them the common name too.
    pub fn issue(&self, names: &[&str], rsa: bool, serial: u64) -> Issued {
        self.issue_as(names, rsa, serial, |_| ())
    }

    /// The same with something else in it.
    pub fn issue_as(
        &self,
        names: &[&str],
        rsa: bool,
        serial: u64,
        edit: impl FnOnce(&mut CertificateParams),
    ) -> Issued {
        let names: Vec<String> = names.iter().map(|n| (*n).to_owned()).collect();
        let mut params = CertificateParams::new(names.clone()).expect("parameters");
        params.distinguished_name.push(rcgen::DnType::CommonName, names[0].as_str());
        params.serial_number = Some(SerialNumber::from(serial));
        edit(&mut params);
        let algorithm = if rsa { &rcgen::PKCS_RSA_SHA256 } else { &rcgen::PKCS_ECDSA_P256_SHA256 };
        let key = KeyPair::generate_for(algorithm).expect("a key");
        let certificate = params.signed_by(&key, &self.issuer).expect("a certificate");
        let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
        Issued { der: certificate.der().clone(), key, pem, chain: self.chain.clone() }
    }

    pub fn der(&self) -> &CertificateDer<'static> {
        self.issuer.der()
    }

    pub fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.issuer.der().clone()).expect("a root");
        roots
    }

    pub fn pem(&self) -> String {
        self.issuer.pem()
    }

    /// A list that revokes this serial.
    pub fn revocations(&self, serial: u64) -> String {
        let params = rcgen::CertificateRevocationListParams {
            this_update: rcgen::date_time_ymd(2020, 1, 1),
            next_update: rcgen::date_time_ymd(2050, 1, 1),
            crl_number: SerialNumber::from(1),
            issuing_distribution_point: None,
            revoked_certs: vec![rcgen::RevokedCertParams {
                serial_number: SerialNumber::from(serial),
                revocation_time: rcgen::date_time_ymd(2021, 1, 1),
                reason_code: None,
                invalidity_date: None,
            }],
            key_identifier_method: rcgen::KeyIdMethod::Sha256,
        };
        params.signed_by(&self.issuer).expect("a list").pem().expect("as PEM")
    }

    /// Writes what configurations name: the authority as `ca.pem`.
    pub fn write(&self, directory: &Directory) -> String {
        directory.write("ca.pem", self.pem())
    }

    /// How to speak to what it certifies.
    pub fn client(&self) -> Settings {
        Settings {
            roots: self.roots(),
            versions: rustls::ALL_VERSIONS.to_vec(),
            alpn: Vec::new(),
            identity: None,
            rsa_only: false,
            trusts_all: false,
        }
    }
}

impl Issued {
    /// Signed by nobody else.
    pub fn self_signed(name: &str, serial: u64) -> Issued {
        let mut params = CertificateParams::new(vec![name.to_owned()]).expect("parameters");
        params.distinguished_name.push(rcgen::DnType::CommonName, name);
        params.serial_number = Some(SerialNumber::from(serial));
        let key = KeyPair::generate().expect("a key");
        let certificate = params.self_signed(&key).expect("a certificate");
        let pem = format!("{}{}", certificate.pem(), key.serialize_pem());
        Issued { der: certificate.der().clone(), key, pem, chain: Vec::new() }
    }

    /// As the library takes it: what is sent, and the key.
    pub fn identity(&self) -> (Vec<CertificateDer<'static>>, PrivateKeyDer<'static>) {
        let sent = std::iter::once(&self.der).chain(&self.chain).cloned().collect();
        (sent, PrivateKeyDer::try_from(self.key.serialize_der()).expect("a key"))
    }
}

/// What a client says of itself.
#[derive(Clone)]
pub struct Settings {
    roots: RootCertStore,
    versions: Vec<&'static SupportedProtocolVersion>,
    alpn: Vec<Vec<u8>>,
    identity: Option<(Vec<CertificateDer<'static>>, Arc<PrivateKeyDer<'static>>)>,
    rsa_only: bool,
    trusts_all: bool,
}

impl Settings {
    pub fn version(mut self, version: &'static SupportedProtocolVersion) -> Settings {
        self.versions = vec![version];
        self
    }

    pub fn alpn(mut self, names: &[&str]) -> Settings {
        self.alpn = names.iter().map(|n| n.as_bytes().to_vec()).collect();
        self
    }

    pub fn identity(mut self, issued: &Issued) -> Settings {
        let (sent, key) = issued.identity();
        self.identity = Some((sent, Arc::new(key)));
        self
    }

    /// Takes any certificate, whatever its name and issuer.
    pub fn trusting_all(mut self) -> Settings {
        self.trusts_all = true;
        self
    }

    /// Takes RSA certificates alone (TLS 1.2).
    pub fn rsa_only(mut self) -> Settings {
        self.rsa_only = true;
        self
    }

    /// Connections of one configuration share their sessions.
    pub fn build(self) -> Arc<ClientConfig> {
        let mut provider = rustls::crypto::aws_lc_rs::default_provider();
        if self.rsa_only {
            provider.cipher_suites.retain(|s| format!("{:?}", s.suite()).contains("_RSA_"));
        }
        let builder = ClientConfig::builder_with_provider(Arc::new(provider))
            .with_protocol_versions(&self.versions)
            .expect("versions")
            .with_root_certificates(self.roots);
        let mut config = match self.identity {
            None => builder.with_no_client_auth(),
            Some((sent, key)) => builder.with_client_auth_cert(sent, key.clone_key()).expect("an identity"),
        };
        config.alpn_protocols = self.alpn;
        if self.trusts_all {
            let trusts_all = Arc::new(TrustsAll(config.crypto_provider().clone()));
            config.dangerous().set_certificate_verifier(trusts_all);
        }
        Arc::new(config)
    }
}

/// Finds any certificate good, but checks who holds its key.
#[derive(Debug)]
struct TrustsAll(Arc<CryptoProvider>);

impl ServerCertVerifier for TrustsAll {
    fn verify_server_cert(
        &self,
        _: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, Error> {
        Ok(ServerCertVerified::assertion())
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls12_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        cert: &CertificateDer<'_>,
        dss: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, Error> {
        rustls::crypto::verify_tls13_signature(message, cert, dss, &self.0.signature_verification_algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.0.signature_verification_algorithms.supported_schemes()
    }
}

pub type Stream = StreamOwned<ClientConnection, TcpStream>;

/// A connection whose handshake is over, or why it failed.
pub fn connect(config: &Arc<ClientConfig>, port: u16, name: &str) -> std::io::Result<Stream> {
    handshake(config, TcpStream::connect(("127.0.0.1", port))?, name)
}

/// The same on a connection that is there.
pub fn handshake(config: &Arc<ClientConfig>, mut tcp: TcpStream, name: &str) -> std::io::Result<Stream> {
    tcp.set_read_timeout(Some(BOUND))?;
    tcp.set_write_timeout(Some(BOUND))?;
    tcp.set_nodelay(true)?;
    let name = ServerName::try_from(name.to_owned()).expect("a name");
    let mut connection = ClientConnection::new(config.clone(), name).expect("a connection");
    while connection.is_handshaking() {
        connection.complete_io(&mut tcp)?;
    }
    Ok(StreamOwned::new(connection, tcp))
}

/// One request on a connection that is closed after it; the whole answer, which must end with close_notify.
pub fn ask(stream: &mut Stream, path: &str) -> std::io::Result<String> {
    stream.write_all(format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n").as_bytes())?;
    let mut answer = Vec::new();
    stream.read_to_end(&mut answer)?;
    Ok(String::from_utf8_lossy(&answer).into_owned())
}

/// The value of a field of an answer.
pub fn field<'a>(answer: &'a str, name: &str) -> Option<&'a str> {
    let mut fields = answer.lines().filter_map(|l| l.split_once(": "));
    fields.find(|(n, _)| n.eq_ignore_ascii_case(name)).map(|(_, v)| v)
}

/// Subject and serial, to tell certificates apart.
pub fn subject(der: &[u8]) -> String {
    let (_, certificate) = x509_parser::parse_x509_certificate(der).expect("a certificate");
    format!("{} {:x}", certificate.subject(), certificate.serial)
}
