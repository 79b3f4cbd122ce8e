//! `option mysql-check`: reads the handshake of MySQL or MariaDB; with a user it logs in without password and leaves.
//! (MySQL internals manual, "Connection Phase Packets".)

use super::{Judged, Step, connect, expect, send};
use crate::model::check::MysqlVersion;
use crate::model::state::health::CheckStatus;
use crate::services::check::text::{c_string, info};

pub fn steps(user: Option<&str>, version: MysqlVersion) -> Vec<Step> {
    match user {
        Some(user) => vec![connect(), expect(handshake), send(login(user, version)), expect(welcome)],
        None => vec![connect(), expect(handshake)],
    }
}

/// The login packet, and a packet that quits.
fn login(user: &str, version: MysqlVersion) -> Vec<u8> {
    let mut body: Vec<u8> = match version {
        // Old capabilities, packets up to 1 byte: what HAProxy says.
        MysqlVersion::Pre41 => b"\x00\x80\x00\x00\x01".to_vec(),
        MysqlVersion::Post41 => b"\x00\x82\x00\x00\x00\x80\x00\x01\x21".to_vec(),
        MysqlVersion::Post80 => b"\x00\x82\x08\x00\x00\x80\x00\x01\x21".to_vec(),
    };
    if version != MysqlVersion::Pre41 {
        body.extend_from_slice(&[0; 23]);
    }
    body.extend_from_slice(user.as_bytes());
    body.extend_from_slice(&[0, 0]);
    if version == MysqlVersion::Post80 {
        body.extend_from_slice(b"mysql_native_password\0");
    }
    let len = (body.len() as u32).to_le_bytes();
    let mut packet = vec![len[0], len[1], len[2], 1];
    packet.extend_from_slice(&body);
    packet.extend_from_slice(b"\x01\x00\x00\x00\x01");
    packet
}

/// The first packet's payload once it is whole.
fn payload(input: &[u8]) -> Option<&[u8]> {
    let [a, b, c, _, rest @ ..] = input else { return None };
    rest.get(..u32::from_le_bytes([*a, *b, *c, 0]) as usize)
}

fn error(payload: &[u8]) -> Judged {
    let code = match payload {
        [_, low, high, ..] => u16::from_le_bytes([*low, *high]),
        [_, low] => u16::from(*low),
        _ => 0,
    };
    let words = payload.get(3..).unwrap_or_default();
    Judged::Failed { status: CheckStatus::L7Status, code, info: info(c_string(words)) }
}

fn packet(input: &[u8], last: bool, good: Judged) -> Judged {
    match payload(input) {
        Some([0xff, ..]) => error(payload(input).unwrap_or_default()),
        Some([_, ..]) => good,
        // An empty packet says nothing.
        _ if last => Judged::failed(CheckStatus::L7Response, 0, b""),
        _ => Judged::Wait,
    }
}

fn handshake(input: &[u8], last: bool) -> Judged {
    packet(input, last, Judged::passed(0, b""))
}

fn welcome(input: &[u8], last: bool) -> Judged {
    packet(input, last, Judged::passed(0, b""))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn logins_are_those_on_the_wire() {
        let post41 = login("haproxy", MysqlVersion::Post41);
        assert_eq!(&post41[..13], b")\x00\x00\x01\x00\x82\x00\x00\x00\x80\x00\x01!");
        assert_eq!(&post41[36..], b"haproxy\x00\x00\x01\x00\x00\x00\x01");
        let pre41 = login("haproxy", MysqlVersion::Pre41);
        assert_eq!(pre41, b"\x0e\x00\x00\x01\x00\x80\x00\x00\x01haproxy\x00\x00\x01\x00\x00\x00\x01");
        let post80 = login("haproxy", MysqlVersion::Post80);
        assert_eq!(post80[0], b'?');
        assert!(post80.ends_with(b"haproxy\x00\x00mysql_native_password\x00\x01\x00\x00\x00\x01"));
    }

    #[test]
    fn answers_of_a_database() {
        let hello = b"\x0a\x00\x00\x00\x0a5.5.5-x\0\x01";
        assert_eq!(handshake(hello, false), Judged::passed(0, b""));
        assert_eq!(handshake(&hello[..9], false), Judged::Wait);
        assert_eq!(handshake(&hello[..9], true), Judged::failed(CheckStatus::L7Response, 0, b""));
        let refused = b"\x0e\x00\x00\x00\xff\x6a\x04Host is out";
        assert_eq!(handshake(refused, false), Judged::failed(CheckStatus::L7Status, 1130, b"Host is out"));
        assert_eq!(welcome(b"\x07\0\0\x02\0\0\0\x02\0\0\0", false), Judged::passed(0, b""));
        assert_eq!(welcome(b"\x02\0\0\x02\xff\x15", false), Judged::failed(CheckStatus::L7Status, 21, b""));
        assert_eq!(handshake(b"\0\0\0\0", false), Judged::Wait);
        assert_eq!(handshake(b"\xff\xff\xff\0aaaa", true), Judged::failed(CheckStatus::L7Response, 0, b""));
        super::super::tests::holds_on_any_cut(handshake, refused);
    }
}
