//! `stick-table` and `stick` (manual 4.2, 11).

use crate::{
    config::{
        keyword::{
            Needs::{Backend, Nothing},
            Row,
            args::{Args, Fault},
            expr, row_nodef, stick_table,
        },
        section::Loading,
    },
    language::{
        acl::Condition,
        parse::{Error, Words},
        sample::{Expr, scope::Points},
    },
    model::stick_table::{StickKind, StickRule},
};

pub static ROWS: &[Row] = &[
    row_nodef("stick-table", Nothing, |cx, a| {
        let name = cx.draft().proxy.name.clone();
        if let Some(origin) = cx.draft().proxy.backend.stick_table.as_ref().map(|t| t.origin.clone()) {
            let title = cx.draft().title();
            let text = format!("stick-table name '{name}' conflicts with table declared in {title} at {origin}.");
            return Err(a.fault(0, text));
        }
        let table = stick_table::read(cx, a, 1, "stick-table", name)?;
        cx.draft().proxy.backend.stick_table = Some(table);
        Ok(())
    }),
    row_nodef("stick", Backend, stick),
];

fn stick(cx: &mut Loading<'_>, a: &Args<'_>) -> Result<(), Fault> {
    let kind = match a.get(1) {
        "on" => StickKind::On,
        "match" => StickKind::Match,
        "store-request" => StickKind::StoreRequest,
        "store-response" => StickKind::StoreResponse,
        _ => return Err(a.fault(1, "'stick' expects 'on', 'match', or 'store'.")),
    };
    if a.get(2).is_empty() {
        return Err(a.fault(2, "'stick' expects a fetch method."));
    }
    let points = if kind == StickKind::StoreResponse { Points::BE_STO_RUL } else { Points::BE_SET_SRV };
    let mut at = 3;
    let mut table = None;
    if a.get(at) == "table" {
        table = Some(a.get(at + 1).to_owned());
        at += 2;
    }
    if !matches!(a.get(at), "" | "if" | "unless") {
        let text = format!("'stick' expects either 'if' or 'unless' followed by a condition (got '{}').", a.get(at));
        return Err(a.fault(at, text));
    }
    let condition: Vec<&str> = a.from(at).collect();
    let (word, index, base) = (a.get(2), a.word(2), a.word(at));
    expr::line(cx, a, |p, rules| {
        p.points = points;
        let compiled = Expr::parse_word(word, index, p).map_err(|e| e.within("'stick': "))?;
        compiled.check_scope(p).map_err(|text| Error::new(index, format!("'stick': {text}")))?;
        let condition = match condition.is_empty() {
            true => None,
            false => {
                let place = "'stick': error detected while parsing sticking condition : ";
                let mut w = Words::new(&condition, base);
                Some(Condition::parse(&mut w, p).map_err(|e| e.within(place).ended())?)
            }
        };
        rules.stick.push((compiled, condition));
        Ok(())
    })?;
    let rule =
        StickRule { origin: a.origin(), kind, expression: vec![word.to_owned()], table, condition: a.strings(at) };
    cx.draft().proxy.backend.stick_rules.push(rule);
    Ok(())
}
