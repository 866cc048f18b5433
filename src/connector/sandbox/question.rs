//! What a made-up bank asks its users during a login.

use serde::{Deserialize, Serialize};

use super::{CODE, family::TOKEN, persona::Asked, value};
use crate::connector::{Credentials, Field, FieldKind};

const PHONE: &str = "phone";
const COMPANY: &str = "company";
const SECOND_HOLDER: &str = "secondHolderToken";

/// What the second holder of a joint account types.
const SECOND_CODE: &str = "000000";

/// A black and white PNG that reads 123456.
const CODE_IMAGE: &str = "iVBORw0KGgoAAAANSUhEUgAAAJwAAAAsAQAAAAC4CeyVAAAAWElEQVR42tWSwRXAIAxC2YD9t2SDFPDamzm06kvCzwGfEfOy8EnIEQYu5EjX91CcbB+ctACbohSjOq5A5P5UuqzjPYwa+jUWIQvd4xLs1HgGp8p7+I8//wDb4KE/52r5YwAAAABJRU5ErkJggg==";

/// A question.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "SCREAMING_SNAKE_CASE")]
pub(super) enum Ask {
    /// Which phone gets the code.
    Phone,
    /// The code.
    Code,
    /// The code that an image shows.
    Image,
    /// How to confirm.
    Way,
    /// Which company to go on for.
    Company,
    /// The code of the second holder.
    SecondHolder,
}

impl Ask {
    /// What a persona is asked, in order.
    pub(super) fn of(asked: Asked) -> &'static [Self] {
        match asked {
            Asked::Code => &[Self::Code],
            Asked::Image => &[Self::Image],
            Asked::Choice => &[Self::Way],
            Asked::PhoneThenCode => &[Self::Phone, Self::Code],
            Asked::CodeThenCompany => &[Self::Code, Self::Company],
        }
    }

    /// How it is put.
    pub(super) fn field(self) -> Field {
        let code = |kind, instructions: &str| Field {
            name: TOKEN.to_owned(),
            label: "Code".to_owned(),
            kind,
            placeholder: Some("000000".to_owned()),
            assistive_text: Some(format!("{CODE} is the one that works.")),
            instructions: Some(instructions.to_owned()),
            ..Field::default()
        };
        match self {
            Self::Code => code(
                FieldKind::Text,
                "Type the 6 digits that Ponte Bank has sent to your phone.",
            ),
            Self::Image => Field {
                data: Some(CODE_IMAGE.to_owned()),
                ..code(FieldKind::Image, "Type the digits that the image shows.")
            },
            Self::SecondHolder => Field {
                name: SECOND_HOLDER.to_owned(),
                label: "Code of the second holder".to_owned(),
                assistive_text: Some(format!("{SECOND_CODE} is the one that works.")),
                ..code(
                    FieldKind::Text,
                    "Ask the second holder for the 6 digits that Ponte Bank has sent to them.",
                )
            },
            Self::Way => Field {
                instructions: Some("Choose how Ponte Bank confirms that it is you.".to_owned()),
                ..select(
                    TOKEN,
                    "Confirmation",
                    &[
                        ("app", "Confirm in the app"),
                        ("sms", "Confirm by text message"),
                        ("email", "Confirm by e-mail"),
                    ],
                )
            },
            Self::Phone => Field {
                instructions: Some("Choose the phone that gets the code.".to_owned()),
                ..select(
                    PHONE,
                    "Phone",
                    &[
                        ("phone-1", "(11) 9****-1234"),
                        ("phone-2", "(11) 9****-5678"),
                    ],
                )
            },
            Self::Company => Field {
                instructions: Some("Choose the company to go on for.".to_owned()),
                ..select(
                    COMPANY,
                    "Company",
                    &[
                        ("company-1", "Padaria Ponte Ltda"),
                        ("company-2", "Ponte Tecnologia S.A."),
                    ],
                )
            },
        }
    }

    /// Whether this answers it.
    pub(super) fn accepts(self, answers: &Credentials) -> bool {
        let field = self.field();
        let answer = value(answers, &field.name);
        match self {
            Self::Code | Self::Image => answer == Some(CODE),
            Self::SecondHolder => answer == Some(SECOND_CODE),
            Self::Way | Self::Phone | Self::Company => {
                let mut options = field.options.iter();
                options.any(|(option, _)| Some(option.as_str()) == answer)
            }
        }
    }
}

/// A choice.
pub(super) fn select(name: &str, label: &str, options: &[(&str, &str)]) -> Field {
    Field {
        name: name.to_owned(),
        label: label.to_owned(),
        kind: FieldKind::Select,
        options: options
            .iter()
            .map(|(value, label)| ((*value).to_owned(), (*label).to_owned()))
            .collect(),
        ..Field::default()
    }
}
