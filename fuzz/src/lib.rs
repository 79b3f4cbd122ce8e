//! What the fuzz targets run: one function a parser, which takes any bytes and asserts what must hold. They stand apart
//! from libFuzzer, so that the main workspace compiles and runs them too, on their seeds (`tests/fuzz_entries.rs`).

pub mod configuration;
pub mod http2;
pub mod language;
pub mod runtime_api;
pub mod wire;

/// A target: its name, what it runs, inputs to begin from.
pub struct Entry {
    pub name: &'static str,
    pub run: fn(&[u8]),
    pub seeds: fn() -> Vec<Vec<u8>>,
}

pub const ENTRIES: &[Entry] = &[
    Entry { name: "configuration", run: configuration::whole, seeds: configuration::seeds },
    Entry { name: "expression", run: language::expression, seeds: language::expressions },
    Entry { name: "condition", run: language::condition, seeds: language::conditions },
    Entry { name: "rule", run: language::rule, seeds: language::rules },
    Entry { name: "log_format", run: language::log_format, seeds: language::log_formats },
    Entry { name: "converters", run: language::converters, seeds: language::converter_chains },
    Entry { name: "patterns", run: language::patterns, seeds: language::pattern_files },
    Entry { name: "h1_head", run: wire::h1_head, seeds: wire::h1_heads },
    Entry { name: "h1_chunked", run: wire::h1_chunked, seeds: wire::h1_bodies },
    Entry { name: "h2_frames", run: http2::frames, seeds: http2::frame_lists },
    Entry { name: "h2_connection", run: http2::connection, seeds: http2::conversations },
    Entry { name: "hpack", run: http2::hpack, seeds: http2::blocks },
    Entry { name: "proxy_protocol", run: wire::proxy_protocol, seeds: wire::proxy_headers },
    Entry { name: "dns", run: wire::dns, seeds: wire::dns_answers },
    Entry { name: "peers", run: wire::peers, seeds: wire::peer_messages },
    Entry { name: "client_hello", run: wire::client_hello, seeds: wire::client_hellos },
    Entry { name: "cookies", run: wire::cookies, seeds: wire::cookie_values },
    Entry { name: "uri", run: wire::uri, seeds: wire::uris },
    Entry { name: "pem", run: wire::pem, seeds: wire::pems },
    Entry { name: "crt_list", run: wire::crt_list, seeds: wire::crt_lists },
    Entry { name: "runtime_api", run: runtime_api::session, seeds: runtime_api::lines },
    Entry { name: "syslog", run: wire::syslog, seeds: wire::log_lines },
];

/// Runs the entry of this name.
///
/// # Panics
/// There is none, or a property does not hold.
pub fn run(name: &str, data: &[u8]) {
    let entry = ENTRIES.iter().find(|e| e.name == name).expect("a fuzz entry");
    (entry.run)(data);
}
