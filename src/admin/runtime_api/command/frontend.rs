//! Commands about frontends.

use super::integer;
use crate::{
    admin::runtime_api::{Answer, Call, Change},
    model::{plan::ProxyIndex, state::live::FrontendState},
};
use std::sync::atomic::Ordering::Relaxed;

fn frontend(call: &Call<'_>) -> Result<ProxyIndex, Answer> {
    let word = call.argument(0);
    if word.is_empty() {
        return Err(Answer::error("A frontend name is expected."));
    }
    let plan = call.process.plan();
    let by_id = word.strip_prefix('#').and_then(|id| id.parse::<u32>().ok());
    let found = match by_id {
        Some(id) => plan.proxies.iter().position(|p| p.has_frontend && p.id == id),
        None => plan.frontend(word),
    };
    found.ok_or_else(|| Answer::error("No such frontend."))
}

fn state(call: &Call<'_>, proxy: ProxyIndex) -> FrontendState {
    call.process.board().live.frontend(proxy).state()
}

fn change(call: &mut Call<'_>, proxy: ProxyIndex, change: Change, state: FrontendState) -> Answer {
    match call.process.change(change) {
        Ok(()) => {
            call.process.board().live.frontend(proxy).set_state(state);
            Answer::Confirmed
        }
        Err(text) => Answer::error(text),
    }
}

pub fn enable(call: &mut Call<'_>) -> Answer {
    let proxy = match frontend(call) {
        Ok(proxy) => proxy,
        Err(answer) => return answer,
    };
    match state(call, proxy) {
        FrontendState::Stopped => Answer::error("Frontend was previously shut down, cannot enable."),
        FrontendState::Open => {
            Answer::Message(crate::admin::runtime_api::Severity::Notice, "All sockets are already enabled.".into())
        }
        FrontendState::Paused => change(call, proxy, Change::ResumeFrontend(proxy), FrontendState::Open),
    }
}

pub fn disable(call: &mut Call<'_>) -> Answer {
    let proxy = match frontend(call) {
        Ok(proxy) => proxy,
        Err(answer) => return answer,
    };
    match state(call, proxy) {
        FrontendState::Stopped => Answer::error("Frontend was previously shut down, cannot disable."),
        FrontendState::Paused => {
            Answer::Message(crate::admin::runtime_api::Severity::Notice, "All sockets are already disabled.".into())
        }
        FrontendState::Open => change(call, proxy, Change::PauseFrontend(proxy), FrontendState::Paused),
    }
}

pub fn shutdown(call: &mut Call<'_>) -> Answer {
    let proxy = match frontend(call) {
        Ok(proxy) => proxy,
        Err(answer) => return answer,
    };
    match state(call, proxy) {
        FrontendState::Stopped => Answer::error("Frontend was already shut down."),
        _ => change(call, proxy, Change::StopFrontend(proxy), FrontendState::Stopped),
    }
}

pub fn set_maxconn(call: &mut Call<'_>) -> Answer {
    let proxy = match frontend(call) {
        Ok(proxy) => proxy,
        Err(answer) => return answer,
    };
    let word = call.argument(1);
    if word.is_empty() {
        return Answer::error("Integer value expected.");
    }
    let Some(value) = integer(word).and_then(|v| u32::try_from(v).ok()) else {
        return Answer::error("Value out of range.");
    };
    call.process.board().live.frontend(proxy).maxconn.store(value, Relaxed);
    match call.process.change(Change::LimitsChanged) {
        Ok(()) => Answer::Empty,
        Err(text) => Answer::error(text),
    }
}
