//! `option redis-check`: PING, and the answer must hold `+PONG`.

use super::{Judged, Step, connect, expect, send};
use crate::model::state::health::CheckStatus;
use crate::services::check::text::first_line;

pub fn steps() -> Vec<Step> {
    vec![connect(), send(b"*1\r\n$4\r\nPING\r\n".to_vec()), expect(judge)]
}

fn judge(input: &[u8], last: bool) -> Judged {
    if memchr::memmem::find(input, b"+PONG\r\n").is_some() {
        return Judged::passed(0, b"Redis server is ok");
    }
    match last {
        true => Judged::failed(CheckStatus::L7Status, 0, first_line(input)),
        false => Judged::Wait,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn answers_of_redis() {
        assert_eq!(judge(b"+PONG\r\n", false), Judged::passed(0, b"Redis server is ok"));
        assert_eq!(judge(b"+PO", false), Judged::Wait);
        let failed = |info: &[u8]| Judged::failed(CheckStatus::L7Status, 0, info);
        assert_eq!(judge(b"+PO", true), failed(b"+PO"));
        assert_eq!(judge(b"-NOAUTH Authentication required.\r\n", false), Judged::Wait);
        assert_eq!(judge(b"-NOAUTH Authentication required.\r\n", true), failed(b"-NOAUTH Authentication required."));
        assert_eq!(judge(b"", true), failed(b""));
        super::super::tests::holds_on_any_cut(judge, b"-ERR x\r\n+PONG\r\n");
    }
}
