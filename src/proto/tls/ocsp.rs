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
            (digits.iter().fold(0usize, |n, d| n << 8 | usize::from(*d)), 2 + bytes)
        }
        _ => return None,
    };
    let end = header.checked_add(length)?;
    let whole = all.get(..end)?;
    *der = &all[end..];
    Some(Element { tag, content: &whole[header..], whole })
}

/// The content of the first element, which must have this tag.
fn enter<'d>(mut der: &'d [u8], tag: u8) -> Option<&'d [u8]> {
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

    /// The head of a response that openssl made.
    const RESPONSE: &str = "3082010f0a0100a082010830820104\
        06092b06010505073001010481f63081f33081c0a1223020310c300a060355040a0c034f72673110300e06035504030c0754657374204341\
        180f32303236313132363133323532315a30643062303a300906052b0e03021a0500041429e362adf3ed3239c130fda4eeae3873bb893ab9\
        0414da8ab270e4ce0a8ec9e3ed7659e6943d517cea15020103\
        8000180f32303236313132363133323532315aa011180f32303335303231323133323532315aa1233021301f06092b0601050507300102\
        04120410b0fde12cea72ac95710fdf2f509f52c1300a06082a8648ce3d0403020322003000000000000000000000000000000000000000000\
        000000000000000000000";

    fn bytes(hex: &str) -> Vec<u8> {
        let digits: Vec<u8> = hex.bytes().filter_map(|b| (b as char).to_digit(16)).map(|d| d as u8).collect();
        digits.chunks_exact(2).map(|pair| pair[0] << 4 | pair[1]).collect()
    }

    #[test]
    fn the_certificate_of_a_response_is_found() {
        let response = bytes(RESPONSE);
        let id = certificate_id(&response).unwrap();
        assert_eq!(id.serial, [3]);
        assert_eq!(id.issuer_name_hash[..2], [0x29, 0xe3]);
        assert_eq!(id.issuer_key_hash[..2], [0xda, 0x8a]);
        assert_eq!(id.der[..2], [0x30, 0x3a]);
    }

    #[test]
    fn cut_and_wrong_responses_are_refused() {
        let response = bytes(RESPONSE);
        for end in 0..200 {
            assert!(certificate_id(&response[..end]).is_err());
        }
        let mut refusal = response.clone();
        refusal[6] = 1;
        assert_eq!(certificate_id(&refusal), Err(OcspError::NotSuccessful));
        for at in 0..response.len() {
            let mut odd = response.clone();
            odd[at] ^= 0xff;
            let _ = certificate_id(&odd);
        }
    }
}
