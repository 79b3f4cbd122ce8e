//! `hdr(name)`: the value of a request field; with `use_domain_only` of a Host field the name's main part.

/// What of the value is hashed.
pub fn key(value: &[u8], use_domain_only: bool) -> &[u8] {
    if !use_domain_only {
        return value;
    }
    // The label before the last dot: "example" of "www.example.com:80".
    let host = value.split(|b| *b == b':').next().unwrap_or(value);
    let Some(last) = host.iter().rposition(|b| *b == b'.') else { return host };
    let rest = &host[..last];
    match rest.iter().rposition(|b| *b == b'.') {
        Some(dot) => &rest[dot + 1..],
        None => rest,
    }
}
