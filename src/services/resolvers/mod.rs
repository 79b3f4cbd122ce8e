//! Names at run time (manual 5.3): one task for each `resolvers` section on the control thread's reactor. [`names`] decides,
//! the task sends and receives; servers change through the live state, and what follows goes to the owner of the context.

mod answers;
mod names;
mod nameserver;
mod resolution;
mod section;
mod slots;
#[cfg(test)]
mod tests;

pub use names::Asker;

use crate::engine::Rt;
use crate::model::plan::{Plan, ProxyIndex, ServerIndex};
use crate::model::server::ResolvePrefer;
use crate::model::state::board::Board;
use crate::model::state::event::Event;
use section::Section;
use std::net::IpAddr;
use std::rc::Rc;
use std::sync::Arc;

/// Answers an [`Asker`]; `None`: the name has no address, or nobody could tell it.
pub type OnFound = Box<dyn Fn(Asker, Option<IpAddr>)>;

/// What resolvers need of their surroundings.
pub struct ResolverContext {
    pub rt: Rt,
    pub plan: Arc<Plan>,
    pub board: Arc<Board>,
    /// Called with what follows from each answer, in order; never with nothing.
    pub on_events: Box<dyn Fn(Vec<Event>)>,
    pub on_found: OnFound,
}

/// The running resolvers.
pub struct ResolversHandle {
    sections: Vec<Rc<Section>>,
    rt: Rt,
}

/// Starts to ask for the names of all servers.
pub fn start(cx: ResolverContext) -> ResolversHandle {
    let rt = cx.rt.clone();
    let cx = Rc::new(cx);
    let sections = (0..cx.plan.resolvers.len()).map(|index| Section::start(&cx, index)).collect();
    ResolversHandle { sections, rt }
}

impl ResolversHandle {
    /// Asks for an address of `name` by the section number `section`.
    pub fn look_up(&self, section: usize, asker: Asker, name: &str, prefer: ResolvePrefer) {
        if let Some(section) = self.sections.get(section) {
            section.names.borrow_mut().look_up(asker, name, prefer, self.rt.now().mono);
            section.wake();
        }
    }

    /// `set server … fqdn`: the sentence for the answer. `None`: no section resolves this server's name.
    pub fn rename(
        &self,
        (proxy, server): (ProxyIndex, ServerIndex),
        name: &str,
        by: &str,
    ) -> Option<Result<String, String>> {
        self.sections.iter().find_map(|section| {
            let outcome = section.rename((proxy, server), name, by)?;
            section.wake();
            Some(outcome)
        })
    }

    /// A server could not be connected to in time: its name is asked for now.
    pub fn hurry(&self, proxy: ProxyIndex, server: ServerIndex) {
        for section in &self.sections {
            section.names.borrow_mut().hurry(proxy, server, self.rt.now().mono);
            section.wake();
        }
    }
}

impl Drop for ResolversHandle {
    fn drop(&mut self) {
        for section in &self.sections {
            self.rt.kill(section.task());
        }
    }
}
