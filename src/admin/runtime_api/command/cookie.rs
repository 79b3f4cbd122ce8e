//! Commands about the cookies that are computed from a server's address (management guide "enable dynamic-cookie backend").

use crate::{
    admin::runtime_api::{
        Answer, Call,
        catalogue::{Command, command},
    },
    model::{bind::Level, persist::DynamicCookie},
};

pub static COMMANDS: &[Command] = &[
    command(
        &["disable", "dynamic-cookie", "backend"],
        Level::Admin,
        disable,
        "disable dynamic-cookie backend <bk>     : disable dynamic cookies on a specific backend",
    ),
    command(
        &["enable", "dynamic-cookie", "backend"],
        Level::Admin,
        enable,
        "enable dynamic-cookie backend <bk>      : enable dynamic cookies on a specific backend",
    ),
    command(
        &["set", "dynamic-cookie-key", "backend"],
        Level::Admin,
        set_key,
        "set dynamic-cookie-key backend <bk> <k> : change a backend secret key for dynamic cookies",
    ),
];

fn with_backend(call: &mut Call<'_>, act: impl FnOnce(&Call<'_>, &DynamicCookie) -> Answer) -> Answer {
    if call.argument(0).is_empty() {
        return Answer::error("A backend name is expected.");
    }
    match super::backend_of(call.process, call.argument(0)) {
        Some(proxy) => act(call, &call.process.board().live.backend(proxy).dynamic_cookie),
        None => Answer::error("No such backend."),
    }
}

pub fn enable(call: &mut Call<'_>) -> Answer {
    with_backend(call, |_, cookie| {
        cookie.enable(true);
        Answer::Empty
    })
}

pub fn disable(call: &mut Call<'_>) -> Answer {
    with_backend(call, |_, cookie| {
        cookie.enable(false);
        Answer::Empty
    })
}

pub fn set_key(call: &mut Call<'_>) -> Answer {
    with_backend(call, |call, cookie| match call.argument(1) {
        "" => Answer::error("String value expected."),
        key => {
            cookie.set_key(key.to_owned());
            Answer::Empty
        }
    })
}
