//! A server line's TLS, from its words to the settings that each worker makes its client context of.

use super::certificate::LoadError;
use super::store::Store;
use super::trust::ServerTrust;
use crate::model::tls::{ServerTls, ServerVerify, TlsGlobal, TlsOptions, TrustedCa};
use crate::proto::tls::client::ClientSettings;
use crate::proto::tls::policy::{self, Written};
use crate::proto::tls::verify::{ServerVerifier, Trust};
use arc_swap::ArcSwap;
use std::path::Path;
use std::sync::Arc;

/// A message that keeps the server line from working; texts are HAProxy's.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ServerError {
    /// Follows `config : [<file>:<line>] : 'server <backend>/<name>' : `, then a second message after `config : `.
    File(String, String),
    /// Follows `[<file>:<line>] : 'server <backend>/<name>' : `.
    Server(String),
}

/// Builds what traffic (`check`: checks) of a server runs with. A warning names what the line asks for and the library
/// lacks; it follows `[<file>:<line>] : 'server <backend>/<name>' : `.
pub fn settings(
    tls: &ServerTls,
    check: bool,
    global: &TlsGlobal,
    store: &Store,
) -> Result<(ClientSettings, Option<String>), ServerError> {
    let server = |text: String| ServerError::Server(text);
    let line = TlsOptions {
        versions: tls.versions,
        ciphers: tls.ciphers.clone(),
        ciphersuites: tls.ciphersuites.clone(),
        curves: tls.curves.clone(),
        ..TlsOptions::default()
    };
    let line = line.over(&global.server);
    let policy = policy::resolve(&Written {
        versions: line.versions,
        ciphers: line.ciphers.as_deref(),
        ciphersuites: line.ciphersuites.as_deref(),
        curves: line.curves.as_deref(),
    })
    .map_err(|e| server(e.server_text()))?;
    let ca = match (tls.verify, &tls.ca) {
        (ServerVerify::None, _) => None,
        (ServerVerify::Required, None) => {
            return Err(server(
                "verify is enabled by default but no CA file specified. If you're running on a LAN where you're certain \
                 to trust the server's certificate, please set an explicit 'verify none' statement on the 'server' line, \
                 or use 'ssl-server-verify none' in the global section to disable server-side verifications by default."
                    .to_owned(),
            ));
        }
        (ServerVerify::Required, Some(ca)) => Some(match ca {
            TrustedCa::File(path) => path,
            TrustedCa::System => Path::new("@system-ca"),
        }),
    };
    let crl = tls.crl_file.as_deref();
    let trust = ca.map(|ca| load_trust(store, ca, crl)).transpose()?;
    let verifier = ServerVerifier::new(policy.provider.clone(), trust, tls.verifyhost.clone())
        .map_err(|_| server("'ca-file' or 'crl-file' cannot be used.".to_owned()))?;
    let verifier = Arc::new(ArcSwap::new(verifier));
    // What checks use of a server that traffic reaches over TLS is no user of its own.
    let counted = !check || !tls.ssl;
    if let Some(ca) = ca {
        store.register_server(ServerTrust {
            ca: ca.to_owned(),
            crl: crl.map(Path::to_owned),
            provider: policy.provider.clone(),
            verifyhost: tls.verifyhost.clone(),
            verifier: Arc::downgrade(&verifier),
            counted,
        });
    }
    let certificate = match &tls.crt {
        Some(path) => {
            let slot = store.load(path, None, None).map_err(|LoadError(e)| server(e))?;
            Some(store.shown(slot, counted) as _)
        }
        None => None,
    };
    let warning = policy.warning("the line");
    let alpn = match (check, &tls.check_alpn) {
        (true, Some(list)) => list,
        _ => &tls.alpn,
    };
    let settings = ClientSettings {
        policy,
        alpn: alpn.iter().map(|p| p.as_bytes().to_vec()).collect(),
        verifier,
        certificate,
        reuse: !tls.no_ssl_reuse,
        tickets: !(tls.no_tls_tickets || global.server_no_tls_tickets),
        keylog: global.keylog,
    };
    Ok((settings, warning))
}

/// Loads the trust files that a line names into the store, so that errors are told where the line is read.
pub fn preload(tls: &ServerTls, store: &Store) -> Result<(), ServerError> {
    let crl = tls.crl_file.as_deref();
    match &tls.ca {
        Some(TrustedCa::File(path)) => load_trust(store, path, crl).map(drop),
        Some(TrustedCa::System) => load_trust(store, Path::new("@system-ca"), crl).map(drop),
        None => match crl {
            Some(crl) => store.revocations(crl).map(drop).map_err(|why| refused("crl-file", crl, &why)),
            None => Ok(()),
        },
    }
}

fn load_trust(store: &Store, ca: &Path, crl: Option<&Path>) -> Result<Arc<Trust>, ServerError> {
    store
        .trust(ca, crl)
        .map_err(|(file, why)| refused(if Some(file.as_path()) == crl { "crl-file" } else { "ca-file" }, &file, &why))
}

fn refused(word: &str, file: &Path, why: &str) -> ServerError {
    let file = file.display();
    ServerError::File(
        format!("Couldn't open the ca-file '{file}' ({why})."),
        format!("'{word}' : unable to load {file}."),
    )
}
