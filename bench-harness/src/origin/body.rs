//! The bytes that the origin answers with. They follow from the path alone, so that the verifying side can compute
//! what it must get without asking.

/// `/s/N`: bytes that no compressor and no lucky prefix can mistake for another body.
pub fn plain(bytes: usize) -> Vec<u8> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64 ^ bytes as u64;
    let mut body = Vec::with_capacity(bytes + 8);
    while body.len() < bytes {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        body.extend_from_slice(&state.to_le_bytes());
    }
    body.truncate(bytes);
    body
}

/// `/j/N`: a list of orders as an API would send it, cut to size inside its last string.
pub fn json(bytes: usize) -> Vec<u8> {
    const STATES: [&str; 4] = ["open", "paid", "shipped", "returned"];
    const NAMES: [&str; 5] = ["Ada Byron", "Blaise P.", "Carl F. Gauss", "Daniel B.", "Emmy Noether"];
    const TAIL: &str = "\"}]";
    let mut state = 0x2545_f491_4f6c_dd1d_u64;
    let mut text = String::from("[");
    let mut number = 1000;
    while text.len() < bytes {
        state = state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let pick = (state >> 33) as usize;
        text.push_str(&format!(
            "{{\"id\":{number},\"customer\":\"{}\",\"state\":\"{}\",\"total\":{}.{:02},\"note\":\"ref {pick:x}\"}},",
            NAMES[pick % NAMES.len()],
            STATES[pick / 7 % STATES.len()],
            pick % 900 + 10,
            pick / 3 % 100,
        ));
        number += 1;
    }
    let head = bytes.saturating_sub(TAIL.len() + "{\"id\":0,\"note\":\"".len());
    text.truncate(text[..head.min(text.len())].rfind("},").map_or(1, |end| end + 2));
    text.push_str("{\"id\":0,\"note\":\"");
    while text.len() + TAIL.len() < bytes {
        text.push('.');
    }
    text.push_str(TAIL);
    text.into_bytes()
}

/// What a path's answer must be; `None` for paths whose answer depends on the moment.
pub fn of_path(path: &str) -> Option<Vec<u8>> {
    let (kind, size) = path.strip_prefix('/')?.split_once('/')?;
    let size: usize = size.parse().ok().filter(|size| *size <= BODY_BYTES_MAX)?;
    match kind {
        "s" | "c" => Some(plain(size)),
        "j" => Some(json(size)),
        "d" => Some(plain(16)),
        _ => None,
    }
}

/// Answers are kept in memory.
pub const BODY_BYTES_MAX: usize = 64 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bodies_have_the_asked_length() {
        for size in [0, 1, 7, 8, 128, 20_000] {
            assert_eq!(plain(size).len(), size);
        }
        for size in [64, 200, 20_000, 50_000] {
            assert_eq!(json(size).len(), size);
        }
    }

    #[test]
    fn json_parses() {
        for size in [64, 200, 333, 20_000, 50_000] {
            let body = json(size);
            let value: serde_json::Value = serde_json::from_slice(&body).unwrap();
            assert!(value.is_array());
        }
    }

    #[test]
    fn a_path_names_its_body() {
        assert_eq!(of_path("/s/5"), Some(plain(5)));
        assert_eq!(of_path("/d/10").unwrap().len(), 16);
        assert_eq!(of_path("/e"), None);
        assert_eq!(of_path("/s/x"), None);
    }
}
