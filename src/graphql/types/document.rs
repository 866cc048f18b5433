//! What institutions tell in documents of their own, read field by field: what is missing, or is not what it should be,
//! is null.

use std::str::FromStr;

use serde_json::Value;

use super::super::scalar::{Date, Decimal};

/// A text.
pub fn text<'a>(object: &'a Value, name: &str) -> Option<&'a str> {
    object.get(name).and_then(Value::as_str)
}

/// A text that is always there.
pub fn required<'a>(object: &'a Value, name: &str) -> &'a str {
    text(object, name).unwrap_or_default()
}

/// Some texts.
pub fn texts<'a>(object: &'a Value, name: &str) -> Vec<&'a str> {
    list_of(object, name).filter_map(Value::as_str).collect()
}

/// An exact number.
pub fn decimal(object: &Value, name: &str) -> Option<Decimal> {
    match object.get(name)? {
        Value::String(text) => text.parse().ok().map(Decimal),
        Value::Number(number) => number.to_string().parse().ok().map(Decimal),
        _ => None,
    }
}

/// A count.
pub fn integer(object: &Value, name: &str) -> Option<i32> {
    let number = object.get(name).and_then(Value::as_i64)?;
    i32::try_from(number).ok()
}

/// True or false.
pub fn flag(object: &Value, name: &str) -> Option<bool> {
    object.get(name).and_then(Value::as_bool)
}

/// A calendar day, also where an instant is given.
pub fn day(object: &Value, name: &str) -> Option<Date> {
    read_day(object.get(name)?)
}

/// Some calendar days.
pub fn days(object: &Value, name: &str) -> Vec<Date> {
    list_of(object, name).filter_map(read_day).collect()
}

fn read_day(value: &Value) -> Option<Date> {
    value.as_str()?.get(..10)?.parse().ok().map(Date)
}

/// The values of a list.
pub fn list_of<'a>(object: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    let rows = object.get(name).and_then(Value::as_array);
    rows.into_iter().flatten()
}

/// The objects of a list.
pub fn list<'a, T: From<&'a Value>>(object: &'a Value, name: &str) -> Vec<T> {
    list_of(object, name).map(T::from).collect()
}

/// An object.
pub fn object<'a, T: From<&'a Value>>(object: &'a Value, name: &str) -> Option<T> {
    let value = object.get(name);
    value.filter(|value| value.is_object()).map(T::from)
}

/// A word of a vocabulary that institutions may go beyond.
pub trait Word: FromStr + Copy + 'static {
    /// What stands for all other words.
    const UNKNOWN: Self;
    /// What institutions also write for some of the words, such as the regulator's own word in Portuguese.
    const ALIASES: &'static [(&'static str, Self)];
}

/// A word of a vocabulary.
pub fn word<T: Word>(object: &Value, name: &str) -> Option<T> {
    text(object, name).map(read_word)
}

/// The word of a vocabulary that a text is, however it is capitalised.
pub fn read_word<T: Word>(text: &str) -> T {
    let alias = || {
        let mut known = T::ALIASES.iter();
        known.find(|(alias, _)| alias.eq_ignore_ascii_case(text))
    };
    let parsed = text.parse().ok().or_else(|| alias().map(|(_, word)| *word));
    parsed.unwrap_or(T::UNKNOWN)
}

/// Declares a vocabulary that institutions may go beyond, with what else they write for its words; UNKNOWN comes by itself.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident $(= $($alias:literal)|+)?),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(async_graphql::Enum, Clone, Copy, Debug, PartialEq, Eq, strum::EnumString)]
        #[strum(serialize_all = "SCREAMING_SNAKE_CASE", ascii_case_insensitive)]
        pub enum $name {
            $($(#[$word_doc])* $word,)+
            /// Something that the institution names differently: its word is beside this field.
            Unknown,
        }

        impl $crate::graphql::types::document::Word for $name {
            const UNKNOWN: Self = Self::Unknown;
            const ALIASES: &'static [(&'static str, Self)] = &[$($($(($alias, Self::$word),)+)?)+];
        }
    };
}
pub(super) use words;

/// Declares an object that is a document, or part of one: each field with how it is read.
macro_rules! document {
    ($(#[$doc:meta])* $name:ident {
        $($(#[$field_doc:meta])* $field:ident: $kind:ty = $read:ident($key:literal)),+ $(,)?
    }) => {
        $(#[$doc])*
        pub struct $name<'a>(&'a serde_json::Value);

        impl<'a> From<&'a serde_json::Value> for $name<'a> {
            fn from(document: &'a serde_json::Value) -> Self {
                Self(document)
            }
        }

        $(#[$doc])*
        #[async_graphql::Object]
        impl $name<'_> {
            $($(#[$field_doc])* async fn $field(&self) -> $kind {
                $crate::graphql::types::document::$read(self.0, $key)
            })+
        }
    };
    ($(#[$doc:meta])* $name:ident of $row:ty {
        $($(#[$field_doc:meta])* $field:ident: $kind:ty = $read:ident($key:literal)),+ $(,)?
    } and { $($more:tt)* }) => {
        $(#[$doc])*
        #[derive(Clone)]
        pub struct $name(pub $row);

        impl From<$row> for $name {
            fn from(row: $row) -> Self {
                Self(row)
            }
        }

        $(#[$doc])*
        #[async_graphql::Object]
        impl $name {
            $($more)*

            $($(#[$field_doc])* async fn $field(&self) -> $kind {
                $crate::graphql::types::document::$read(&self.0.details, $key)
            })+
        }
    };
}
pub(super) use document;

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    words!(
        /// Colours.
        Colour {
            /// Red.
            DarkRed = "VERMELHO_ESCURO" | "BORDO",
            /// Blue.
            Blue,
        }
    );

    #[test]
    fn what_is_not_what_it_should_be_is_null() {
        let document = json!({
            "text": "a", "number": 7, "flag": true, "day": "2026-03-16T03:00:00.000Z", "far": 5_000_000_000_i64,
            "days": ["2026-03-16", 1, "soon"], "texts": ["a", 1], "colour": "DARK_RED", "other": "VERDE",
            "theirs": "Bordo", "small": "blue", "money": "1.10",
        });
        assert_eq!(text(&document, "text"), Some("a"));
        assert_eq!(text(&document, "number"), None);
        assert_eq!(texts(&document, "texts"), ["a"]);
        assert_eq!(
            (integer(&document, "number"), integer(&document, "far")),
            (Some(7), None)
        );
        assert_eq!(
            (flag(&document, "flag"), flag(&document, "text")),
            (Some(true), None)
        );
        assert_eq!(
            day(&document, "day")
                .map(|day| day.0.to_string())
                .as_deref(),
            Some("2026-03-16")
        );
        assert_eq!(day(&document, "text"), None);
        assert_eq!(days(&document, "days").len(), 1);
        assert_eq!(
            decimal(&document, "money")
                .map(|it| it.0.to_string())
                .as_deref(),
            Some("1.10")
        );
        assert_eq!(word(&document, "colour"), Some(Colour::DarkRed));
        assert_eq!(word(&document, "theirs"), Some(Colour::DarkRed));
        assert_eq!(word(&document, "small"), Some(Colour::Blue));
        assert_eq!(word(&document, "other"), Some(Colour::Unknown));
        assert_eq!(word::<Colour>(&document, "nothing"), None);
        assert_eq!(list_of(&document, "text").count(), 0);
    }
}
