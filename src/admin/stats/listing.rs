//! Listings with an entry for each object: `show stat` and the page's exports (`;csv`, `;json`), `show servers state` and
//! `show servers conn`. What an entry says is its form's.

use super::{
    Scene, csv,
    fields::Object,
    json, servers, typed,
    walk::{Selection, Step, Walk},
};

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Csv,
    Typed {
        descriptions: bool,
    },
    Json,
    /// Of servers alone.
    ServersState,
    ServersConn,
}

/// One listing, in pieces of an entry each.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listing {
    form: Form,
    walk: Walk,
    begun: bool,
    has_entries: bool,
}

impl Listing {
    /// `None` selects nothing.
    pub fn new(form: Form, selection: Option<Selection>) -> Listing {
        let walk = selection.map_or_else(Walk::over, Walk::new);
        Listing { form, walk, begun: false, has_entries: false }
    }

    /// Appends the next piece; false when it was the last.
    pub fn write_next(&mut self, scene: &Scene<'_>, out: &mut Vec<u8>) -> bool {
        if !std::mem::replace(&mut self.begun, true) {
            self.head(scene, out);
            return true;
        }
        match self.walk.step(scene) {
            Step::Nothing => true,
            Step::Object(object) => {
                self.entry(scene, object, out);
                true
            }
            Step::End => {
                if self.form == Form::Json {
                    out.extend_from_slice(b"]\n");
                }
                false
            }
        }
    }

    fn head(&self, scene: &Scene<'_>, out: &mut Vec<u8>) {
        match self.form {
            Form::Csv => csv::header(out),
            Form::Typed { .. } => {}
            Form::Json => out.push(b'['),
            Form::ServersState => servers::state_head(out),
            Form::ServersConn => servers::conn_head(scene, out),
        }
    }

    fn entry(&mut self, scene: &Scene<'_>, object: Object, out: &mut Vec<u8>) {
        let is_first = !std::mem::replace(&mut self.has_entries, true);
        match (self.form, object) {
            (Form::Csv, _) => csv::line(scene, object, out),
            (Form::Typed { descriptions }, _) => typed::lines(scene, object, descriptions, out),
            (Form::Json, _) => {
                if !is_first {
                    out.push(b',');
                }
                json::object(scene, object, out);
            }
            (Form::ServersState, Object::Server(proxy, server)) => servers::state_line(scene, proxy, server, out),
            (Form::ServersConn, Object::Server(proxy, server)) => servers::conn_line(scene, proxy, server, out),
            (Form::ServersState | Form::ServersConn, _) => {}
        }
    }
}
