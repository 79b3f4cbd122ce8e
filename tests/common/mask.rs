//! What may differ between two runs (ports, pids, dates, durations, paths) becomes a placeholder.

/// Replaces known numbers (ports, pids) where they stand as whole numbers.
pub fn numbers(text: &str, names: &[(u32, String)]) -> String {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(start) = rest.find(|c: char| c.is_ascii_digit()) {
        let length = rest[start..].find(|c: char| !c.is_ascii_digit()).unwrap_or(rest.len() - start);
        let digits = &rest[start..start + length];
        let glued = rest[..start].ends_with(|c: char| c.is_ascii_alphanumeric());
        out.push_str(&rest[..start]);
        let name = names.iter().find(|(number, _)| !glued && digits.parse() == Ok(*number));
        out.push_str(name.map_or(digits, |(_, name)| name));
        rest = &rest[start + length..];
    }
    out.push_str(rest);
    out
}

/// A log line: the date of its header and of the connection, and the timers.
pub fn log_line(line: &str) -> String {
    let line = header_date(line.trim_end_matches('\n'));
    let line = check_duration(&line);
    if let Some((head, tail)) = line.split_once(" \"\" \"\" ") {
        return clf_line(head, tail);
    }
    let mut timers_seen = false;
    let words = line.split(' ').map(|word| {
        if is_bracketed_date(word) {
            return "[DATE]".to_string();
        }
        if !timers_seen && is_timers(word) {
            timers_seen = true;
            return word.split('/').map(timer).collect::<Vec<_>>().join("/");
        }
        word.to_string()
    });
    words.collect::<Vec<_>>().join(" ")
}

/// `check duration: 12ms` in a line about a server's state.
fn check_duration(line: &str) -> String {
    const BEFORE: &str = "check duration: ";
    let Some((head, tail)) = line.split_once(BEFORE) else { return line.to_string() };
    let digits = tail.find(|c: char| !c.is_ascii_digit()).unwrap_or(tail.len());
    format!("{head}{BEFORE}T{}", &tail[digits..])
}

/// `option httplog clf`: a zone follows the date, and the durations are words of their own.
fn clf_line(head: &str, tail: &str) -> String {
    let head: Vec<&str> = head.split(' ').map(|word| if is_bracketed_date(word) { "[DATE" } else { word }).collect();
    let tail = tail.split(' ').enumerate().map(|(index, word)| match index {
        1 => "MS".to_string(),
        5..=9 => timer(word),
        _ => word.to_string(),
    });
    format!("{} \"\" \"\" {}", head.join(" "), tail.collect::<Vec<_>>().join(" "))
}

/// `-1` says that the phase was not reached and stays; a duration becomes `T`, and `+` (option logasap) stays.
fn timer(value: &str) -> String {
    match (value, value.strip_prefix('+')) {
        ("-1", _) => "-1".to_string(),
        (_, Some(_)) => "+T".to_string(),
        _ => "T".to_string(),
    }
}

/// Three to five durations joined by slashes.
fn is_timers(word: &str) -> bool {
    let fields: Vec<&str> = word.split('/').collect();
    (3..=5).contains(&fields.len())
        && fields.iter().all(|field| {
            let digits = field.trim_start_matches(['+', '-']);
            !digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit())
        })
}

/// `[22/Nov/2026:11:03:58.727]`, with or without milliseconds, or its opening half as CLF has it.
fn is_bracketed_date(word: &str) -> bool {
    let inner = word.trim_start_matches('[').trim_end_matches(']');
    word.starts_with('[') && inner.len() >= 20 && inner.as_bytes()[2] == b'/' && inner.as_bytes()[6] == b'/'
}

/// `<134>Nov 22 11:03:58 ` (RFC 3164) and `<134>1 2026-11-22T11:03:58.727+00:00 ` (RFC 5424).
fn header_date(line: &str) -> String {
    let Some((priority, rest)) = line.split_once('>').filter(|(p, _)| p.starts_with('<')) else {
        return line.to_string();
    };
    let bytes = rest.as_bytes();
    if bytes.len() > 16 && bytes[3] == b' ' && bytes[6] == b' ' && bytes[9] == b':' && bytes[15] == b' ' {
        return format!("{priority}>DATE {}", &rest[16..]);
    }
    if let Some((stamp, after)) = rest.strip_prefix("1 ").and_then(|r| r.split_once(' ')) {
        let shape: String = stamp.chars().map(|c| if c.is_ascii_digit() { '9' } else { c }).collect();
        return format!("{priority}>1 {shape} {after}");
    }
    line.to_string()
}
