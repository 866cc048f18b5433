//! Documents that were judged before: clients send the same few again and again, and parsing costs more than running a
//! small one.

use std::{
    collections::HashMap,
    sync::{Arc, Mutex},
};

use super::{Inspected, Rejection, inspect};

/// Documents that are remembered; beyond it all are forgotten.
const MOST: usize = 256;
/// Longest document, in bytes, that is remembered.
const LONGEST: usize = 4 * 1024;

/// By document and operation name.
type Judged = HashMap<(String, Option<String>), Inspected>;

/// Judged documents of callers with a token, so that nobody else can push them out.
#[derive(Clone, Default)]
pub struct Known(Arc<Mutex<Judged>>);

impl Known {
    /// What was found about a document, if it is remembered.
    pub fn find(&self, document: &str, operation: Option<&str>) -> Option<Inspected> {
        if document.len() > LONGEST {
            return None;
        }
        let key = (document.to_owned(), operation.map(str::to_owned));
        let judged = self.0.lock().expect("no panic while looking");
        judged.get(&key).cloned()
    }

    /// Judges a document of a caller with a token, unless that was done before.
    pub fn judge(&self, document: &str, operation: Option<&str>) -> Result<Inspected, Rejection> {
        if let Some(inspected) = self.find(document, operation) {
            return Ok(inspected);
        }
        let inspected = inspect(document, operation)?;
        self.remember(document, operation, &inspected);
        Ok(inspected)
    }

    /// Remembers what was found about a document.
    pub fn remember(&self, document: &str, operation: Option<&str>, inspected: &Inspected) {
        let name = operation.map_or(0, str::len);
        if document.len() + name > LONGEST {
            return;
        }
        let key = (document.to_owned(), operation.map(str::to_owned));
        let mut judged = self.0.lock().expect("no panic while remembering");
        if judged.len() >= MOST {
            judged.clear();
        }
        judged.insert(key, inspected.clone());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_document_is_known_by_its_text_and_operation_and_memory_is_bounded() {
        let known = Known::default();
        let document = "query A { __typename } query B { a b }";
        let judged = inspect(document, Some("B")).expect("within the limits");
        known.remember(document, Some("B"), &judged);
        let found = known.find(document, Some("B")).expect("known");
        assert_eq!(found.root_fields, 2);
        assert!(known.find(document, Some("A")).is_none());
        assert!(known.find("{ a }", Some("B")).is_none());
        for n in 0..MOST * 3 {
            known.remember(&format!("{{ a{n} }}"), None, &judged);
        }
        assert!(known.0.lock().expect("no panic").len() <= MOST);
        known.remember(&" ".repeat(LONGEST + 1), None, &judged);
        assert!(known.find(&" ".repeat(LONGEST + 1), None).is_none());
    }
}
