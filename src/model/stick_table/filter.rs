//! Choosing entries by what they store: `data.<type> <operator> <value>` of the runtime API (management guide 9.3 "show
//! table"). Values compare as signed 64-bit numbers; a server's key is none and counts as 0.

use super::data::{DataType, Layout};
use crate::base::clock::Millis;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Operator {
    Eq,
    Ne,
    Le,
    Ge,
    Lt,
    Gt,
}

impl Operator {
    pub fn named(word: &str) -> Option<Operator> {
        Some(match word {
            "eq" => Operator::Eq,
            "ne" => Operator::Ne,
            "le" => Operator::Le,
            "ge" => Operator::Ge,
            "lt" => Operator::Lt,
            "gt" => Operator::Gt,
            _ => return None,
        })
    }
}

/// One condition on an entry's data.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Filter {
    pub data: DataType,
    /// Element of an array; 0 elsewhere.
    pub index: u32,
    pub operator: Operator,
    pub value: i64,
}

impl Filter {
    /// Whether an entry is meant; one without such an element is not.
    pub fn matches(&self, layout: &Layout, words: &[u64], now: Millis) -> bool {
        let Some(column) = layout.column(self.data).filter(|c| self.index < c.elements) else { return false };
        let stored = match self.data {
            DataType::ServerKey => 0,
            _ => layout.element(words, column, self.index, now) as i64,
        };
        match self.operator {
            Operator::Eq => stored == self.value,
            Operator::Ne => stored != self.value,
            Operator::Le => stored <= self.value,
            Operator::Ge => stored >= self.value,
            Operator::Lt => stored < self.value,
            Operator::Gt => stored > self.value,
        }
    }
}
