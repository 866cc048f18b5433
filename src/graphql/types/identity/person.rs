//! What only persons have.

use super::super::{
    super::scalar::Date,
    document::{document, words},
};

words!(
    /// Sex of a person.
    Sex {
        /// Female.
        Female,
        /// Male.
        Male,
        /// Another, or not told.
        Other,
    }
);

document!(
    /// Whether a person is married. What the institution does not tell is null.
    MaritalStatus {
        /// How it is.
        code: Option<MaritalStatusCode> = word("code"),
        /// `code` in the institution's word.
        code_raw: Option<&str> = text("code"),
        /// More about it.
        additional_info: Option<&str> = text("additionalInfo"),
    }
);

words!(
    /// Whether a person is married.
    MaritalStatusCode {
        /// Never was.
        Single,
        /// Is.
        Married,
        /// Was, to somebody who has died.
        Widowed,
        /// Is, but lives apart by order of a court.
        JudiciallySeparated,
        /// Was, until a divorce.
        Divorced,
        /// Lives as if.
        StableUnion,
        /// Differently: see `additionalInfo`.
        Other,
    }
);

document!(
    /// A relative of a person. What the institution does not tell is null.
    Relation {
        /// Who it is.
        #[graphql(name = "type")]
        kind: Option<RelationType> = word("type"),
        /// `type` in the institution's word.
        type_raw: Option<&str> = text("type"),
        /// Name.
        name: Option<&str> = text("name"),
        /// Tax number.
        document: Option<&str> = text("document"),
    }
);

words!(
    /// Who a relative is.
    RelationType {
        /// Mother.
        Mother,
        /// Father.
        Father,
        /// Husband or wife.
        Spouse,
    }
);

document!(
    /// Where a person is a citizen. What the institution does not tell is null or empty.
    Nationality {
        /// Whether the person is a citizen of Brazil.
        has_brazilian_nationality: Option<bool> = flag("hasBrazilianNationality"),
        /// Where else.
        other_nationalities: Vec<OtherNationality<'_>> = list("otherNationalities"),
    }
);

document!(
    /// A country other than Brazil whose citizen a person is. What the institution does not tell is null or empty.
    OtherNationality {
        /// ISO 3166 alpha-3 code of the country.
        country_code: Option<&str> = text("countryCode"),
        /// Documents of that country.
        documents: Vec<NationalityDocument<'_>> = list("documents"),
    }
);

document!(
    /// A document of another country. What the institution does not tell is null.
    NationalityDocument {
        /// Kind, in the institution's words, such as `SOCIAL SEC`.
        #[graphql(name = "type")]
        kind: Option<&str> = text("type"),
        /// Number.
        number: Option<&str> = text("number"),
        /// Country that issued it, as the institution writes it.
        country: Option<&str> = text("country"),
        /// When it was issued.
        issue_date: Option<Date> = day("issueDate"),
        /// When it ends.
        expiration_date: Option<Date> = day("expirationDate"),
        /// More about it.
        additional_info: Option<&str> = text("additionalInfo"),
    }
);

document!(
    /// A further document of a person. What the institution does not tell is null.
    OtherDocument {
        /// Kind.
        #[graphql(name = "type")]
        kind: Option<OtherDocumentType> = word("type"),
        /// `type` in the institution's word.
        type_raw: Option<&str> = text("type"),
        /// More about the kind.
        type_additional_info: Option<&str> = text("typeAdditionalInfo"),
        /// Number.
        number: Option<&str> = text("number"),
        /// Check digit of the number, where it is told apart.
        check_digit: Option<&str> = text("checkDigit"),
        /// More about it, such as who issued it.
        additional_info: Option<&str> = text("additionalInfo"),
        /// When it ends.
        expiration_date: Option<Date> = day("expirationDate"),
    }
);

words!(
    /// Kind of a further document of a person.
    OtherDocumentType {
        /// Driving licence.
        Cnh,
        /// Identity card.
        Rg,
        /// Tax number abroad.
        Nif,
        /// Register of foreigners.
        Rne,
        /// Another: see `typeAdditionalInfo`.
        Other,
    }
);

document!(
    /// A passport. What the institution does not tell is null.
    Passport {
        /// Number.
        number: Option<&str> = text("number"),
        /// Country that issued it, as the institution writes it.
        country: Option<&str> = text("country"),
        /// When it was issued.
        issue_date: Option<Date> = day("issueDate"),
        /// When it ends.
        expiration_date: Option<Date> = day("expirationDate"),
    }
);
