//! Commands about certificates (management guide "set ssl cert" and its kin): the words; what happens is
//! `model::certificates::store`'s, which also has the texts.

use crate::{
    admin::runtime_api::{Answer, Call, Severity},
    model::certificates::store::{self, Store},
};
use std::sync::Arc;

/// The store of the process; an empty one where no line uses TLS, as nothing is loaded then.
fn store(call: &Call<'_>) -> Arc<Store> {
    match &call.process.plan().credentials {
        Some(credentials) => credentials.store.0.clone(),
        None => Arc::default(),
    }
}

fn done(answer: store::Answer) -> Answer {
    match answer {
        Ok(text) => Answer::Message(Severity::Notice, text),
        Err(text) => Answer::error(text),
    }
}

fn listing(answer: store::Answer) -> Answer {
    answer.map_or_else(Answer::error, |text| Answer::Text(text.into_bytes()))
}

/// `set ssl cert <file> <<payload`.
pub fn set(call: &mut Call<'_>) -> Answer {
    match (call.argument(0), call.payload) {
        ("", _) | (_, None) => Answer::error("'set ssl cert' expects a filename and a certificate as a payload"),
        (file, Some(payload)) => done(store(call).set(file, payload.as_bytes())),
    }
}

/// `commit ssl cert <file>`: the answer tells of progress, and is no sentence.
pub fn commit(call: &mut Call<'_>) -> Answer {
    match call.argument(0) {
        "" => Answer::error("'commit ssl cert' expects a filename"),
        file => listing(store(call).commit(file)),
    }
}

pub fn abort(call: &mut Call<'_>) -> Answer {
    match call.argument(0) {
        "" => Answer::error("'abort ssl cert' expects a filename"),
        file => done(store(call).abort(file)),
    }
}

pub fn new(call: &mut Call<'_>) -> Answer {
    match call.argument(0) {
        "" => Answer::error("'new ssl cert' expects a filename"),
        // There is no store that could keep it.
        _ if call.process.plan().credentials.is_none() => {
            Answer::error("Can't create a certificate: no line of the configuration uses TLS.")
        }
        file => done(store(call).create(file)),
    }
}

pub fn del(call: &mut Call<'_>) -> Answer {
    match call.argument(0) {
        "" => Answer::error("'del ssl cert' expects a certificate name"),
        file => done(store(call).delete(file)),
    }
}

/// `show ssl cert [[*]<file>]`.
pub fn show(call: &mut Call<'_>) -> Answer {
    match call.argument(0) {
        "" => Answer::Text(store(call).list().into_bytes()),
        file => listing(store(call).show(file)),
    }
}

/// `show ssl crt-list [-n] [<file>]`.
pub fn show_lists(call: &mut Call<'_>) -> Answer {
    match (call.argument(0), call.argument(1)) {
        ("-n", "") => Answer::error("'show ssl crt-list -n' expects a filename or a directory"),
        ("-n", file) => listing(store(call).show_lists(Some(file), true)),
        ("", _) => listing(store(call).show_lists(None, false)),
        (file, _) => listing(store(call).show_lists(Some(file), false)),
    }
}
