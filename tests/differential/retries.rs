//! Retries, redispatch and retry-on.

use crate::common::origin::Step;
use crate::run::Run;

const OK: &str = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok";
const GET: &str = "GET / HTTP/1.1\r\nHost: a\r\n\r\n";

fn failing_then_good(run: &mut Run, first: Vec<Step>) {
    run.origin_with("s1", vec![first, vec![Step::Serve(OK.into())]]);
}

scenario!(refused_and_retried_on_the_same_server, |run| {
    run.refusing("s1");
    run.http("", "retries 1\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(redispatch_to_the_next_server, |run| {
    run.refusing("s1");
    run.origin("s2", vec![Step::Serve(OK.into())]);
    run.http("", "option redispatch 1\n balance roundrobin\n server s1 127.0.0.1:{s1}\n server s2 127.0.0.1:{s2}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(last_retry_is_redispatched, |run| {
    run.refusing("s1");
    run.origin("s2", vec![Step::Serve(OK.into())]);
    run.http(
        "",
        "option redispatch\n retries 1\n balance roundrobin\n server s1 127.0.0.1:{s1}\n server s2 127.0.0.1:{s2}",
    );
    run.client().ask(GET);
    run.logs(1);
});

scenario!(retry_on_empty_response, |run| {
    failing_then_good(run, vec![Step::Request, Step::Close]);
    run.http("", "retry-on empty-response\n retries 1\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(retry_on_empty_response_with_a_body, |run| {
    failing_then_good(run, vec![Step::Request, Step::Close]);
    run.http("", "retry-on empty-response\n retries 1\n server s1 127.0.0.1:{s1}");
    run.client().ask("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 5\r\n\r\nhello");
    run.logs(1);
});

scenario!(retry_on_status, |run| {
    let busy = "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbusy";
    failing_then_good(run, vec![Step::Request, Step::Send(busy.into()), Step::Close]);
    run.http("", "retry-on 503\n retries 1\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(retry_on_status_gives_the_last_answer_when_spent, |run| {
    let busy = "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbusy";
    run.origin("s1", vec![Step::Request, Step::Send(busy.into()), Step::Close]);
    run.http("", "retry-on 503\n retries 2\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(retry_on_response_timeout, |run| {
    failing_then_good(run, vec![Step::Request, Step::Eof]);
    run.http("", "retry-on response-timeout\n timeout server 150ms\n retries 1\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(retry_on_junk_response, |run| {
    failing_then_good(run, vec![Step::Request, Step::Send("junk\r\n\r\n".into())]);
    run.http("", "retry-on junk-response\n retries 1\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(retry_on_all_retryable_errors, |run| {
    failing_then_good(
        run,
        vec![
            Step::Request,
            Step::Send("HTTP/1.1 500 Oops\r\nConnection: close\r\nContent-Length: 0\r\n\r\n".into()),
            Step::Close,
        ],
    );
    run.http("", "retry-on all-retryable-errors\n retries 1\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(no_retry_once_the_answer_began, |run| {
    failing_then_good(
        run,
        vec![Step::Request, Step::Send("HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf".into()), Step::Close],
    );
    run.http("", "retry-on all-retryable-errors\n retries 1\n server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send(GET);
    c.closed();
    run.logs(1);
});

scenario!(no_retry_without_retry_on, |run| {
    failing_then_good(run, vec![Step::Request, Step::Close]);
    run.http("", "retries 3\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(retry_on_status_passes_the_answer_to_a_request_that_cannot_be_repeated, |run| {
    let busy = "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbusy";
    run.origin("s1", vec![Step::Until(b"abc".to_vec()), Step::Send(busy.into()), Step::Close]);
    run.http("", "retry-on 503\n retries 2\n server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.send("POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 6\r\n\r\nabc");
    run.origin_received("s1", 0, b"abc");
    c.response();
    run.forget();
});

scenario!(retry_on_status_passes_the_answer_where_retries_are_disabled, |run| {
    let busy = "HTTP/1.1 503 Busy\r\nConnection: close\r\nContent-Length: 4\r\n\r\nbusy";
    run.origin("s1", vec![Step::Request, Step::Send(busy.into()), Step::Close]);
    run.http("http-request disable-l7-retry", "retry-on 503\n retries 2\n server s1 127.0.0.1:{s1}");
    run.client().ask(GET);
    run.logs(1);
});

scenario!(trailers_of_a_request_that_may_be_repeated_are_sent, |run| {
    failing_then_good(run, vec![Step::Request, Step::Close]);
    run.http("", "retry-on empty-response\n retries 1\n server s1 127.0.0.1:{s1}");
    let mut c = run.client();
    c.ask("POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\nX-T: 1\r\n\r\n");
    run.logs(1);
});
