//! Values of elements, and what to say when they are wrong: what, where, in which account of the file.

use super::{
    Problem,
    number::{self, Evidence},
    sgml::Element,
};
use crate::money::Amount;

/// Most characters in what the institution identifies a movement by.
pub const MAX_ID: usize = 255;

/// Reads the values of one statement.
pub struct Fields {
    /// What the file says of its decimal separators.
    pub evidence: Evidence,
    /// The place of the statement among those of the file, from one.
    pub ordinal: usize,
}

impl Fields {
    /// The amount that an element's text is.
    pub fn amount(&self, element: Element, text: &str) -> Result<Amount, Problem> {
        number::amount(text, self.evidence).map_err(|reason| self.wrong(element, text, reason))
    }

    /// The one child with this name, which has a text. Two of them are two movements with a tag missing between them.
    pub fn required<'t>(
        &self,
        parent: Element<'t>,
        name: &str,
    ) -> Result<(Element<'t>, String), Problem> {
        if let Some(second) = parent.children().filter(|child| child.is(name)).nth(1) {
            return Err(self.problem(
                second,
                &format!("{} has more than one {name}", parent.name()),
            ));
        }
        parent
            .value(name)
            .ok_or_else(|| self.problem(parent, &format!("{} has no {name}", parent.name())))
    }

    /// A text that identifies something, if there is one; it must be short enough for an index of a database.
    pub fn identifier(
        &self,
        parent: Element,
        name: &str,
        longest: usize,
    ) -> Result<Option<String>, Problem> {
        match parent.value(name) {
            Some((element, text)) if text.chars().count() > longest => Err(self.problem(
                element,
                &format!("{name} is longer than {longest} characters"),
            )),
            value => Ok(value.map(|(_, text)| text)),
        }
    }

    /// Says that a text is not what it should be.
    pub fn wrong(&self, element: Element, text: &str, reason: &str) -> Problem {
        const SHOWN: usize = 40;
        let shown: String = text.chars().take(SHOWN).collect();
        let more = if text.chars().nth(SHOWN).is_some() {
            "…"
        } else {
            ""
        };
        self.problem(
            element,
            &format!("{} {shown:?}{more} {reason}", element.name()),
        )
    }

    /// Says what is wrong with an element.
    pub fn problem(&self, element: Element, message: &str) -> Problem {
        Problem::at(
            element.offset(),
            format!("{message} (account {})", self.ordinal),
        )
    }
}
