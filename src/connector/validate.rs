//! Whether values fit a connector's form.
//!
//! Judges shape only and never logs in. It promises that no message contains a value, and that a refused call is told
//! everything that is wrong with it at once, in the order of the form. Whether an Item has other values stored, and
//! whether a one-step MFA value is fresh, is left to the operations on Items.

use std::{
    collections::{BTreeMap, HashMap},
    sync::{LazyLock, Mutex, PoisonError},
};

use regex::Regex;
use secrecy::{ExposeSecret, SecretString};
use uuid::Uuid;

use super::{Descriptor, Field, FieldKind};
use crate::error::ParameterProblem;

/// Most parameters in one call.
pub const MAX_PARAMETERS: usize = 32;
/// Longest value of a parameter, in bytes.
pub const MAX_VALUE_BYTES: usize = 4 * 1024;

const MAX_ECHOED_NAME_CHARS: usize = 64;
const MAX_CACHED_PATTERNS: usize = 256;

const MISSING: &str = "001";
const UNKNOWN: &str = "002";
const MALFORMED: &str = "003";

/// Which fields of a form must be there.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Required {
    /// Every field that is not optional: a first connection.
    All,
    /// None: the values are merged over stored ones, so only what is present is judged.
    OnlyPresent,
}

/// Judges parameters against a connector's form and lists all that is wrong with them.
pub fn validate(
    descriptor: &Descriptor,
    parameters: &BTreeMap<String, SecretString>,
    required: Required,
) -> Result<(), Vec<ParameterProblem>> {
    if parameters.len() > MAX_PARAMETERS {
        return Err(vec![problem(
            MALFORMED,
            "parameters",
            format!("must be at most {MAX_PARAMETERS}"),
        )]);
    }
    let form = &descriptor.credentials;
    let mut problems: Vec<_> = form
        .iter()
        .filter_map(|field| match parameters.get(&field.name) {
            Some(value) => validate_value(field, value).err(),
            None if field.optional || required == Required::OnlyPresent => None,
            None => Some(problem(MISSING, &field.name, "is missing")),
        })
        .collect();
    problems.extend(
        parameters
            .keys()
            .filter(|name| !form.iter().any(|field| field.name == **name))
            .map(|name| problem(UNKNOWN, name, "is not a parameter of this connector")),
    );
    if problems.is_empty() {
        Ok(())
    } else {
        Err(problems)
    }
}

/// Judges one value against one field: a credential, or the answer to a question. An empty value counts as left out.
pub fn validate_value(field: &Field, value: &SecretString) -> Result<(), ParameterProblem> {
    let value = value.expose_secret();
    if value.is_empty() {
        return if field.optional {
            Ok(())
        } else {
            Err(problem(MISSING, &field.name, "is empty"))
        };
    }
    let malformed = |message: String| Err(problem(MALFORMED, &field.name, message));
    if value.len() > MAX_VALUE_BYTES {
        return malformed(format!("must be at most {MAX_VALUE_BYTES} bytes long"));
    }
    match field.kind {
        FieldKind::Number if !value.bytes().all(|b| b.is_ascii_digit()) => {
            return malformed(said(field, "must have digits only"));
        }
        FieldKind::Select if !field.options.iter().any(|(option, _)| option == value) => {
            return malformed(said(field, "must be one of the options"));
        }
        FieldKind::File if Uuid::try_parse(value).is_err() => {
            return malformed(said(field, "must be the id of an upload"));
        }
        FieldKind::Text
        | FieldKind::Number
        | FieldKind::Password
        | FieldKind::Select
        | FieldKind::Image
        | FieldKind::File
        | FieldKind::Oauth => {}
    }
    match &field.validation {
        Some(pattern) if !matches_whole(pattern, value) => {
            malformed(said(field, "does not have the expected form"))
        }
        _ => Ok(()),
    }
}

fn problem(code: &'static str, parameter: &str, message: impl Into<String>) -> ParameterProblem {
    ParameterProblem {
        code,
        parameter: parameter.chars().take(MAX_ECHOED_NAME_CHARS).collect(),
        message: message.into(),
    }
}

/// The connector's own words for a value that does not fit, or ours.
fn said(field: &Field, ours: &str) -> String {
    field
        .validation_message
        .clone()
        .unwrap_or_else(|| ours.to_owned())
}

/// Whether the whole value matches a pattern. A pattern that does not compile judges nothing: it is the connector's
/// defect, and the institution has the last word on its credentials anyway.
fn matches_whole(pattern: &str, value: &str) -> bool {
    static COMPILED: LazyLock<Mutex<HashMap<String, Option<Regex>>>> =
        LazyLock::new(Mutex::default);
    let cached = COMPILED
        .lock()
        .unwrap_or_else(PoisonError::into_inner)
        .get(pattern)
        .cloned();
    let regex = cached.unwrap_or_else(|| {
        let compiled = compile(pattern).ok();
        if compiled.is_none() {
            tracing::warn!(
                pattern,
                "a connector's validation pattern does not compile and is not applied"
            );
        }
        let mut cache = COMPILED.lock().unwrap_or_else(PoisonError::into_inner);
        if cache.len() < MAX_CACHED_PATTERNS {
            cache.insert(pattern.to_owned(), compiled.clone());
        }
        compiled
    });
    regex.is_none_or(|regex| regex.is_match(value))
}

/// Compiles a pattern as JavaScript reads it, to be matched against a whole value: its own anchors are tolerated, `\d`
/// and `\w` know ASCII only, and the end is the very end.
fn compile(pattern: &str) -> Result<Regex, regex::Error> {
    let mut whole = String::with_capacity(pattern.len() + 8);
    whole.push_str(r"\A(?:");
    let mut chars = pattern.chars();
    while let Some(char) = chars.next() {
        match (char, (char == '\\').then(|| chars.next()).flatten()) {
            ('\\', Some('d')) => whole.push_str("[0-9]"),
            ('\\', Some('D')) => whole.push_str("[^0-9]"),
            ('\\', Some('w')) => whole.push_str("[0-9A-Za-z_]"),
            ('\\', Some('W')) => whole.push_str("[^0-9A-Za-z_]"),
            (char, escaped) => {
                whole.push(char);
                whole.extend(escaped);
            }
        }
    }
    whole.push_str(r")\z");
    Regex::new(&whole)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::connector::{ConnectorKind, SourceKind};

    fn field(name: &str, kind: FieldKind) -> Field {
        Field {
            name: name.into(),
            kind,
            ..Field::default()
        }
    }

    fn form(credentials: Vec<Field>) -> Descriptor {
        Descriptor {
            id: 1,
            name: "Bank",
            kind: ConnectorKind::PersonalBank,
            country: None,
            institution_url: None,
            image_url: None,
            primary_color: None,
            reset_password_url: None,
            credentials,
            products: Vec::new(),
            has_mfa: false,
            oauth: false,
            is_sandbox: true,
            is_open_finance: false,
            source: SourceKind::Institution,
            overlap_days: 4,
            trusts_device: false,
            has_live_balance: false,
            consent_lasts: None,
        }
    }

    fn bank() -> Descriptor {
        form(vec![
            field("user", FieldKind::Text),
            field("password", FieldKind::Password),
            Field {
                validation: Some(r"^\d{6}$".into()),
                validation_message: Some("must have 6 digits".into()),
                mfa: true,
                ..field("token", FieldKind::Text)
            },
            Field {
                optional: true,
                options: vec![
                    ("pf".into(), "Person".into()),
                    ("pj".into(), "Company".into()),
                ],
                ..field("profile", FieldKind::Select)
            },
            Field {
                optional: true,
                ..field("branch", FieldKind::Number)
            },
            Field {
                optional: true,
                ..field("file", FieldKind::File)
            },
        ])
    }

    fn judge(
        required: Required,
        parameters: &[(&str, &str)],
    ) -> Result<(), Vec<(&'static str, String, String)>> {
        let parameters = parameters
            .iter()
            .map(|(name, value)| ((*name).to_owned(), SecretString::from(*value)))
            .collect();
        validate(&bank(), &parameters, required).map_err(|problems| {
            problems
                .into_iter()
                .map(|p| (p.code, p.parameter, p.message))
                .collect()
        })
    }

    fn said(code: &'static str, parameter: &str, message: &str) -> (&'static str, String, String) {
        (code, parameter.to_owned(), message.to_owned())
    }

    #[test]
    fn a_form_that_is_filled_in_is_accepted() {
        let needed = [("user", "u"), ("password", "p"), ("token", "123456")];
        assert_eq!(judge(Required::All, &needed), Ok(()));
        let all = [
            &needed[..],
            &[
                ("profile", "pj"),
                ("branch", "0001"),
                ("file", "01890a5d-ac96-774b-bcce-b302099a8057"),
            ],
        ]
        .concat();
        assert_eq!(judge(Required::All, &all), Ok(()));
        let optional_ones_empty = [&needed[..], &[("profile", ""), ("branch", "")]].concat();
        assert_eq!(judge(Required::All, &optional_ones_empty), Ok(()));
    }

    #[test]
    fn everything_wrong_is_said_at_once_in_the_order_of_the_form_and_without_a_value() {
        assert_eq!(
            judge(
                Required::All,
                &[
                    ("agency", "s3cret"),
                    ("branch", "12a"),
                    ("file", "s3cret"),
                    ("password", ""),
                    ("profile", "s3cret"),
                    ("token", "s3cret"),
                ]
            ),
            Err(vec![
                said("001", "user", "is missing"),
                said("001", "password", "is empty"),
                said("003", "token", "must have 6 digits"),
                said("003", "profile", "must be one of the options"),
                said("003", "branch", "must have digits only"),
                said("003", "file", "must be the id of an upload"),
                said("002", "agency", "is not a parameter of this connector"),
            ])
        );
    }

    #[test]
    fn an_update_is_judged_only_by_what_it_brings() {
        assert_eq!(judge(Required::OnlyPresent, &[]), Ok(()));
        assert_eq!(judge(Required::OnlyPresent, &[("password", "p")]), Ok(()));
        assert_eq!(
            judge(Required::OnlyPresent, &[("token", "12345"), ("user", "")]),
            Err(vec![
                said("001", "user", "is empty"),
                said("003", "token", "must have 6 digits"),
            ])
        );
    }

    #[test]
    fn sizes_are_bounded() {
        let longest = "x".repeat(MAX_VALUE_BYTES);
        let longer = "x".repeat(MAX_VALUE_BYTES + 1);
        assert_eq!(
            judge(Required::OnlyPresent, &[("user", longest.as_str())]),
            Ok(())
        );
        assert_eq!(
            judge(Required::OnlyPresent, &[("user", longer.as_str())]),
            Err(vec![said("003", "user", "must be at most 4096 bytes long")])
        );
        let names: Vec<_> = (0..33).map(|n| format!("p{n}")).collect();
        let many: Vec<_> = names.iter().map(|name| (name.as_str(), "v")).collect();
        assert_eq!(
            judge(Required::All, &many),
            Err(vec![said("003", "parameters", "must be at most 32")])
        );
        let long_name = "n".repeat(5_000);
        assert_eq!(
            judge(Required::OnlyPresent, &[(long_name.as_str(), "v")]),
            Err(vec![said(
                "002",
                &long_name[..64],
                "is not a parameter of this connector"
            )])
        );
    }

    #[test]
    fn patterns_are_read_as_javascript_reads_them_and_match_the_whole_value() {
        for (pattern, value, fits) in [
            (r"^\d{6}$", "123456", true),
            (r"\d{6}", "123456", true),
            (r"\d{6}", "x123456", false),
            (r"^\d{6}$", "123456\n", false),
            (r"^\d{6}$", "١٢٣٤٥٦", false),
            (r"^a|b$", "b", true),
            (r"^a|b$", "ab", false),
            (r"^[\d.]+$", "1.2", true),
            (r"^[^\d]+$", "ab", true),
            (r"^[^\d]+$", "a1", false),
            (r"^\w+\W\D$", "a_1-x", true),
            (r"^\\d$", r"\d", true),
            (r"^\d{3}\.?\d{3}\.?\d{3}-?\d{2}$", "761.092.776-73", true),
            (r"^\d{3}\.?\d{3}\.?\d{3}-?\d{2}$", "76109277673", true),
            (r"^\d{3}\.?\d{3}\.?\d{3}-?\d{2}$", "761.092.776", false),
            (r"^\d{2}\/\d{4}$", "01/2026", true),
        ] {
            for _from_the_compiler_then_from_the_cache in 0..2 {
                assert_eq!(matches_whole(pattern, value), fits, "{pattern} {value}");
            }
        }
    }

    #[test]
    fn a_pattern_that_does_not_compile_judges_nothing() {
        assert!(matches_whole(r"^(?=.*\d).+$", "anything"));
    }
}
