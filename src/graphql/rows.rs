//! Long lists of plain rows.
//!
//! A future for each field of each row, and a value for each of its answers, are most of what a long list costs. Rows of
//! which only fields are asked for that need nothing but the row are written down at once, as JSON; anything else (a
//! relation, a fragment, a directive) takes the executor.

use std::{borrow::Cow, collections::HashSet, fmt::Display, io::Write as _};

use async_graphql::{
    ContextSelectionSet, Name, OutputType, Positioned, ServerResult, Value,
    indexmap::IndexMap,
    parser::types::{Field, Selection, SelectionSet},
    registry::Registry,
};
use async_graphql_value::RAW_VALUE_TOKEN;

use crate::app::App;

/// A row that can write some of its fields by itself.
pub trait Plain {
    /// Writes the value of a field without arguments; `None`, having written anything, when it takes the executor.
    fn write(&self, _app: &App, _field: &Field, _json: &mut Json) -> Option<()> {
        None
    }
}

/// Rows of a list.
pub struct Rows<'a, T>(pub &'a [T]);

impl<T: OutputType + Plain> OutputType for Rows<'_, T> {
    fn type_name() -> Cow<'static, str> {
        <&[T] as OutputType>::type_name()
    }

    fn qualified_type_name() -> String {
        <&[T] as OutputType>::qualified_type_name()
    }

    fn create_type_info(registry: &mut Registry) -> String {
        <&[T] as OutputType>::create_type_info(registry)
    }

    async fn resolve(
        &self,
        ctx: &ContextSelectionSet<'_>,
        field: &Positioned<Field>,
    ) -> ServerResult<Value> {
        match all(self.0, ctx.data_unchecked::<App>(), &ctx.item.node) {
            Some(text) => {
                let raw = (Name::new(RAW_VALUE_TOKEN), Value::String(text));
                Ok(Value::Object(IndexMap::from_iter([raw])))
            }
            None => self.0.resolve(ctx, field).await,
        }
    }
}

fn all<T: Plain>(rows: &[T], app: &App, selected: &SelectionSet) -> Option<String> {
    if !is_plain(selected) {
        return None;
    }
    let mut json = Json(Vec::new());
    json.0.push(b'[');
    for (place, row) in rows.iter().enumerate() {
        if place > 0 {
            json.0.push(b',');
        }
        json.object(row, app, selected)?;
        if place == 0 {
            json.0.reserve((json.0.len() + 16) * rows.len());
        }
    }
    json.0.push(b']');
    String::from_utf8(json.0).ok()
}

/// An answer in the making.
pub struct Json(Vec<u8>);

impl Json {
    /// Any text.
    pub fn text(&mut self, text: &str) -> Option<()> {
        serde_json::to_writer(&mut self.0, text).ok()
    }

    /// A text that has nothing to escape: an id, a number, an instant, a word of a vocabulary.
    pub fn word(&mut self, word: impl Display) -> Option<()> {
        write!(self.0, "\"{word}\"").ok()
    }

    /// A whole number.
    pub fn number(&mut self, number: i32) -> Option<()> {
        write!(self.0, "{number}").ok()
    }

    /// True or false.
    pub fn flag(&mut self, flag: bool) -> Option<()> {
        write!(self.0, "{flag}").ok()
    }

    /// A value or null.
    pub fn maybe<T>(
        &mut self,
        value: Option<T>,
        write: impl FnOnce(&mut Self, T) -> Option<()>,
    ) -> Option<()> {
        match value {
            Some(value) => write(self, value),
            None => self.0.write_all(b"null").ok(),
        }
    }

    /// An object of the selected fields, which are [plain](is_plain).
    pub fn object<T: Plain>(&mut self, row: &T, app: &App, selected: &SelectionSet) -> Option<()> {
        let mut before = b'{';
        for selection in &selected.items {
            let Selection::Field(field) = &selection.node else {
                return None;
            };
            let field = &field.node;
            self.0.push(before);
            before = b',';
            write!(self.0, "\"{}\":", field.response_key().node).ok()?;
            row.write(app, field, self)?;
        }
        self.0.push(b'}');
        Some(())
    }
}

/// Whether nothing but fields is selected, each once, without arguments and directives.
fn is_plain(selected: &SelectionSet) -> bool {
    let mut keys = HashSet::with_capacity(selected.items.len());
    selected.items.iter().all(|selection| {
        let Selection::Field(field) = &selection.node else {
            return false;
        };
        let field = &field.node;
        // What is asked for twice is answered once.
        let once = keys.insert(field.response_key().node.as_str());
        once && field.directives.is_empty()
            && field.arguments.is_empty()
            && is_plain(&field.selection_set.node)
    })
}
