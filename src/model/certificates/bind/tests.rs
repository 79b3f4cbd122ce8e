//! Bind lines made from files, asked by clients in memory.

use super::*;
use crate::model::certificates::certificate::Beside;
use crate::model::tls::{ServerTls, TrustedCa};
use crate::proto::tls::client::ClientContext;
use crate::proto::tls::session::{Facts, RecordSizes, Session};
use rcgen::{CertificateParams, KeyPair};
use std::fs;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU32, Ordering};

const NOW: u64 = 1_800_000_000;

/// A directory that is gone after the test.
struct Files(PathBuf);

impl Files {
    fn new() -> Files {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let name = format!("ringway-tls-{}-{}", std::process::id(), NEXT.fetch_add(1, Ordering::Relaxed));
        let path = std::env::temp_dir().join(name);
        fs::create_dir_all(&path).unwrap();
        Files(path)
    }

    fn write(&self, name: &str, text: impl AsRef<[u8]>) -> PathBuf {
        let path = self.0.join(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, text).unwrap();
        path
    }

    /// A self-signed certificate and key in one file.
    fn certificate(&self, name: &str, hosts: &[&str], rsa: bool) -> PathBuf {
        let (certificate, key) = make(hosts, rsa);
        self.write(name, certificate + &key)
    }
}

impl Drop for Files {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

fn make(hosts: &[&str], rsa: bool) -> (String, String) {
    let algorithm = if rsa { &rcgen::PKCS_RSA_SHA256 } else { &rcgen::PKCS_ECDSA_P256_SHA256 };
    let key = KeyPair::generate_for(algorithm).unwrap();
    let mut params = CertificateParams::new(hosts.iter().map(|h| (*h).to_owned()).collect::<Vec<_>>()).unwrap();
    params.distinguished_name = rcgen::DistinguishedName::new();
    params.distinguished_name.push(rcgen::DnType::CommonName, hosts[0]);
    (params.self_signed(&key).unwrap().pem(), key.serialize_pem())
}

struct World {
    global: TlsGlobal,
    store: Arc<Store>,
    tickets: Arc<TicketKeys>,
    sessions: Arc<SessionCache>,
}

impl World {
    fn new() -> World {
        World {
            global: TlsGlobal::default(),
            store: Store::new(Beside::default()),
            tickets: TicketKeys::random(300),
            sessions: SessionCache::new(100, 300),
        }
    }

    fn build(&self, tls: &BindTls) -> Result<(Arc<BindContext>, Vec<String>), Vec<BindError>> {
        let mut warnings = Vec::new();
        let around = Surroundings {
            global: Arc::new(self.global.clone()),
            store: self.store.clone(),
            proxy: "web".into(),
            origin: "f:1".into(),
            line: "bind ':443' at [f:1]".into(),
            http: true,
            tickets: self.tickets.clone(),
            sessions: self.sessions.clone(),
        };
        BindContext::build(tls, around, &mut warnings).map(|c| (c, warnings))
    }

    fn crt(&self, files: &[&Path]) -> Arc<BindContext> {
        self.build(&line(files)).map_err(|e| format!("{e:?}")).unwrap().0
    }
}

fn line(files: &[&Path]) -> BindTls {
    BindTls { sources: files.iter().map(|f| CertificateSource::Crt(f.to_path_buf())).collect(), ..BindTls::default() }
}

/// Connects with the words of a server line; the server's facts, or its error.
fn ask(bind: &Arc<BindContext>, name: Option<&str>, words: &ServerTls) -> Result<Facts, TlsError> {
    let world = World::new();
    let (settings, _) = super::super::server::settings(words, false, &world.global, &world.store).unwrap();
    let context = ClientContext::new(&settings, &settings.in_force()).unwrap();
    let mut to_server = Vec::new();
    let mut client = Session::client(context, name, RecordSizes::default(), NOW, &mut to_server)?;
    let mut server = Session::server(bind.clone(), RecordSizes::default());
    while !server.is_established() {
        let mut to_client = Vec::new();
        server.feed(NOW, &mut to_server, &mut to_client)?;
        to_server.clear();
        client.feed(NOW, &mut to_client, &mut to_server)?;
    }
    Ok(server.facts().clone())
}

fn anyone() -> ServerTls {
    ServerTls { verify: ServerVerify::None, alpn: vec!["http/1.1".into()], ..ServerTls::default() }
}

use crate::model::tls::ServerVerify;

fn shown(bind: &Arc<BindContext>, name: Option<&str>, words: &ServerTls) -> String {
    let facts = ask(bind, name, words).unwrap();
    let path = facts.certificate_name.unwrap();
    path.rsplit('/').next().unwrap().to_owned()
}

#[test]
fn certificates_are_chosen_by_name_and_kind_of_key() {
    let files = Files::new();
    let world = World::new();
    let a = files.certificate("a.pem", &["a.example", "*.w.example"], false);
    let b = files.certificate("b.pem", &["b.example"], false);
    let rsa = files.certificate("b.rsa", &["b.example"], true);
    let bind = world.crt(&[&a, &rsa, &b]);
    for (name, file) in [
        (Some("a.example"), "a.pem"),
        (Some("x.w.example"), "a.pem"),
        (Some("B.example"), "b.pem"),
        (Some("c.example"), "a.pem"),
        (None, "a.pem"),
    ] {
        assert_eq!(shown(&bind, name, &anyone()), file, "{name:?}");
    }
    let mut rsa_only = ServerTls { ciphers: Some("ECDHE-RSA-AES128-GCM-SHA256".into()), ..anyone() };
    rsa_only.versions.force(crate::model::tls::Version::Tlsv12);
    assert_eq!(shown(&bind, Some("b.example"), &rsa_only), "b.rsa");
    let facts = ask(&bind, Some("b.example"), &rsa_only).unwrap();
    assert_eq!((facts.cipher, facts.version), ("ECDHE-RSA-AES128-GCM-SHA256", "TLSv1.2"));
    assert_eq!(facts.alpn.as_deref(), Some(&b"http/1.1"[..]));
}

#[test]
fn strict_sni_refuses_unknown_names() {
    let files = Files::new();
    let world = World::new();
    let a = files.certificate("a.pem", &["a.example"], false);
    let (bind, _) = world.build(&BindTls { strict_sni: true, ..line(&[&a]) }).map_err(|e| format!("{e:?}")).unwrap();
    assert_eq!(shown(&bind, Some("a.example"), &anyone()), "a.pem");
    assert_eq!(ask(&bind, Some("b.example"), &anyone()).unwrap_err(), TlsError::UnknownName);
    assert_eq!(ask(&bind, None, &anyone()).unwrap_err(), TlsError::UnknownName);
}

#[test]
fn directories_bundles_keys_beside_and_lists_are_read() {
    let files = Files::new();
    let world = World::new();
    files.certificate("dir/b.pem", &["b.example"], false);
    files.certificate("dir/a.pem", &["a.example"], false);
    files.write("dir/a.pem.issuer", "junk");
    files.write("dir/.hidden", "junk");
    let (certificate, key) = make(&["k.example"], false);
    let beside = files.write("k.pem", certificate);
    files.write("k.pem.key", key);
    files.certificate("w.pem.rsa", &["w.example"], true);
    files.certificate("w.pem.ecdsa", &["w.example"], false);
    let bind = world.crt(&[&files.0.join("dir"), &beside, &files.0.join("w.pem")]);
    assert_eq!(bind.len(), 5);
    assert_eq!(shown(&bind, None, &anyone()), "a.pem");
    assert_eq!(shown(&bind, Some("k.example"), &anyone()), "k.pem");
    assert_eq!(shown(&bind, Some("w.example"), &anyone()), "w.pem.ecdsa");

    let list = format!(
        "{0}/dir/a.pem\n{0}/dir/b.pem [alpn other ssl-max-ver TLSv1.2] *.f.example !no.f.example\n{0}/k.pem *\n",
        files.0.display()
    );
    let list = files.write("list", list);
    let tls = BindTls { sources: vec![CertificateSource::CrtList(list)], ..BindTls::default() };
    let (bind, warnings) = world.build(&tls).map_err(|e| format!("{e:?}")).unwrap();
    assert!(warnings.is_empty());
    assert_eq!(shown(&bind, Some("x.f.example"), &anyone()), "b.pem");
    assert_eq!(ask(&bind, Some("x.f.example"), &anyone()).unwrap().version, "TLSv1.2");
    assert_eq!(ask(&bind, Some("x.f.example"), &anyone()).unwrap().alpn, None);
    assert_eq!(shown(&bind, Some("no.f.example"), &anyone()), "a.pem");
    assert_eq!(shown(&bind, Some("b.example"), &anyone()), "a.pem", "filters replace the certificate's names");
}

#[test]
fn bad_files_have_haproxys_errors() {
    let files = Files::new();
    let world = World::new();
    let (certificate, key) = make(&["a.example"], false);
    let (_, other) = make(&["a.example"], false);
    let at = |name: &str| files.0.join(name).display().to_string();
    let cases = [
        ("none.pem", None, "unable to stat SSL certificate from file '{}' : No such file or directory."),
        ("empty.pem", Some(String::new()), "unable to load certificate from file '{}': no start line."),
        ("key.pem", Some(key.clone()), "unable to load certificate from file '{}': no start line."),
        ("crt.pem", Some(certificate.clone()), "No Private Key found in '{}.key'."),
        (
            "mixed.pem",
            Some(certificate.clone() + &other),
            "inconsistencies between private key and certificate loaded '{}'.",
        ),
        (
            "cut.pem",
            Some(certificate[..202].to_owned() + "\n-----END CERTIFICATE-----\n" + &key),
            "unable to load certificate from file '{}': wrong tag.",
        ),
        (
            "end.pem",
            Some(certificate.replace("-----END CERTIFICATE-----", "")),
            "unable to load certificate from file '{}': bad end line.",
        ),
    ];
    for (name, text, error) in cases {
        let path = match text {
            Some(text) => files.write(name, text),
            None => files.0.join(name),
        };
        let found = world.build(&line(&[&path])).err().unwrap();
        assert_eq!(found, [BindError::Parse(error.replace("{}", &at(name)))]);
    }
    let found = world.build(&BindTls::default()).err().unwrap();
    let text = "no SSL certificate specified for bind ':443' at [f:1] (use 'crt').";
    assert_eq!(found, [BindError::Proxy(text.into())]);
}

#[test]
fn bad_settings_have_haproxys_errors() {
    let files = Files::new();
    let world = World::new();
    let a = files.certificate("a.pem", &["a.example"], false);
    let with = |options: TlsOptions| world.build(&BindTls { options, ..line(&[&a]) }).err().unwrap();
    let ciphers = with(TlsOptions { ciphers: Some("FOO".into()), ..TlsOptions::default() });
    let text = "unable to set SSL cipher list to 'FOO' for bind ':443' at [f:1].";
    assert_eq!(ciphers, [BindError::Proxy(text.into())]);
    let verify = with(TlsOptions { verify: Some(Verify::Required), ..TlsOptions::default() });
    let text = "verify is enabled but no CA file specified for bind ':443' at [f:1].";
    assert_eq!(verify, [BindError::Proxy(text.into())]);
    let none = Some("/none".into());
    let ca = with(TlsOptions { verify: Some(Verify::Required), ca_file: none, ..TlsOptions::default() });
    assert_eq!(
        ca,
        [
            BindError::Alert("Couldn't open the ca-file '/none' (No such file or directory).".into()),
            BindError::Parse("'ca-file' : unable to load /none".into()),
        ]
    );
}

#[test]
fn certificates_are_replaced_while_running() {
    let files = Files::new();
    let world = World::new();
    let a = files.certificate("a.pem", &["a.example"], false);
    let b = files.certificate("b.pem", &["b.example"], false);
    let bind = world.crt(&[&a, &b]);
    let name = b.display().to_string();
    let (certificate, key) = make(&["new.example"], false);
    let store = &world.store;
    let stranger = store.set("other", b"").unwrap_err();
    assert_eq!(
        stranger,
        "Can't replace a certificate which is not referenced by the configuration!\nCan't update other!\n"
    );
    let bad = store.set(&name, b"foo").unwrap_err();
    assert!(bad.starts_with(&format!(
        "unable to load certificate from file '{name}': no start line.\nCan't load the payload"
    )));
    assert_eq!(store.commit(&name).unwrap_err(), format!("No ongoing transaction! !\nCan't commit {name}!\n"));
    let payload = certificate + &key;
    assert_eq!(store.set(&name, payload.as_bytes()), Ok(format!("Transaction created for certificate {name}!\n")));
    assert_eq!(store.set(&name, payload.as_bytes()), Ok(format!("Transaction updated for certificate {name}!\n")));
    assert_eq!(shown(&bind, Some("new.example"), &anyone()), "a.pem");
    assert_eq!(store.commit(&name), Ok(format!("Committing {name}.\nSuccess!\n")));
    assert_eq!(shown(&bind, Some("new.example"), &anyone()), "b.pem");
    assert_eq!(shown(&bind, Some("b.example"), &anyone()), "a.pem");
    assert!(store.delete(&name).unwrap_err().contains("in use, can't be deleted!"));
    assert!(store.show(&name).unwrap().contains("Status: Used\nSerial: "));
    assert_eq!(store.create("/x"), Ok("New empty certificate store '/x'!\n".into()));
    assert_eq!(store.delete("/x"), Ok("Certificate '/x' deleted!\n".into()));
}

#[test]
fn servers_are_trusted_by_the_certificate_itself() {
    let files = Files::new();
    let world = World::new();
    let a = files.certificate("a.pem", &["a.example"], false);
    let bind = world.crt(&[&a]);
    let words = ServerTls { ca: Some(TrustedCa::File(a.clone())), ..ServerTls::default() };
    assert!(ask(&bind, Some("a.example"), &words).is_ok());
    assert!(ask(&bind, Some("b.example"), &words).is_err());
    let words = ServerTls { verifyhost: Some("b.example".into()), ..words };
    assert!(ask(&bind, Some("a.example"), &words).is_ok(), "what is sent counts");
    assert!(ask(&bind, None, &words).is_err());
    let words = ServerTls { verifyhost: Some("a.example".into()), ..words };
    assert!(ask(&bind, None, &words).is_ok());
    let b = files.certificate("b.pem", &["a.example"], false);
    let words = ServerTls { ca: Some(TrustedCa::File(b)), ..ServerTls::default() };
    assert!(ask(&bind, Some("a.example"), &words).is_err());
}

#[test]
fn lists_are_edited_while_running() {
    let files = Files::new();
    let world = World::new();
    let a = files.certificate("a.pem", &["a.example"], false);
    let b = files.certificate("b.pem", &["b.example"], false);
    let list = files.write("list", format!("{}\n# more\n", a.display()));
    let name = list.display().to_string();
    let tls = BindTls { sources: vec![CertificateSource::CrtList(list)], ..BindTls::default() };
    let build = || world.build(&tls).map_err(|e| format!("{e:?}")).unwrap().0;
    let (first, second) = (build(), build());
    let (store, file) = (&world.store, b.display().to_string());
    let add = |line: &str| store.add_to_list(&name, line, &world.global);
    let none = add(&file).unwrap_err();
    assert_eq!(none, format!("Can't edit the crt-list: certificate '{file}' does not exist!\n"));
    store.create(&file).unwrap();
    assert_eq!(add(&file).unwrap_err(), format!("Can't edit the crt-list: certificate '{file}' is empty!\n"));
    store.set(&file, &fs::read(&b).unwrap()).unwrap();
    store.commit(&file).unwrap();
    let inserting = format!("Inserting certificate '{file}' in crt-list '{name}'");
    assert_eq!(add(&format!("{file} [ssl-max-ver TLSv1.2] x.example")), Ok(format!("{inserting}..\nSuccess!\n")));
    for bind in [&first, &second] {
        assert_eq!(shown(bind, Some("x.example"), &anyone()), "b.pem");
        assert_eq!(ask(bind, Some("x.example"), &anyone()).unwrap().version, "TLSv1.2");
        assert_eq!(shown(bind, Some("b.example"), &anyone()), "a.pem");
    }
    let refused = add(&format!("{file} [verify required]")).unwrap_err();
    let why = "Proxy 'web': verify is enabled but no CA file specified for bind ':443' at [f:1].";
    assert_eq!(refused, format!("{inserting}.\n{why}\nFailed!\n"));
    add(&file).unwrap();
    let text = format!("# {name}\n{}:1\n{file}:3 [ssl-max-ver TLSv1.2] x.example\n{file}:4\n", a.display());
    assert_eq!(store.show_lists(Some(&name), true).unwrap(), text);
    let several = store.delete_from_list(&name, &file).unwrap_err();
    assert!(several.ends_with("please specify a line number preceded by colons (3, 4)!\n"), "{several}");
    store.delete_from_list(&name, &format!("{file}:3")).unwrap();
    assert_eq!(shown(&first, Some("x.example"), &anyone()), "a.pem");
    assert_eq!(shown(&second, Some("b.example"), &anyone()), "b.pem");
    let default = store.delete_from_list(&name, &a.display().to_string()).unwrap_err();
    assert!(default.ends_with("used as default certificate by the following frontends:\n\t- f:1\n\t- f:1\n"));
    store.delete_from_list(&name, &file).unwrap();
    assert_eq!(shown(&first, Some("b.example"), &anyone()), "a.pem");
    assert_eq!(store.delete(&file), Ok(format!("Certificate '{file}' deleted!\n")));
}

#[test]
fn trust_files_are_replaced_while_running() {
    use crate::model::certificates::trust::Kind;
    let files = Files::new();
    let world = World::new();
    let a = files.certificate("a.pem", &["a.example"], false);
    let (b, key) = make(&["client"], false);
    let client = files.write("client.pem", b.clone() + &key);
    let options = TlsOptions { verify: Some(Verify::Required), ca_file: Some(a.clone()), ..TlsOptions::default() };
    let bind = world.build(&BindTls { options, ..line(&[&a]) }).map_err(|e| format!("{e:?}")).unwrap().0;
    let words = ServerTls { crt: Some(client), ..anyone() };
    let (store, name) = (&world.store, a.display().to_string());
    assert!(ask(&bind, None, &words).is_err());
    let set = |text: &str, more| store.with_trust(|f| f.set(Kind::Ca, &name, text.as_bytes(), more));
    assert_eq!(set("junk", true).unwrap_err(), format!("Invalid payload\nCan't update {name}!\n"));
    assert_eq!(set(&b, true), Ok(format!("transaction created for CA {name}!\n")));
    assert!(ask(&bind, None, &words).is_err(), "not committed");
    assert_eq!(store.commit_trust(Kind::Ca, &name), Ok(format!("Committing {name}.\nSuccess!\n")));
    assert!(ask(&bind, None, &words).is_ok());
    assert!(store.with_trust(|f| f.list(Kind::Ca)).ends_with(" - 2 certificate(s)\n"));
    set(&make(&["other"], false).0, false).unwrap();
    store.commit_trust(Kind::Ca, &name).unwrap();
    assert!(ask(&bind, None, &words).is_err());
    let used = store.users_of_trust(&name);
    let refused = store.with_trust(|f| f.delete(Kind::Ca, &name, used)).unwrap_err();
    assert_eq!(refused, format!("Can't remove the CA file: CA file '{name}' in use, can't be deleted!\n"));
}

#[test]
fn servers_learn_of_replaced_trust_files() {
    use crate::model::certificates::trust::Kind;
    let files = Files::new();
    let world = World::new();
    let a = files.certificate("a.pem", &["a.example"], false);
    let b = files.certificate("b.pem", &["b.example"], false);
    let words = ServerTls { ca: Some(TrustedCa::File(b.clone())), ..ServerTls::default() };
    let (settings, _) = super::super::server::settings(&words, false, &world.global, &world.store).unwrap();
    let before = settings.in_force();
    let (store, name) = (&world.store, b.display().to_string());
    store.with_trust(|f| f.set(Kind::Ca, &name, &fs::read(&a).unwrap(), false)).unwrap();
    assert!(settings.in_force() == before);
    assert_eq!(store.commit_trust(Kind::Ca, &name), Ok(format!("Committing {name}.\nSuccess!\n")));
    assert!(settings.in_force() != before);
    let bind = world.crt(&[&a]);
    let context = ClientContext::new(&settings, &settings.in_force()).unwrap();
    let mut to_server = Vec::new();
    let mut client =
        Session::client(context, Some("a.example"), RecordSizes::default(), NOW, &mut to_server).unwrap();
    let mut server = Session::server(bind, RecordSizes::default());
    while !server.is_established() {
        let mut to_client = Vec::new();
        server.feed(NOW, &mut to_server, &mut to_client).unwrap();
        to_server.clear();
        client.feed(NOW, &mut to_client, &mut to_server).unwrap();
    }
}
