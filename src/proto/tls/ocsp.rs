//! As much of OCSP responses (RFC 6960 §4.2.1) as stapling needs: that a response is successful, and for which
//! certificate it is. Its signature and age are the client's to judge.

/// Whose certificate a response is about.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct CertificateId<'r> {
    /// The whole CertID, as it is encoded: HAProxy's key of a response.
    pub der: &'r [u8],
    pub issuer_name_hash: &'r [u8],
    pub issuer_key_hash: &'r [u8],
    pub serial: &'r [u8],
}

/// What of a response cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum OcspError {
    /// This is no response.
    Unreadable,
    /// The responder says why it has none.
    NotSuccessful,
}

/// One element of DER: its tag, its content, and the whole of it.
struct Element<'d> {
    tag: u8,
    content: &'d [u8],
    whole: &'d [u8],
}

/// Takes the first element off `der`.
fn take<'d>(der: &mut &'d [u8]) -> Option<Element<'d>> {
    let all = *der;
    let (tag, first) = (*all.first()?, *all.get(1)?);
    let (length, header) = match first {
        0..=0x7f => (usize::from(first), 2),
        0x81..=0x84 => {
            let bytes = usize::from(first & 0x7f);
            let digits = all.get(2..2 + bytes)?;
            (digits.iter().fold(0usize, |n, d| (n << 8) | usize::from(*d)), 2 + bytes)
        }
        _ => return None,
    };
    let end = header.checked_add(length)?;
    let whole = all.get(..end)?;
    *der = &all[end..];
    Some(Element { tag, content: &whole[header..], whole })
}

/// The content of the first element, which must have this tag.
fn enter(mut der: &[u8], tag: u8) -> Option<&[u8]> {
    take(&mut der).filter(|e| e.tag == tag).map(|e| e.content)
}

const SEQUENCE: u8 = 0x30;
const OCTETS: u8 = 0x04;

/// The certificate of the first single response.
pub fn certificate_id(response: &[u8]) -> Result<CertificateId<'_>, OcspError> {
    use OcspError::{NotSuccessful, Unreadable};
    // OCSPResponse ::= SEQUENCE { responseStatus ENUMERATED, responseBytes [0] EXPLICIT ResponseBytes OPTIONAL }
    let mut outer = enter(response, SEQUENCE).ok_or(Unreadable)?;
    let status = take(&mut outer).filter(|e| e.tag == 0x0a).ok_or(Unreadable)?;
    if status.content != [0] {
        return Err(NotSuccessful);
    }
    basic(outer).ok_or(Unreadable)
}

fn basic(outer: &[u8]) -> Option<CertificateId<'_>> {
    // ResponseBytes ::= SEQUENCE { responseType OBJECT IDENTIFIER, response OCTET STRING }
    let mut bytes = enter(enter(outer, 0xa0)?, SEQUENCE)?;
    take(&mut bytes).filter(|e| e.tag == 0x06)?;
    // BasicOCSPResponse ::= SEQUENCE { tbsResponseData ResponseData, ... }
    let mut data = enter(enter(enter(bytes, OCTETS)?, SEQUENCE)?, SEQUENCE)?;
    // ResponseData ::= SEQUENCE { version [0], responderID [1] or [2], producedAt, responses SEQUENCE OF, ... }
    let responses = std::iter::from_fn(|| take(&mut data)).find(|e| e.tag == SEQUENCE)?;
    let id = enter(responses.content, SEQUENCE)?;
    let whole = take(&mut { id })?.whole;
    // CertID ::= SEQUENCE { hashAlgorithm, issuerNameHash, issuerKeyHash, serialNumber }
    let mut parts = enter(id, SEQUENCE)?;
    take(&mut parts).filter(|e| e.tag == SEQUENCE)?;
    let mut part = |tag| take(&mut parts).filter(|e| e.tag == tag).map(|e| e.content);
    let (issuer_name_hash, issuer_key_hash, serial) = (part(OCTETS)?, part(OCTETS)?, part(0x02)?);
    Some(CertificateId { der: whole, issuer_name_hash, issuer_key_hash, serial })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// An element of DER; longer ones have their length in two bytes.
    fn element(tag: u8, parts: &[&[u8]]) -> Vec<u8> {
        let content = parts.concat();
        let length = match content.len() {
            n @ 0..=0x7f => vec![n as u8],
            n => vec![0x82, (n >> 8) as u8, n as u8],
        };
        [&[tag][..], &length, &content].concat()
    }

    fn id() -> Vec<u8> {
        let algorithm = element(SEQUENCE, &[&[0x06, 1, 42], &[0x05, 0]]);
        element(SEQUENCE, &[&algorithm, &element(OCTETS, &[&[7; 20]]), &element(OCTETS, &[&[8; 20]]), &[0x02, 1, 3]])
    }

    /// A response of this status, in the shape that openssl gives it.
    fn response(status: u8) -> Vec<u8> {
        let single = element(SEQUENCE, &[&id(), &[0x80, 0], &element(0x18, &[b"20261126132521Z"])]);
        let responder = element(0xa1, &[&element(SEQUENCE, &[&[0x31, 0]])]);
        let produced = element(0x18, &[b"20261126132521Z"]);
        let data = element(SEQUENCE, &[&responder, &produced, &element(SEQUENCE, &[&single])]);
        let basic = element(SEQUENCE, &[&data, &element(SEQUENCE, &[]), &element(0x03, &[&[0; 70]])]);
        let kind = [0x06, 9, 0x2b, 6, 1, 5, 5, 7, 0x30, 1, 1];
        let bytes = element(SEQUENCE, &[&kind, &element(OCTETS, &[&basic])]);
        element(SEQUENCE, &[&[0x0a, 1, status], &element(0xa0, &[&bytes])])
    }

    #[test]
    fn the_certificate_of_a_response_is_found() {
        let (response, der) = (response(0), id());
        let found = certificate_id(&response).unwrap();
        assert_eq!((found.der, found.serial), (&der[..], &[3][..]));
        assert_eq!((found.issuer_name_hash, found.issuer_key_hash), (&[7; 20][..], &[8; 20][..]));
    }

    #[test]
    fn cut_and_wrong_responses_are_refused() {
        let whole = response(0);
        for end in 0..whole.len() {
            assert_eq!(certificate_id(&whole[..end]), Err(OcspError::Unreadable), "{end} bytes");
        }
        assert_eq!(certificate_id(&response(6)), Err(OcspError::NotSuccessful));
        for at in 0..whole.len() {
            let mut odd = whole.clone();
            odd[at] ^= 0xff;
            let _ = certificate_id(&odd);
        }
    }
}
