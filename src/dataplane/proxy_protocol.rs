//! The PROXY protocol on both sides: what a client's connection begins with (manual 5.1 "accept-proxy"), and what a server
//! wants first (5.2 "send-proxy" and its kin).

use super::log;
use super::session::Session;
use super::stream::Exchange;
use crate::base::buf::Block;
use crate::base::clock::Millis;
use crate::engine::Piece;
use crate::engine::task::before;
use crate::language::facts;
use crate::model::server::Server;
use crate::model::state::counters::FrontendCounter;
use crate::proto::proxy_protocol::{self, Addresses, encode, tlv};
use crate::proto::tls::x509;
use std::rc::Rc;

/// Takes a PROXY protocol header off the stream (manual 5.1 "accept-proxy"). `None`: there is none in time, or it is
/// malformed; the connection ends, as HAProxy ends it.
pub async fn receive(s: &mut Session) -> Option<Piece> {
    let wait = s.settings().timeouts.client_hs.or(s.settings().timeouts.client);
    let deadline = wait.map_or(Millis::NEVER, |ms| s.accepted.mono.plus(ms));
    let mut input: Vec<u8> = Vec::new();
    loop {
        let received = before(&s.w.rt, deadline, s.transport.recv()).await;
        let piece = match received {
            Ok(Ok(Some(piece))) => piece,
            Ok(Ok(None)) if input.is_empty() => {
                return handshake_failed(s, 11, "Connection closed while waiting for PROXY protocol header");
            }
            Ok(Ok(None)) => return handshake_failed(s, 14, "Truncated PROXY protocol header received"),
            Ok(Err(_)) => return handshake_failed(s, 12, "Connection error while waiting for PROXY protocol header"),
            Err(_) => return handshake_failed(s, 13, "Timeout while waiting for PROXY protocol header"),
        };
        input.extend_from_slice(piece.bytes());
        match proxy_protocol::parse(&input) {
            Ok(proxy_protocol::Parsed::Partial) => {}
            Ok(proxy_protocol::Parsed::Complete(header)) => {
                let consumed = header.consumed;
                apply(s, &header);
                let mut rest = piece;
                // The header ends in this piece: all before it was header.
                let before_piece = input.len() - rest.bytes().len();
                rest.advance(consumed - before_piece);
                return Some(rest);
            }
            Err(proxy_protocol::Error::NotProxyProtocol) => {
                return handshake_failed(
                    s,
                    15,
                    "Received something which does not look like a PROXY protocol header",
                );
            }
            Err(_) => return handshake_failed(s, 16, "Received an invalid PROXY protocol header"),
        }
    }
}

/// A connection whose handshake failed is logged as such and counted; `code` is its `fc_err`.
fn handshake_failed(s: &mut Session, code: u16, why: &'static str) -> Option<Piece> {
    s.w.counts().frontend(s.proxy).add(FrontendCounter::Ereq, 1);
    let tls = s.bind().tls_context.as_ref().map(|context| Rc::new(super::tls::not_begun(&*context.0)));
    let mut known = s.facts.borrow_mut();
    known.error = Some(Box::new(facts::ConnectionError::of(code, why)));
    known.tls = tls;
    drop(known);
    log::embryonic(s, why);
    None
}

/// What a PROXY protocol header changes.
fn apply(s: &Session, header: &proxy_protocol::Header<'_>) {
    let mut facts = s.facts.borrow_mut();
    match header.addresses {
        Addresses::Own => {}
        Addresses::Ip { source, destination, .. } => {
            facts.src = Some(source);
            facts.dst = Some(destination);
        }
        Addresses::Unix { .. } => {
            facts.src = None;
            facts.dst = None;
        }
    }
    let tlvs: Vec<(u8, Vec<u8>)> = header.tlvs.into_iter().map(|t| (t.kind, t.value.to_vec())).collect();
    if !tlvs.is_empty() {
        let find = |kind: u8| tlvs.iter().find(|t| t.0 == kind).map(|t| t.1.clone());
        facts.proxy_protocol = Some(Box::new(facts::ProxyProtocol {
            authority: find(proxy_protocol::tlv::AUTHORITY),
            unique_id: find(proxy_protocol::tlv::UNIQUE_ID),
            tlvs,
        }));
    }
}

/// The PROXY protocol header that a server wants first, if it wants one.
pub fn header(s: &Session, ex: &Exchange, server: &Server) -> Option<Block> {
    let settings = server.send_proxy.as_ref()?;
    let mut out = Block::take();
    let facts = s.facts.borrow();
    let ends = match (facts.src, facts.dst) {
        (Some(source), Some(destination)) => encode::Ends::Ip { source, destination },
        _ => encode::Ends::Local,
    };
    if !settings.v2 {
        encode::v1(&ends, &mut out);
        return Some(out);
    }
    let tls = facts.tls.as_deref();
    let certificate =
        tls.filter(|_| settings.cert_cn).and_then(|t| t.peer.as_deref()).and_then(x509::Certificate::parse);
    let cn = certificate.as_ref().and_then(|c| c.common_names().last());
    // Key and signature are our own certificate's, as HAProxy has it.
    let own = tls.and_then(|t| t.own.as_ref()?.cert.first()).and_then(|c| x509::Certificate::parse(c));
    let key = own.as_ref().filter(|_| settings.cert_key).map(x509::Certificate::key_description);
    let signature = own.as_ref().filter(|_| settings.cert_sig).map(x509::Certificate::signature_algorithm);
    let ssl = settings.ssl.then(|| match tls {
        None => encode::Ssl::default(),
        Some(tls) => encode::Ssl {
            client: tlv::CLIENT_SSL
                | if tls.peer_used { tlv::CLIENT_CERT_SESS } else { 0 }
                | if tls.peer_used && !tls.resumed { tlv::CLIENT_CERT_CONN } else { 0 },
            verify: tls.verify_code,
            version: Some(tls.protocol.as_bytes()),
            cn: cn.map(str::as_bytes),
            cipher: Some(tls.cipher.as_bytes()).filter(|_| settings.ssl_cipher),
            sig_alg: signature.as_deref().map(str::as_bytes),
            key_alg: key.as_deref().map(str::as_bytes),
        },
    });
    let options = encode::Options {
        authority: tls.and_then(|t| t.sni.as_deref()).filter(|_| settings.authority),
        unique_id: ex.facts.unique_id.as_deref().filter(|_| settings.unique_id),
        alpn: tls.and_then(|t| t.alpn.as_deref()),
        ssl,
        crc32c: settings.crc32c,
        ..encode::Options::default()
    };
    encode::v2(&ends, &options, &mut out);
    Some(out)
}
