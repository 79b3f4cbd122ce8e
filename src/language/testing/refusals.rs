//! Texts of errors, as `haproxy -c` of 3.4 gives them.

use super::{Bench, split};
use crate::language::rules::Phase;
use crate::language::rules::switching::{Redirects, Switching};
use crate::language::sample::scope::Points;

/// Phase, rule, and the text after `parsing [file:line] : `.
#[test]
fn bad_rules_have_haproxys_texts() {
    const IN: &str = "error detected in frontend 'f' while parsing";
    for (rule, text) in [
        ("set-header a", format!("{IN} 'http-request set-header' rule : expects exactly 2 arguments.")),
        (
            "set-header a b c",
            "'http-request set-header' expects either 'if' or 'unless' followed by a condition but found 'c'.".into(),
        ),
        (
            "set-header a %[foo]",
            format!(
                "{IN} 'http-request set-header' rule : failed to parse sample expression <foo]> : unknown fetch method \
                 'foo'."
            ),
        ),
        (
            "set-header a %[path,foo]",
            format!(
                "{IN} 'http-request set-header' rule : failed to parse sample expression <path,foo]> : unknown \
                 converter 'foo'."
            ),
        ),
        ("set-header a %[path", format!("{IN} 'http-request set-header' rule : missing ']' after 'path'.")),
        (
            "set-header a %[path,field(1)]",
            format!(
                "{IN} 'http-request set-header' rule : failed to parse sample expression <path,field(1)]> : invalid \
                 arg 2 in converter 'field' : missing arguments (got 1/2), type 'string' expected."
            ),
        ),
        (
            "set-header a %[path,field(a,b)]",
            format!(
                "{IN} 'http-request set-header' rule : failed to parse sample expression <path,field(a,b)]> : invalid \
                 arg 1 in converter 'field' : failed to parse 'a' as type 'integer' at position 1."
            ),
        ),
        (
            "set-header a %[path,lower(1)]",
            format!(
                "{IN} 'http-request set-header' rule : failed to parse sample expression <path,lower(1)]> : invalid \
                 arg 1 in converter 'lower' : expected ')' before '1)]'."
            ),
        ),
        (
            "set-header a %[req.hdr(a,1,2)]",
            format!(
                "{IN} 'http-request set-header' rule : failed to parse sample expression <req.hdr(a,1,2)]> : fetch \
                 method 'req.hdr' : expected ')' before ',2)]'."
            ),
        ),
        (
            "set-header a %[res.hdr(a)]",
            format!(
                "{IN} 'http-request set-header' rule : sample fetch <res.hdr> may not be reliably used here because it \
                 needs 'HTTP response headers' which is not available here."
            ),
        ),
        (
            "set-header a %zz",
            format!(
                "{IN} 'http-request set-header' rule : no such format alias 'zz'. If you wanted to emit the '%' \
                 character verbatim, you need to use '%%'."
            ),
        ),
        (
            "set-var(txn.a) res.hdr(a)",
            format!(
                "{IN} 'http-request set-var(txn.a)' rule : fetch method 'set-var(txn.a)' extracts information from \
                 'HTTP response headers', none of which is available here."
            ),
        ),
        (
            "set-var(foo) str(a)",
            format!(
                "{IN} 'http-request set-var(foo)' rule : invalid variable name 'foo'. A variable name must start with \
                 its scope. The scope can be 'proc', '(p)sess', '(p)txn', '(p)req', '(p)res' or 'check'."
            ),
        ),
        (
            "set-header a b if foo",
            "error detected while parsing an 'http-request set-header' condition : no such ACL : 'foo'.".into(),
        ),
        (
            "set-header a b if { foo }",
            "error detected while parsing an 'http-request set-header' condition : unknown fetch method 'foo' in ACL \
             expression 'foo'."
                .into(),
        ),
        (
            "set-header a b if { path /a",
            "error detected while parsing an 'http-request set-header' condition : missing closing '}' in condition."
                .into(),
        ),
        (
            "set-header a b if {path /a}",
            "error detected while parsing an 'http-request set-header' condition : no such ACL : '{path'.".into(),
        ),
        (
            "deny if { path -m foo /a }",
            "error detected while parsing an 'http-request deny' condition : unknown matching method 'foo' when parsing \
             ACL expression."
                .into(),
        ),
        (
            "deny if { src /a }",
            "error detected while parsing an 'http-request deny' condition : '/a' is not a valid IPv4 or IPv6 address."
                .into(),
        ),
        (
            "deny if { dst_port aa }",
            "error detected while parsing an 'http-request deny' condition : 'aa' is not a number.".into(),
        ),
        (
            "deny if { path_reg ( }",
            "error detected while parsing an 'http-request deny' condition : regex '(' is invalid (error=missing \
             closing parenthesis, erroffset=1)."
                .into(),
        ),
        (
            "deny if { path -f /nonexist }",
            "error detected while parsing an 'http-request deny' condition : failed to open pattern file </nonexist>."
                .into(),
        ),
        ("deny deny_status abc", format!("{IN} 'http-request deny' rule : Unexpected status code '0'.")),
        (
            "deny deny_status 299",
            format!(
                "{IN} 'http-request deny' rule : status code '299' not handled by default with 'default-errorfiles' \
                 argument."
            ),
        ),
        (
            "return string a",
            format!(
                "{IN} 'http-request return' rule : a content type must be defined when non-empty payload is configured."
            ),
        ),
        (
            "return lf-string a",
            format!(
                "{IN} 'http-request return' rule : a content type must be defined with a log-format payload."
            ),
        ),
        ("deny deny_status 999", format!("{IN} 'http-request deny' rule : Unexpected status code '999'.")),
        (
            "return status 200 string",
            format!("{IN} 'http-request return' rule : 'string' expects <str> as argument."),
        ),
        (
            "redirect location /a code 300",
            format!(
                "{IN} 'http-request redirect' rule : 'code': unsupported HTTP code '300' (must be one of 301, 302, 303, \
                 307 or 308)."
            ),
        ),
        (
            "track-sc9 src",
            format!("{IN} 'http-request track-sc9' rule : 9 track-sc number exceeding 2 (tune.stick-counters-1) value."),
        ),
        (
            "capture req.hdr(a) len 0",
            format!("{IN} 'http-request capture' rule : length must be > 0."),
        ),
        (
            "do-resolve(txn.a,r,ipv5) src",
            format!(
                "{IN} 'http-request do-resolve(txn.a,r,ipv5)' rule : Can't parse 'do-resolve(txn.a,r,ipv5)'. Expects \
                 'do-resolve(<varname>,<resolvers>[,<options>]) <expr>'. Available options are 'ipv4' and 'ipv6'."
            ),
        ),
        (
            "do-resolve(txn.a,r) nosuch",
            format!(
                "{IN} 'http-request do-resolve(txn.a,r)' rule : Can't parse 'nosuch': unknown fetch method 'nosuch'. \
                 Expects 'do-resolve(<varname>,<resolvers>[,<options>]) <expr>'. Available options are 'ipv4' and 'ipv6'."
            ),
        ),
    ] {
        let ours = Bench::default().rules(Phase::HttpRequest, &[rule]).unwrap_err();
        assert_eq!(ours, text, "{rule}");
    }
}

#[test]
fn an_unknown_action_lists_all_and_suggests_the_nearest() {
    let text = Bench::default().rules(Phase::HttpRequest, &["set-heder a b"]).unwrap_err();
    assert!(
        text.starts_with("'http-request' expects 'wait-for-handshake', 'set-retries', 'set-log-level',"),
        "{text}"
    );
    assert!(text.ends_with(", but got 'set-heder'. Did you mean 'set-header' maybe ?"), "{text}");
    let text = Bench::default().rules(Phase::TcpRequestConnection, &["acept"]).unwrap_err();
    assert!(text.ends_with("in frontend 'f' (got 'acept'). Did you mean 'accept' maybe ?"), "{text}");
    let text = Bench::default().rules(Phase::TcpRequestConnection, &["set-vr(txn.a)"]).unwrap_err();
    assert!(text.ends_with("(got 'set-vr(txn.a)'). Did you mean 'set-var' maybe ?"), "{text}");
    let text = Bench::default().rules(Phase::TcpRequestConnection, &["foo"]).unwrap_err();
    assert!(text.ends_with("'set-tos', 'silent-drop' in frontend 'f' (got 'foo')."), "{text}");
}

#[test]
fn a_fetch_out_of_place_in_a_condition_is_only_a_warning() {
    let mut bench = Bench::default();
    bench.rules(Phase::HttpRequest, &["deny if { res.hdr(a) x }"]).unwrap();
    assert_eq!(
        bench.warnings,
        ["'anonymous acl will never match because it uses keyword 'res.hdr' which is incompatible with 'frontend \
          http-request header rule'."]
    );
}

#[test]
fn switching_and_redirect_lines_have_their_own_texts() {
    let mut bench = Bench::default();
    let mut switch = |line: &str| {
        let words = split(line);
        bench.parse(Points(0), |p| Switching::default().parse_rule("use_backend", &words, p)).map_err(|e| e.text)
    };
    assert_eq!(switch("").unwrap_err(), "'use_backend' expects a backend name.");
    assert_eq!(
        switch("bk foo").unwrap_err(),
        "unexpected keyword 'foo' after switching rule, only 'if' and 'unless' are allowed."
    );
    assert_eq!(
        switch("bk if foo").unwrap_err(),
        "error detected while parsing switching rule : no such ACL : 'foo'."
    );
    assert!(switch("%[path,field(2,/)]").is_ok());
    let words = split("prefix");
    let text = bench.parse(Points(0), |p| Redirects::default().parse_rule(&words, p)).unwrap_err().text;
    assert_eq!(text, "error detected in frontend 'f' while parsing redirect rule : missing argument for 'prefix'.");
}

#[test]
fn names_that_stay_unresolved_have_haproxys_texts() {
    let mut bench = Bench::default();
    let mut missing = |text: &str| {
        bench.parse(Points::FE_HRQ_HDR, |p| {
            crate::language::sample::Expr::parse(text, false, p).unwrap();
            p.references.pop().unwrap().message()
        })
    };
    assert_eq!(
        missing("nbsrv(zz)"),
        "parsing [t.cfg:10]: unable to find backend 'zz' referenced in arg 1 of sample fetch keyword 'nbsrv' in \
         http-request expression in proxy 'f'."
    );
    assert_eq!(
        missing("src,in_table(zz)"),
        "parsing [t.cfg:10]: unable to find table 'zz' referenced in arg 1 of conversion keyword 'in_table' for sample \
         fetch keyword 'src' in http-request expression in proxy 'f'."
    );
}
