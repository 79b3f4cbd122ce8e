//! The language: an input's first line is the text to compile, the rest what it is evaluated on.

use ringway::{
    base::{
        clock::{Millis, Now},
        origin::Origin,
    },
    config::lexer::text_of,
    language::{
        acl::{AclSet, Condition},
        auth::Userlists,
        context::{Context, Payload, Side},
        facts::{Listener, Named, Session, Stream, Tls},
        logformat::{LogFormat, Usage},
        parse::{Captures, Files, Parse, SectionKind, Words},
        pattern::{Entries, Method, Registry},
        rules::{Phase, RuleSet},
        sample::{
            Expr, Sample,
            convert::{self, Convert},
            fetch,
            scope::Points,
        },
        scratch::Pool,
        vars::{VarName, Vars},
        world::World,
    },
    proto::http::head::{Head, Version},
};
use std::{cell::OnceCell, rc::Rc, sync::LazyLock};

struct Nobody;

impl World for Nobody {
    fn random(&self) -> u64 {
        7
    }
}

impl Files for Nobody {
    fn read(&self, _: &str) -> Result<Vec<u8>, String> {
        Ok(b"a 1\n/b 2\n10.0.0.0/8 3\n".to_vec())
    }
}

/// Compiles by `compile` and runs `run` on what came out, with `data` in a header, a variable, the URI and the body.
fn evaluate<T>(
    side: Side,
    points: Points,
    data: &[u8],
    compile: impl FnOnce(&mut Parse<'_>) -> Option<T>,
    run: impl FnOnce(&T, &mut Context<'_>),
) {
    let (mut acls, mut captures) = (AclSet::new(), Captures::default());
    let (patterns, userlists) = (Registry::new(), Userlists::new());
    let mut p = Parse {
        origin: Origin::new("fuzz.cfg", 1),
        proxy: "f",
        section: SectionKind::Listen,
        http: true,
        points,
        acls: &mut acls,
        patterns: &patterns,
        userlists: &userlists,
        captures: &mut captures,
        files: &Nobody,
        warnings: Vec::new(),
        references: Vec::new(),
        stick_counters: 3,
        experimental: true,
        experimental_used: false,
    };
    let Some(compiled) = compile(&mut p) else { return };
    let visible: Vec<u8> = data.iter().copied().filter(|b| !matches!(b, 0 | b'\r' | b'\n')).collect();
    let uri: Vec<u8> = [b"/", &visible[..]].concat();
    let mut request = Head::request(b"GET", &uri, Version::Http11);
    let mut response = Head::response(200, b"OK", Version::Http11);
    for head in [&mut request, &mut response] {
        head.append(b"host", b"a.example:80");
        for name in [
            &b"x"[..],
            b"cookie",
            b"set-cookie",
            b"authorization",
            b"accept-language",
            b"x-forwarded-for",
            b"forwarded",
        ] {
            head.append(name, &visible);
        }
    }
    let listener = Rc::new(Listener { frontend: Named::new("f", 2), ..Listener::default() });
    let mut session = Session {
        src: Some(([127, 0, 0, 1], 5000).into()),
        dst: Some(([127, 0, 0, 1], 80).into()),
        tls: Some(Rc::new(Tls { sni: Some(visible.clone().into()), peer: Some(data.into()), ..Tls::default() })),
        ..Session::new(listener)
    };
    let mut stream = Stream {
        method: b"GET".to_vec(),
        uri,
        request_captures: vec![None; captures.request.len()],
        response_captures: vec![None; captures.response.len()],
        ..Stream::default()
    };
    let (vars, pool) = (Vars::default(), Pool::new());
    if let Ok(name) = VarName::parse("txn.v") {
        vars.set(&name, &Sample::bin(data));
    }
    let payload = Payload { bytes: data, complete: true, size: data.len() as u64 };
    let mut cx = Context {
        session: &mut session,
        stream: &mut stream,
        request: Some(&mut request),
        early: OnceCell::new(),
        response: (side == Side::Response).then_some(&mut response),
        request_payload: payload,
        response_payload: payload,
        side,
        last_chance: true,
        vars: &vars,
        pool: &pool,
        world: &Nobody,
        now: Now { mono: Millis(1000), nanos: 1_000_000_000, wall_us: 1_795_345_438_727_000 },
        recorder: None,
    };
    run(&compiled, &mut cx);
}

/// The first line as the lexer would give it, and what follows.
fn first_line(data: &[u8]) -> (String, &[u8]) {
    let end = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    (text_of(&data[..end]), data.get(end + 1..).unwrap_or_default())
}

const EVERYWHERE: Points = Points(0x3F_FFFF);

pub fn expression(data: &[u8]) {
    let (text, rest) = first_line(data);
    for (side, closed) in [(Side::Request, false), (Side::Response, true)] {
        evaluate(
            side,
            EVERYWHERE,
            rest,
            |p| Expr::parse(&text, closed, p).ok(),
            |(expr, used), cx| {
                assert!(*used <= text.len() && expr.text.len() <= text.len());
                let mut out = Vec::new();
                expr.write(cx, &mut out);
            },
        );
    }
}

fn words(text: &str) -> Vec<&str> {
    text.split(' ').filter(|w| !w.is_empty()).collect()
}

/// Several conditions, one a `|`; the first may be an `acl` line.
pub fn condition(data: &[u8]) {
    let (text, rest) = first_line(data);
    evaluate(
        Side::Request,
        EVERYWHERE,
        rest,
        |p| {
            let (acl, test) = text.split_once(" | ").unwrap_or(("", &text));
            let _ = AclSet::parse_line(&words(acl), p);
            let words = words(test);
            Condition::parse(&mut Words::new(&words, 0), p).ok()
        },
        |condition, cx| {
            let first = condition.test(cx);
            assert_eq!(first, condition.test(cx), "{text}");
        },
    );
}

const PHASES: [Phase; 7] = [
    Phase::TcpRequestConnection,
    Phase::TcpRequestSession,
    Phase::TcpRequestContent,
    Phase::TcpResponseContent,
    Phase::HttpRequest,
    Phase::HttpResponse,
    Phase::HttpAfterResponse,
];

/// A rule of the phase that the first byte chooses.
pub fn rule(data: &[u8]) {
    let Some((first, data)) = data.split_first() else { return };
    let phase = PHASES[*first as usize % PHASES.len()];
    let (text, rest) = first_line(data);
    evaluate(
        phase.side(),
        EVERYWHERE,
        rest,
        |p| {
            let mut rules = RuleSet::default();
            rules.parse_rule(phase, &words(&text), 1, p).ok().map(|()| rules)
        },
        |rules, cx| {
            rules.run(cx, 0);
        },
    );
}

pub fn log_format(data: &[u8]) {
    let (text, rest) = first_line(data);
    for usage in [Usage::Log, Usage::StructuredData, Usage::Value, Usage::Header] {
        evaluate(
            Side::Response,
            EVERYWHERE,
            rest,
            |p| LogFormat::parse(&text, usage, p).ok(),
            |format, cx| {
                let mut out = Vec::new();
                format.write(cx, &mut out);
                // What the line itself says is the administrator's.
                if usage.is_log() && !text.bytes().any(|b| b < b' ') {
                    assert!(!out.contains(&b'\n') && !out.contains(&0), "{text}: {}", out.escape_ascii());
                }
            },
        );
    }
}

/// All converters, or the family of the one that `RINGWAY_FUZZ_FAMILY` names; `map` stands for all maps.
fn chosen_converters() -> Vec<&'static Convert> {
    let Ok(name) = std::env::var("RINGWAY_FUZZ_FAMILY") else { return convert::all().collect() };
    if name == "map" {
        return convert::all().filter(|c| c.name.starts_with("map")).collect();
    }
    let family = convert::families().find(|family| family.iter().any(|c| c.name == name));
    family.expect("RINGWAY_FUZZ_FAMILY is a converter").iter().collect()
}

/// Converters, each chosen by a byte and followed by its arguments up to a NUL, on the bytes after a newline.
pub fn converters(data: &[u8]) {
    let end = data.iter().position(|b| *b == b'\n').unwrap_or(data.len());
    let rest = data.get(end + 1..).unwrap_or_default();
    static ROWS: LazyLock<Vec<&Convert>> = LazyLock::new(chosen_converters);
    let rows = &*ROWS;
    let mut text = String::from("var(txn.v)");
    for step in data[..end].split(|b| *b == 0).filter(|s| !s.is_empty()).take(6) {
        text.push(',');
        text.push_str(rows[step[0] as usize % rows.len()].name);
        text.push_str(&text_of(&step[1..]));
    }
    evaluate(
        Side::Request,
        EVERYWHERE,
        rest,
        |p| Expr::parse(&text, false, p).ok(),
        |(expr, _), cx| {
            let mut out = Vec::new();
            expr.write(cx, &mut out);
        },
    );
}

/// A file of patterns of the method that the first byte chooses, and as last line what is looked up.
pub fn patterns(data: &[u8]) {
    use Method::*;
    let methods = [Found, Bool, Int, Ip, Bin, Len, Str, Beg, Sub, Dir, Dom, End, Reg, Regm];
    let Some((first, data)) = data.split_first() else { return };
    let method = methods[(*first & 0x1f) as usize % methods.len()];
    let (is_map, ignore_case) = (first & 0x80 != 0, first & 0x40 != 0);
    let at = data.iter().rposition(|b| *b == b'\n').unwrap_or(0);
    let (file, key) = data.split_at(at);
    let registry = Registry::new();
    let entries = Entries::read(file, is_map);
    let Ok(source) = registry.file("f", is_map, &Origin::none(), |_| Ok(file.to_vec())) else { return };
    let Ok(set) = source.set(method, ignore_case) else { return };
    let pool = Pool::new();
    let Some(sample) = Sample::bin(key).cast(method.input(), &pool) else { return };
    let found = set.find(&sample, &pool, |entry| entry.index);
    assert!(found.is_none_or(|index| index < entries.len()));
    assert_eq!(found.is_some(), set.matches(&sample, &pool) && !entries.is_empty());
    let _ = source.add(key, b"v");
    set.matches(&sample, &pool);
    let _ = source.delete(key);
}

fn lines(texts: impl IntoIterator<Item = impl AsRef<str>>) -> Vec<Vec<u8>> {
    let data = "\na=1&b=%41; c=\"d\", 2001:db8::1 \u{e9} {\"k\":[1,{\"x\":\"y\"}]}";
    texts.into_iter().map(|t| format!("{}{data}", t.as_ref()).into_bytes()).collect()
}

pub fn expressions() -> Vec<Vec<u8>> {
    let chains = [
        "req.hdr(x),lower,regsub(a,b,g)",
        "var(txn.v),hex,length,add(1)",
        "src,ipmask(24,64)",
        "path,field(2,/),map(f,d)",
        "url_param(a),url_dec,crc32(1)",
        "str(a),concat(b,txn.v,c),base64,b64dec",
        "date(-3600),http_date(-10)",
        "req.body,json_query('$.k[1].x')",
        "req.hdr(x,-1),word(1,\" \"),bytes(1,2)",
        "int(5),mul(txn.v),mod(3),bool,not",
    ];
    let alone = fetch::all().map(|f| if f.args.is_empty() { f.name.to_owned() } else { format!("{}(1,a)", f.name) });
    lines(chains.into_iter().map(str::to_owned).chain(alone))
}

pub fn conditions() -> Vec<Vec<u8>> {
    lines([
        "if { path /a }",
        "a path_beg -i /a /b | if a !TRUE or { src 10.0.0.0/8 ::1 }",
        "a req.hdr(x) -m reg -i ^a.*b$ | unless a || !{ method GET POST }",
        "a hdr_cnt(x) gt 3 le 5:10 | if a",
        "if { var(txn.v) -m bin 00ff } { req.hdr(x) -m len 3 } or { req.ver 1.1 }",
        "a src -f f -M -n | if a HTTP METH_GET LOCALHOST",
        "if { path_reg a(b|c)+ } { hdr_dom(host) a.example } { url_sub -i x }",
    ])
}

pub fn rules() -> Vec<Vec<u8>> {
    let texts = [
        (4, "set-header a %[src] if { path /a }"),
        (4, "redirect location /x%[path] code 303 set-cookie a=b"),
        (4, "replace-path (.*)/(.) \\2\\1"),
        (4, "return status 200 content-type a/b lf-string %[req.hdr(x)] hdr a b"),
        (4, "deny deny_status 429"),
        (4, "normalize-uri percent-decode-unreserved strict"),
        (4, "normalize-uri path-merge-slashes"),
        (4, "normalize-uri query-sort-by-name"),
        (4, "set-var(txn.a) req.hdr(x),lower"),
        (4, "set-map(f) %[src] b"),
        (4, "set-uri /%[path]?%[query]"),
        (4, "replace-header x (.)(.) \\2\\1"),
        (4, "replace-value cookie a(.*) \\1"),
        (4, "capture req.hdr(x) len 10"),
        (0, "reject if { src 127.0.0.1 }"),
        (1, "set-var(sess.a) src"),
        (2, "accept if { req.len gt 0 }"),
        (3, "close"),
        (5, "set-status 503 reason x"),
        (6, "del-header x -m beg"),
        (4, "set-path %[path,regsub(a,b)]"),
        (4, "set-query %[query]"),
        (4, "auth realm x"),
        (4, "tarpit"),
        (4, "track-sc0 src"),
        (4, "set-src req.hdr(x)"),
        (4, "set-timeout server 10s"),
    ];
    texts
        .iter()
        .flat_map(|(phase, text)| lines([text]).into_iter().map(move |l| [&[*phase][..], &l].concat()))
        .collect()
}

pub fn log_formats() -> Vec<Vec<u8>> {
    use ringway::language::logformat::{HTTP, HTTP_CLF, HTTPS, TCP};
    lines([
        HTTP,
        HTTPS,
        HTTP_CLF,
        TCP,
        "%{+Q,+X,+E}o %{-Q}[req.hdr(x)] %% %[var(txn.v),json(utf8ps)]:%ID %(n:str)[src] %{+json}o %(a)ci",
        "%trl %Ts %ms %pid %H %rt %lc %hrl %HM%HP%HQ%HU%HV",
    ])
}

pub fn converter_chains() -> Vec<Vec<u8>> {
    let args = ["", "(1)", "(txn.v)", "(a,b)", "(1,2)", "(utf8)", "(%s)", "(a,b,c)", "(aes,txn.v)"];
    let mut seeds = Vec::new();
    for (number, _) in convert::all().enumerate() {
        for arg in args {
            seeds.push(
                [&[number as u8][..], arg.as_bytes(), b"\na=1&b=%41; 8=9\x0135=2 2001:db8::1 {\"k\":[1]} aGk="]
                    .concat(),
            );
        }
    }
    seeds
}

pub fn pattern_files() -> Vec<Vec<u8>> {
    let text =
        b"# comment\na\n1:3\n10.0.0.0/8\n2001:db8::/32\n\n00ff\n/b/c d e\n^x(y|z)$ v\\1\nge 4\na.example\na.example";
    let methods = (0..14u8).flat_map(|m| [m, m | 0x80, m | 0x40]);
    // Each method with patterns and without any.
    methods.flat_map(|m| [[&[m][..], text].concat(), vec![m]]).collect()
}
